//! The task that owns a swarm: it carries out commands and looks after what happens.

mod events;

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::behaviour::Behaviour;
use crate::dials::Dials;
use crate::gossip::{self, Rates, Subscribers};
use crate::peers::Peers;
use crate::streams::{Connections, Lane};
use crate::transport::explain_dial;
use crate::{
    Announcement, JoinError, Limits, NetworkError, NetworkEvent, NetworkSettings, StreamError,
};

const UPKEEP: Duration = Duration::from_secs(1);
const DIALS_AT_ONCE: usize = 8;
const FAREWELL: Duration = Duration::from_secs(3);

/// What a handle may ask of the task.
pub(crate) enum Command {
    Join {
        address: Multiaddr,
        reply: oneshot::Sender<Result<PeerId, JoinError>>,
    },
    Connect {
        peer: PeerId,
        lane: Lane,
        reply: oneshot::Sender<Result<(), StreamError>>,
    },
    Remember {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    Block {
        peer: PeerId,
        reply: oneshot::Sender<()>,
    },
    Unblock {
        peer: PeerId,
        reply: oneshot::Sender<()>,
    },
    Subscribe {
        topic: String,
        reply: oneshot::Sender<Result<broadcast::Receiver<Announcement>, NetworkError>>,
    },
    Publish {
        topic: String,
        data: Vec<u8>,
        reply: oneshot::Sender<Result<bool, NetworkError>>,
    },
    Listeners {
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    Leave {
        reply: oneshot::Sender<()>,
    },
}

pub(crate) struct Driver {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) settings: NetworkSettings,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: broadcast::Sender<NetworkEvent>,
    pub(crate) peers: Peers,
    pub(crate) connections: Connections,
    pub(crate) dials: Dials,
    pub(crate) subscribers: Subscribers,
    pub(crate) rates: Rates,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let reply = loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Leave { reply }) => break Some(reply),
                    Some(command) => self.command(command),
                    None => break None,
                },
                event = self.swarm.select_next_some() => self.event(event),
                _ = upkeep.tick() => self.upkeep(),
            }
        };
        self.leave().await;
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    /// Closes everything in an orderly way, but not for ever.
    async fn leave(mut self) {
        self.connections.close();
        self.dials.close();
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.network_info().num_peers() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(FAREWELL, closed).await.is_err() {
            tracing::warn!(network = %self.settings.id, "peers did not close their connections in time");
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Join { address, reply } => self.join(address, reply),
            Command::Connect { peer, lane, reply } => self.connect(peer, lane, reply),
            Command::Remember { peer, addresses } => self.peers.remember(peer, addresses),
            Command::Block { peer, reply } => {
                self.block(peer);
                let _ = reply.send(());
            }
            Command::Unblock { peer, reply } => {
                self.unblock(peer);
                let _ = reply.send(());
            }
            Command::Subscribe { topic, reply } => {
                let _ = reply.send(self.subscribe(&topic));
            }
            Command::Publish { topic, data, reply } => {
                let _ = reply.send(self.publish(&topic, data));
            }
            Command::Listeners { reply } => {
                let _ = reply.send(self.swarm.listeners().cloned().collect());
            }
            Command::Leave { .. } => unreachable!("run() takes this one"),
        }
    }

    fn join(&mut self, address: Multiaddr, reply: oneshot::Sender<Result<PeerId, JoinError>>) {
        let text = address.to_string();
        if let Err(reason) = joinable(&address) {
            let address = text;
            let _ = reply.send(Err(JoinError::BadAddress { address, reason }));
            return;
        }
        if self.swarm.listeners().any(|own| *own == address) {
            let _ = reply.send(Err(JoinError::OwnAddress { address: text }));
            return;
        }
        let named = address.iter().find_map(|part| match part {
            Protocol::P2p(peer) => Some(peer),
            _ => None,
        });
        if let Some(peer) = named.filter(|peer| self.peers.is_blocked(*peer)) {
            let _ = reply.send(Err(JoinError::Blocked { peer }));
            return;
        }
        // A new port each time: a second connection between the same two ports cannot exist.
        let options = match named {
            Some(peer) => DialOpts::peer_id(peer)
                .addresses(vec![address.clone()])
                .condition(PeerCondition::Always)
                .allocate_new_port()
                .build(),
            None => DialOpts::unknown_peer_id()
                .address(address.clone())
                .allocate_new_port()
                .build(),
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => self.dials.start_join(connection, address, reply),
            Err(error) => {
                let _ = reply.send(Err(explain_dial(&address, &error)));
            }
        }
    }

    fn connect(
        &mut self,
        peer: PeerId,
        lane: Lane,
        reply: oneshot::Sender<Result<(), StreamError>>,
    ) {
        if self.peers.is_blocked(peer) {
            let _ = reply.send(Err(StreamError::Blocked { peer }));
            return;
        }
        if self.connections.has(peer, lane) {
            let _ = reply.send(Ok(()));
            return;
        }
        let Some(reply) = self.dials.await_connection(peer, lane, reply) else {
            return;
        };
        if lane == Lane::Bulk && !self.peers.may_dial_for_bulk(peer) {
            let cause = "it could not be dialled a short while ago".to_owned();
            let _ = reply.send(Err(StreamError::Unreachable { peer, cause }));
            return;
        }
        let addresses = self.peers.addresses(peer);
        if addresses.is_empty() {
            let _ = reply.send(Err(StreamError::Unknown { peer }));
            return;
        }
        let options = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::Always)
            .allocate_new_port()
            .build();
        let connection = options.connection_id();
        if lane == Lane::Bulk {
            self.connections.reserve_for_bulk(connection);
        }
        match self.swarm.dial(options) {
            Ok(()) => self.dials.start_connect(connection, peer, lane, reply),
            Err(error) => {
                self.connections.forget_dial(connection);
                let cause = error.to_string();
                let _ = reply.send(Err(StreamError::Unreachable { peer, cause }));
            }
        }
    }

    fn block(&mut self, peer: PeerId) {
        self.peers.block(peer);
        let behaviour = self.swarm.behaviour_mut();
        behaviour.gossip.blacklist_peer(&peer);
        behaviour.kad.remove_peer(&peer);
        if behaviour.gate.block_peer(peer) {
            self.tell(NetworkEvent::PeerBlocked { peer });
        }
    }

    fn unblock(&mut self, peer: PeerId) {
        let behaviour = self.swarm.behaviour_mut();
        behaviour.gossip.remove_blacklisted_peer(&peer);
        if behaviour.gate.unblock_peer(peer) {
            self.peers.unblock(peer);
            self.tell(NetworkEvent::PeerUnblocked { peer });
        }
    }

    fn subscribe(
        &mut self,
        topic: &str,
    ) -> Result<broadcast::Receiver<Announcement>, NetworkError> {
        let topic = gossip::topic(self.settings.id, topic)?;
        let queue = self.settings.limits.gossip_queue;
        let (receiver, new) = self.subscribers.add(&topic, queue)?;
        if new {
            let subscribed = self.swarm.behaviour_mut().gossip.subscribe(&topic);
            subscribed.map_err(|error| NetworkError::Setup {
                cause: error.to_string(),
            })?;
        }
        Ok(receiver)
    }

    fn publish(&mut self, topic: &str, data: Vec<u8>) -> Result<bool, NetworkError> {
        let topic = gossip::topic(self.settings.id, topic)?;
        let size = data.len();
        let limit = Limits::GOSSIP_BYTES;
        if size > limit {
            return Err(NetworkError::TooLarge { size, limit });
        }
        match self.swarm.behaviour_mut().gossip.publish(topic, data) {
            Ok(_) | Err(gossipsub::PublishError::Duplicate) => Ok(true),
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => Ok(false),
            Err(gossipsub::PublishError::MessageTooLarge) => {
                Err(NetworkError::TooLarge { size, limit })
            }
            Err(gossipsub::PublishError::AllQueuesFull(_)) => Err(NetworkError::Busy),
            Err(error) => Err(NetworkError::Setup {
                cause: error.to_string(),
            }),
        }
    }

    /// Keeps the node connected: peers that went away are dialled again, each less and less often.
    fn upkeep(&mut self) {
        self.dials.drop_abandoned();
        let wanted = self.settings.limits.neighbours;
        let missing = wanted.saturating_sub(self.peers.connected_count());
        for (peer, addresses) in self.peers.due(missing.min(DIALS_AT_ONCE)) {
            let options = DialOpts::peer_id(peer)
                .addresses(addresses)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .allocate_new_port()
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%peer, %error, "a known peer is not dialled");
            }
        }
    }

    fn tell(&self, event: NetworkEvent) {
        // An error means that nobody watches at the moment.
        let _ = self.events.send(event);
    }
}

/// A private network runs over TCP only; saying so beats an attempt that cannot succeed.
fn joinable(address: &Multiaddr) -> Result<(), String> {
    let mut parts = address.iter();
    let host = matches!(
        parts.next(),
        Some(
            Protocol::Ip4(_)
                | Protocol::Ip6(_)
                | Protocol::Dns(_)
                | Protocol::Dns4(_)
                | Protocol::Dns6(_)
        )
    );
    if !host {
        return Err("it must begin with /ip4, /ip6, /dns, /dns4 or /dns6".to_owned());
    }
    let port = matches!(parts.next(), Some(Protocol::Tcp(port)) if port > 0);
    let rest: Vec<_> = parts.collect();
    if !port || !matches!(rest.as_slice(), [] | [Protocol::P2p(_)]) {
        return Err("the host is followed by /tcp/PORT and at most /p2p/PEER".to_owned());
    }
    Ok(())
}
