//! What is known of each peer of a network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

const ADDRESSES: usize = 16;
const ADDRESS_BYTES: usize = 256;
const AGENT_CHARACTERS: usize = 128;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const BULK_PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Whether a peer can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// A connection is open.
    Connected,
    /// Known, without a connection now.
    Away,
    /// Refused by this node, in both directions.
    Blocked,
}

/// A peer as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, proved by its key.
    pub peer_id: PeerId,
    /// Whether it can be called.
    pub state: PeerState,
    /// Why it is in this state.
    pub cause: String,
    /// Its software and version, as it says; empty before it introduced itself.
    pub agent: String,
    /// Where it listens, as it says, and where it was reached.
    pub addresses: Vec<Multiaddr>,
    /// The last round trip.
    pub rtt: Option<Duration>,
    /// The last sign of life.
    pub last_seen: Option<Timestamp>,
    /// Open connections.
    pub connections: usize,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    blocked: bool,
    silent_pings: u32,
    pause: Duration,
    next_dial: Instant,
    /// Until then bulk data shares the connection that there is: the peer cannot be dialled, as behind NAT.
    no_bulk_dial: Option<Instant>,
}

/// The peers of one network, shared between its task and its handles.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    entries: Arc<Mutex<HashMap<PeerId, Entry>>>,
    limit: usize,
}

impl Peers {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: Arc::default(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn list(&self) -> Vec<Peer> {
        let mut peers: Vec<_> = self.lock().values().map(|e| e.peer.clone()).collect();
        peers.sort_by_key(|peer| peer.peer_id);
        peers
    }

    pub(crate) fn get(&self, peer: PeerId) -> Option<Peer> {
        self.lock().get(&peer).map(|entry| entry.peer.clone())
    }

    pub(crate) fn is_blocked(&self, peer: PeerId) -> bool {
        self.lock().get(&peer).is_some_and(|entry| entry.blocked)
    }

    pub(crate) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        self.get(peer).map(|p| p.addresses).unwrap_or_default()
    }

    fn change<T>(&self, id: PeerId, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.lock();
        if !entries.contains_key(&id) && entries.len() >= self.limit {
            forget_oldest(&mut entries);
        }
        change(entries.entry(id).or_insert_with(|| Entry::new(id)))
    }

    /// A connection opened; `dialled` is the address where the peer can be reached again.
    pub(crate) fn connected(&self, id: PeerId, dialled: Option<Multiaddr>, now: Timestamp) {
        self.change(id, |entry| {
            entry.peer.connections += 1;
            entry.peer.last_seen = Some(now);
            entry.pause = FIRST_PAUSE;
            if let Some(address) = dialled {
                entry.learn(vec![address]);
            }
            entry.become_connected();
        });
    }

    /// A connection closed; true when it was the last one.
    pub(crate) fn disconnected(&self, id: PeerId, left: usize, cause: &str) -> bool {
        self.change(id, |entry| {
            entry.peer.connections = left;
            entry.silent_pings = 0;
            if left > 0 {
                return false;
            }
            if !entry.blocked {
                entry.peer.state = PeerState::Away;
                cause.clone_into(&mut entry.peer.cause);
            }
            entry.peer.rtt = None;
            entry.next_dial = Instant::now() + entry.pause;
            true
        })
    }

    /// The peer introduced itself; true when it had not since it was connected.
    pub(crate) fn introduced(
        &self,
        id: PeerId,
        agent: &str,
        addresses: Vec<Multiaddr>,
        now: Timestamp,
    ) -> bool {
        self.change(id, |entry| {
            let agent: String = agent
                .chars()
                .filter(|c| !c.is_control())
                .take(AGENT_CHARACTERS)
                .collect();
            entry.peer.agent = agent;
            entry.peer.last_seen = Some(now);
            entry.learn(addresses);
            let new = entry.peer.cause != INTRODUCED;
            INTRODUCED.clone_into(&mut entry.peer.cause);
            new
        })
    }

    pub(crate) fn pinged(&self, id: PeerId, rtt: Duration, now: Timestamp) {
        self.change(id, |entry| {
            entry.silent_pings = 0;
            entry.peer.rtt = Some(rtt);
            entry.peer.last_seen = Some(now);
        });
    }

    /// A ping stayed without an answer; the number of those in a row.
    pub(crate) fn silent(&self, id: PeerId) -> u32 {
        self.change(id, |entry| {
            entry.silent_pings += 1;
            entry.silent_pings
        })
    }

    pub(crate) fn block(&self, id: PeerId) {
        self.change(id, |entry| {
            entry.blocked = true;
            entry.peer.state = PeerState::Blocked;
            "blocked here".clone_into(&mut entry.peer.cause);
        });
    }

    pub(crate) fn unblock(&self, id: PeerId) {
        self.change(id, |entry| {
            entry.blocked = false;
            entry.peer.state = PeerState::Away;
            "no longer blocked".clone_into(&mut entry.peer.cause);
            entry.pause = FIRST_PAUSE;
            entry.next_dial = Instant::now();
        });
    }

    /// Remembers where a peer may be found, for example from before a restart.
    pub(crate) fn remember(&self, id: PeerId, addresses: Vec<Multiaddr>) {
        self.change(id, |entry| entry.learn(addresses));
    }

