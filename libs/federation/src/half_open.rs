//! Connections that others have begun and that have proved nothing yet.
//!
//! Anybody who reaches the port can begin as many as they like. Refusing the next one when there are too many would
//! keep members out for as long as a stranger keeps knocking, so the next one is always let in, and an older one must
//! go: the oldest of the address that has the most. Those from which nothing has come yet are counted apart from those
//! that have sent their nonce, so that a flood of silent ones cannot push out a member in the middle of its handshake.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent,
};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

/// Most connections that have sent nothing yet, and most that have and are not open yet.
pub(crate) const EACH: usize = 128;

/// The bits of an IPv6 address that one subscriber has for herself (RFC 6177, a /64 at least).
const SUBSCRIBER: u128 = !0 << 64;

/// The inbound connections of one network that are not open yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct HalfOpen(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// By the order in which they came.
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    from: Multiaddr,
    /// Whom it counts for.
    address: IpAddr,
    /// Its nonce has come.
    spoke: bool,
    away: oneshot::Sender<()>,
}

/// A connection among those that are not open yet; it leaves them when this is dropped.
struct Place {
    number: u64,
    among: HalfOpen,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.among.waiting().entries.remove(&self.number);
    }
}

impl HalfOpen {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in. The receiver hears when it must go.
    fn enter(&self, from: &Multiaddr) -> (Place, oneshot::Receiver<()>) {
        let (away, must_go) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        let entry = Entry {
            from: from.clone(),
            address: counted_for(from),
            spoke: false,
            away,
        };
        waiting.entries.insert(number, entry);
        waiting.make_room(false);
        let among = self.clone();
        (Place { number, among }, must_go)
    }

    /// The nonce of a connection has come.
    pub(crate) fn spoke(&self, from: &Multiaddr) {
        let mut waiting = self.waiting();
        let entry = waiting.entries.values_mut().find(|it| it.from == *from);
        if let Some(entry) = entry {
            entry.spoke = true;
            waiting.make_room(true);
        }
    }
}

impl Waiting {
    /// Sends one away where there are too many of those that spoke, or of those that did not.
    fn make_room(&mut self, spoke: bool) {
        let alike = || self.entries.iter().filter(|(_, it)| it.spoke == spoke);
        if alike().count() <= EACH {
            return;
        }
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, entry) in alike() {
            *counts.entry(entry.address).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let oldest = most.and_then(|(address, _)| {
            let mut of_it = alike().filter(|(_, entry)| entry.address == address);
            of_it.next().map(|(number, _)| *number)
        });
        if let Some(entry) = oldest.and_then(|number| self.entries.remove(&number)) {
            // It may have gone by itself just now.
            let _ = entry.away.send(());
        }
    }
}

/// The address whose connections are counted together.
fn counted_for(from: &Multiaddr) -> IpAddr {
    from.iter()
        .find_map(|part| match part {
            Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
            Protocol::Ip6(ip) => Some(match ip.to_ipv4_mapped() {
                Some(ip) => IpAddr::V4(ip),
                None => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & SUBSCRIBER)),
            }),
            _ => None,
        })
        .unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

/// A transport whose inbound connections are bounded until they are open.
pub(crate) struct Bounded {
    inner: Boxed<(PeerId, StreamMuxerBox)>,
    half_open: HalfOpen,
}

impl Bounded {
    pub(crate) fn new(inner: Boxed<(PeerId, StreamMuxerBox)>, half_open: HalfOpen) -> Self {
        Self { inner, half_open }
    }
}

type Opening = BoxFuture<'static, io::Result<(PeerId, StreamMuxerBox)>>;

impl Transport for Bounded {
    type Output = (PeerId, StreamMuxerBox);
    type Error = io::Error;
    type ListenerUpgrade = Opening;
    type Dial = <Boxed<Self::Output> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Opening, io::Error>> {
        let half_open = self.half_open.clone();
        Pin::new(&mut self.inner).poll(cx).map(|event| {
            let from = match &event {
                TransportEvent::Incoming { send_back_addr, .. } => send_back_addr.clone(),
                _ => Multiaddr::empty(),
            };
            event.map_upgrade(|opening| {
                let (place, must_go) = half_open.enter(&from);
                let opening = async move {
                    let _place = place;
                    tokio::select! {
                        biased;
                        opened = opening => opened,
                        _ = must_go => Err(io::Error::other("too many connections are being made")),
                    }
                };
                opening.boxed()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(host: &str, port: usize) -> Multiaddr {
        format!("{host}/tcp/{port}").parse().unwrap()
    }

    fn is_in(must_go: &mut oneshot::Receiver<()>) -> bool {
        must_go.try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }

    #[test]
    fn who_knocks_most_makes_room_for_everybody_else() {
        let half_open = HalfOpen::default();
        let (_member, mut member) = half_open.enter(&from("/ip4/192.0.2.7", 1));
        let mut strangers: Vec<_> = (0..2 * EACH)
            .map(|port| half_open.enter(&from("/ip4/198.51.100.1", port)))
            .collect();
        assert!(is_in(&mut member));
        let left = strangers.iter_mut().map(|(_, must_go)| is_in(must_go));
        let left: Vec<bool> = left.collect();
        // The newest of them are in.
        assert_eq!(left.iter().filter(|is_in| **is_in).count(), EACH - 1);
        assert!(left.iter().rev().take(EACH - 1).all(|is_in| *is_in));
        let (_late, mut late) = half_open.enter(&from("/ip4/192.0.2.8", 1));
        assert!(is_in(&mut late));
    }

    #[test]
    fn silent_ones_do_not_push_out_one_that_has_spoken() {
        let half_open = HalfOpen::default();
        let host = "/ip4/127.0.0.1";
        let (_member, mut member) = half_open.enter(&from(host, 1));
        half_open.spoke(&from(host, 1));
        let silent: Vec<_> = (2..4 * EACH)
            .map(|port| half_open.enter(&from(host, port)))
            .collect();
        assert!(is_in(&mut member));
        assert_eq!(half_open.waiting().entries.len(), EACH + 1);
        drop(silent);
        assert_eq!(half_open.waiting().entries.len(), 1);
    }

    #[test]
    fn a_subscribers_ipv6_addresses_count_as_one() {
        let one = counted_for(&from("/ip6/2001:db8:0:7::1", 1));
        assert_eq!(one, counted_for(&from("/ip6/2001:db8:0:7:a:b:c:d", 2)));
        assert_ne!(one, counted_for(&from("/ip6/2001:db8:0:8::1", 1)));
        let mapped = counted_for(&from("/ip6/::ffff:192.0.2.7", 1));
        assert_eq!(mapped, counted_for(&from("/ip4/192.0.2.7", 1)));
    }
}