    /// A dial failed; the pause before the next one doubles.
    pub(crate) fn dial_failed(&self, id: PeerId, cause: &str) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&id) else {
            return;
        };
        if entry.peer.state == PeerState::Away {
            cause.clone_into(&mut entry.peer.cause);
        }
    }

    /// A connection of its own for bulk data could not be made.
    pub(crate) fn bulk_failed(&self, id: PeerId) {
        let until = Instant::now() + BULK_PAUSE;
        self.change(id, |entry| entry.no_bulk_dial = Some(until));
    }

    pub(crate) fn may_dial_for_bulk(&self, id: PeerId) -> bool {
        let entries = self.lock();
        let until = entries.get(&id).and_then(|entry| entry.no_bulk_dial);
        until.is_none_or(|until| until <= Instant::now())
    }

    /// Peers without a connection whose pause is over, at most `most`; each is counted as dialled now.
    pub(crate) fn due(&self, most: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let now = Instant::now();
        let mut entries = self.lock();
        let due = entries.values_mut().filter(|entry| {
            entry.peer.state == PeerState::Away
                && entry.next_dial <= now
                && !entry.peer.addresses.is_empty()
        });
        due.take(most)
            .map(|entry| {
                entry.next_dial = now + entry.pause;
                entry.pause = (entry.pause * 2).min(LONGEST_PAUSE);
                (entry.peer.peer_id, entry.peer.addresses.clone())
            })
            .collect()
    }

    pub(crate) fn connected_count(&self) -> usize {
        let connected = |entry: &&Entry| entry.peer.connections > 0;
        self.lock().values().filter(connected).count()
    }
}

const INTRODUCED: &str = "connected and introduced";

impl Entry {
    fn new(id: PeerId) -> Self {
        Self {
            peer: Peer {
                peer_id: id,
                state: PeerState::Away,
                cause: "never connected".to_owned(),
                agent: String::new(),
                addresses: Vec::new(),
                rtt: None,
                last_seen: None,
                connections: 0,
            },
            blocked: false,
            silent_pings: 0,
            pause: FIRST_PAUSE,
            next_dial: Instant::now(),
            no_bulk_dial: None,
        }
    }

    fn become_connected(&mut self) {
        if self.peer.state == PeerState::Away {
            self.peer.state = PeerState::Connected;
            "connected, not introduced yet".clone_into(&mut self.peer.cause);
        }
    }

    /// The newest addresses come first; the oldest are forgotten.
    fn learn(&mut self, addresses: Vec<Multiaddr>) {
        let known = std::mem::take(&mut self.peer.addresses);
        for address in addresses.into_iter().chain(known) {
            let Some(address) = dialable(&address, self.peer.peer_id) else {
                continue;
            };
            if self.peer.addresses.len() < ADDRESSES && !self.peer.addresses.contains(&address) {
                self.peer.addresses.push(address);
            }
        }
    }
}

/// The address without the peer's name, if it can be dialled and does not name someone else.
pub(crate) fn dialable(address: &Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    if address.len() > ADDRESS_BYTES {
        return None;
    }
    let mut address = address.clone();
    if let Some(Protocol::P2p(named)) = address.iter().last() {
        if named != peer {
            return None;
        }
        address.pop();
    }
    let tcp = |part: Protocol<'_>| matches!(part, Protocol::Tcp(port) if port > 0);
    let foreign = |part: Protocol<'_>| matches!(part, Protocol::P2p(_) | Protocol::P2pCircuit);
    (address.iter().any(tcp) && !address.iter().any(foreign)).then_some(address)
}

fn forget_oldest(entries: &mut HashMap<PeerId, Entry>) {
    let forgettable = |entry: &&Entry| entry.peer.connections == 0 && !entry.blocked;
    let oldest = entries
        .values()
        .filter(forgettable)
        .min_by_key(|entry| entry.peer.last_seen)
        .map(|entry| entry.peer.peer_id);
    if let Some(oldest) = oldest {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn the_peer_unseen_for_longest_is_forgotten_first() {
        let peers = Peers::new(2);
        let [old, new, third] = std::array::from_fn(|_| PeerId::random());
        let at = |second| Timestamp::from_second(second).unwrap();
        peers.introduced(old, "a", vec![], at(1));
        peers.introduced(new, "a", vec![], at(2));
        peers.introduced(third, "a", vec![], at(3));
        assert!(peers.get(old).is_none());
        assert_eq!(peers.list().len(), 2);
    }

    #[test]
    fn a_peer_cannot_flood_the_table_with_addresses_or_name_another() {
        let peers = Peers::new(8);
        let peer = PeerId::random();
        let other: Multiaddr = format!("/ip4/192.0.2.9/tcp/1/p2p/{}", PeerId::random())
            .parse()
            .unwrap();
        let many = (1..100).map(address).chain([other]).collect();
        peers.introduced(peer, "a\u{7}b", many, Timestamp::UNIX_EPOCH);
        let peer = peers.get(peer).unwrap();
        assert_eq!(peer.addresses.len(), ADDRESSES);
        assert_eq!(peer.agent, "ab");
    }

    #[test]
    fn a_failing_peer_is_dialled_less_and_less_often() {
        let peers = Peers::new(8);
        let peer = PeerId::random();
        peers.remember(peer, vec![address(1)]);
        assert_eq!(peers.due(8).len(), 1);
        assert!(peers.due(8).is_empty());
        let pause = peers.lock()[&peer].pause;
        assert_eq!(pause, 2 * FIRST_PAUSE);
    }

    #[test]
    fn a_blocked_peer_stays_blocked_when_its_connection_ends() {
        let peers = Peers::new(8);
        let peer = PeerId::random();
        peers.connected(peer, Some(address(1)), Timestamp::UNIX_EPOCH);
        peers.block(peer);
        assert!(peers.disconnected(peer, 0, "closed"));
        assert_eq!(peers.get(peer).unwrap().state, PeerState::Blocked);
        assert!(peers.due(8).is_empty());
    }
}
