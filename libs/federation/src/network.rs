//! The handle to a network: everything that may be asked of it, each with a deadline.

mod listen;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libp2p::{Multiaddr, PeerId, Swarm, swarm};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::behaviour::Behaviour;
use crate::dials::Dials;
use crate::driver::{Command, Driver};
use crate::gossip::{Rates, Subscribers};
use crate::peers::Peers;
use crate::streams::{Connections, InboundStream, OpenFailure, PeerStream, Protocol};
use crate::{
    Announcement, JoinError, Limits, NetworkError, NetworkEvent, NetworkId, NetworkSettings, Peer,
    StreamError, grpc, transport,
};

const COMMANDS: usize = 256;
const EVENTS: usize = 1024;
const ANSWER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
/// Bulk connections end this long after their last stream; those for calls stay.
const IDLE: Duration = Duration::from_secs(60);

/// A network this node takes part in. Cheap to clone; the node leaves when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: NetworkId,
    local: PeerId,
    limits: Limits,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<NetworkEvent>,
    peers: Peers,
    connections: Connections,
    channels: Mutex<grpc::Channels>,
}

impl Network {
    /// Starts to take part in a network and waits until the node listens.
    ///
    /// # Errors
    /// When an address cannot be listened on or a part cannot be set up.
    pub async fn start(settings: NetworkSettings) -> Result<Self, NetworkError> {
        let limits = settings.limits.clone();
        let connections = Connections::new();
        let transport = transport::build(&settings.node, &settings.key, limits.connect)?;
        let behaviour = Behaviour::new(&settings, connections.clone())?;
        let local = settings.node.peer_id();
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE);
        let mut swarm = Swarm::new(transport, behaviour, local, config);
        listen::listen(&mut swarm, &settings.listen).await?;
        for address in &settings.announce {
            swarm.add_external_address(address.clone());
        }
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let peers = Peers::new(limits.known_peers);
        let shared = Shared {
            id: settings.id,
            local,
            commands,
            events: events.clone(),
            peers: peers.clone(),
            connections: connections.clone(),
            channels: Mutex::default(),
            limits: limits.clone(),
        };
        let driver = Driver {
            swarm,
            commands: receiver,
            events,
            peers,
            connections,
            dials: Dials::default(),
            subscribers: Subscribers::default(),
            rates: Rates::new(&limits),
            settings,
        };
        tokio::spawn(driver.run());
        Ok(Self(Arc::new(shared)))
    }

    /// The network's id.
    pub fn id(&self) -> NetworkId {
        self.0.id
    }

    /// This node's name.
    pub fn local_peer(&self) -> PeerId {
        self.0.local
    }

    /// Where this node listens, without its name.
    ///
    /// # Errors
    /// When the network was left.
    pub async fn listeners(&self) -> Result<Vec<Multiaddr>, NetworkError> {
        self.ask("list its addresses", |reply| Command::Listeners { reply })
            .await
    }

    /// Connects through one address and waits until the peer there has introduced itself.
    ///
    /// # Errors
    /// Tells a wrong key from an address where nothing answers.
    pub async fn dial(&self, address: &Multiaddr) -> Result<PeerId, JoinError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Join {
            address: address.clone(),
            reply,
        };
        let done = async {
            let sent = self.0.commands.send(command).await;
            sent.map_err(|_| JoinError::Closed)?;
            answer.await.map_err(|_| JoinError::Closed)?
        };
        // Connecting has its own deadline; the rest is the peer's introduction.
        let deadline = self.0.limits.connect + Duration::from_secs(2);
        timeout(deadline, done).await.unwrap_or_else(|_| {
            Err(JoinError::Timeout {
                address: address.to_string(),
            })
        })
    }

    /// Joins through the first of some addresses that answers. What may pass is tried again until
    /// the deadline; a wrong key or a second refusal ends the attempts at that address.
    ///
    /// # Errors
    /// The most telling of the addresses' errors.
    pub async fn join(
        &self,
        addresses: &[Multiaddr],
        deadline: Duration,
    ) -> Result<PeerId, JoinError> {
        let until = Instant::now() + deadline;
        let mut attempts: FuturesUnordered<_> = addresses
            .iter()
            .map(|address| self.dial_until(address, until))
            .collect();
        let mut telling = JoinError::NoAddress;
        while let Some(outcome) = attempts.next().await {
            match outcome {
                Ok(peer) => return Ok(peer),
                Err(error) if weight(&error) >= weight(&telling) => telling = error,
                Err(_) => {}
            }
        }
        Err(telling)
    }

    async fn dial_until(&self, address: &Multiaddr, until: Instant) -> Result<PeerId, JoinError> {
        let mut last = JoinError::Timeout {
            address: address.to_string(),
        };
        let mut refused = false;
        loop {
            match timeout_at(until, self.dial(address)).await {
                Ok(Err(error)) if error.transient() => last = error,
                // A member that strangers flood may close a connection that it would keep a moment later.
                Ok(Err(error @ JoinError::Refused { .. })) if !refused => {
                    refused = true;
                    last = error;
                }
                Ok(outcome) => return outcome,
                Err(_) => return Err(last),
            }
            if Instant::now() + RETRY >= until {
                return Err(last);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Every peer this node knows, by name.
    pub fn peers(&self) -> Vec<Peer> {
        self.0.peers.list()
    }

    /// One peer.
    pub fn peer(&self, peer: PeerId) -> Option<Peer> {
        self.0.peers.get(peer)
    }

    /// Tells the network where a peer was found before, so that it is dialled again after a restart.
    ///
    /// # Errors
    /// When the network was left.
    pub async fn remember(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<(), NetworkError> {
        let command = Command::Remember { peer, addresses };
        let sent = timeout(ANSWER, self.0.commands.send(command)).await;
        sent.map_err(|_| NetworkError::Busy)?
            .map_err(|_| NetworkError::Closed)
    }

    /// What happens from now on; a slow reader is told how many events it missed.
    pub fn events(&self) -> broadcast::Receiver<NetworkEvent> {
        self.0.events.subscribe()
    }

    /// Refuses a peer from now on, in both directions, and closes its connections.
    ///
    /// # Errors
    /// When the network was left.
    pub async fn block(&self, peer: PeerId) -> Result<(), NetworkError> {
        self.ask("block a peer", |reply| Command::Block { peer, reply })
            .await
    }

    /// Takes a block back.
    ///
    /// # Errors
    /// When the network was left.
    pub async fn unblock(&self, peer: PeerId) -> Result<(), NetworkError> {
        self.ask("unblock a peer", |reply| Command::Unblock { peer, reply })
            .await
    }

    /// Announces something to everyone who subscribed; false when nobody does yet.
    ///
    /// # Errors
    /// When it is too large, the topic is none, or the neighbours' queues are full.
    pub async fn publish(&self, topic: &str, data: Vec<u8>) -> Result<bool, NetworkError> {
        let topic = topic.to_owned();
        self.ask("announce", |reply| Command::Publish { topic, data, reply })
            .await?
    }

    /// Takes what others announce from now on.
    ///
    /// # Errors
    /// When the topic is none or there are too many.
    pub async fn subscribe(
        &self,
        topic: &str,
    ) -> Result<broadcast::Receiver<Announcement>, NetworkError> {
        let topic = topic.to_owned();
        self.ask("subscribe", |reply| Command::Subscribe { topic, reply })
            .await?
    }

    /// Opens a stream to a peer, connecting first where needed.
    ///
    /// # Errors
    /// When the peer is unknown, blocked, out of reach or does not speak the protocol.
    pub async fn open_stream(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> Result<PeerStream, StreamError> {
        let open = async {
            // A connection may close between being chosen and being used: once more, then give up.
            self.connect(peer, protocol).await?;
            match self.0.connections.open(peer, protocol).await {
                Err(OpenFailure::NotConnected) => {}
                other => return other.map_err(|failure| stream_error(peer, protocol, failure)),
            }
            self.connect(peer, protocol).await?;
            let again = self.0.connections.open(peer, protocol).await;
            again.map_err(|failure| stream_error(peer, protocol, failure))
        };
        timeout(self.0.limits.open_stream, open)
            .await
            .unwrap_or(Err(StreamError::Timeout { peer }))
    }

    async fn connect(&self, peer: PeerId, protocol: Protocol) -> Result<(), StreamError> {
        let lane = protocol.lane();
        if self.0.peers.is_blocked(peer) {
            return Err(StreamError::Blocked { peer });
        }
        if self.0.connections.has(peer, lane) {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Connect { peer, lane, reply };
        let sent = self.0.commands.send(command).await;
        sent.map_err(|_| StreamError::Closed)?;
        let outcome = answer.await.unwrap_or(Err(StreamError::Closed));
        // A peer that cannot be dialled may have dialled us: any connection is better than none.
        let reachable = |error: &StreamError| {
            let final_one = matches!(error, StreamError::Blocked { .. } | StreamError::Closed);
            !final_one && self.peer(peer).is_some_and(|peer| peer.connections > 0)
        };
        outcome.or_else(|error| {
            if reachable(&error) {
                Ok(())
            } else {
                Err(error)
            }
        })
    }

    /// Takes the streams of a protocol that peers open from now on. When the queue is full, a peer is sent
    /// `refusal` and its stream is closed.
    ///
    /// # Errors
    /// When someone takes them already.
    pub(crate) fn take_streams(
        &self,
        protocol: Protocol,
        refusal: bytes::Bytes,
    ) -> Result<mpsc::Receiver<InboundStream>, NetworkError> {
        let queue = self.0.limits.inbound_queue;
        let taken = self.0.connections.take(protocol, queue, refusal);
        taken.ok_or(NetworkError::Taken {
            protocol: protocol.name(),
        })
    }

    /// The way to call a peer; the same connection is shared by all who ask.
    pub fn channel(&self, peer: PeerId) -> grpc::PeerChannel {
        let mut channels = self
            .0
            .channels
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        channels.get(self, peer)
    }

    pub(crate) fn downgrade(&self) -> WeakNetwork {
        WeakNetwork(Arc::downgrade(&self.0))
    }

    /// Leaves: closes every connection and forgets every peer.
    ///
    /// # Errors
    /// When the network did not close in time.
    pub async fn leave(&self) -> Result<(), NetworkError> {
        match self.ask("close", |reply| Command::Leave { reply }).await {
            Err(NetworkError::Closed) => Ok(()),
            other => other,
        }
    }

    async fn ask<T>(
        &self,
        what: &'static str,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NetworkError> {
        let (reply, answer) = oneshot::channel();
        let done = async {
            let sent = self.0.commands.send(command(reply)).await;
            sent.map_err(|_| NetworkError::Closed)?;
            answer.await.map_err(|_| NetworkError::Closed)
        };
        timeout(ANSWER, done)
            .await
            .unwrap_or(Err(NetworkError::Timeout { what }))
    }
}

/// A handle that does not keep the node in the network.
#[derive(Debug, Clone)]
pub(crate) struct WeakNetwork(std::sync::Weak<Shared>);

impl WeakNetwork {
    pub(crate) fn upgrade(&self) -> Option<Network> {
        self.0.upgrade().map(Network)
    }
}

/// How much an error tells the person who wants to join.
const fn weight(error: &JoinError) -> u8 {
    match error {
        JoinError::LikelyWrongKey { .. } | JoinError::OtherNetwork { .. } => 4,
        JoinError::Refused { .. } | JoinError::Blocked { .. } => 3,
        JoinError::WrongPeer { .. } | JoinError::NotAPeer { .. } | JoinError::Timeout { .. } => 2,
        JoinError::OwnAddress { .. }
        | JoinError::BadAddress { .. }
        | JoinError::Unreachable { .. }
        | JoinError::Closed => 1,
        JoinError::NoAddress => 0,
    }
}

fn stream_error(peer: PeerId, protocol: Protocol, failure: OpenFailure) -> StreamError {
    match failure {
        OpenFailure::NotConnected => StreamError::Unreachable {
            peer,
            cause: "the connection closed".to_owned(),
        },
        OpenFailure::Busy => StreamError::Busy { peer },
        OpenFailure::Unsupported => StreamError::Unsupported {
            peer,
            protocol: protocol.name(),
        },
        OpenFailure::Timeout => StreamError::Timeout { peer },
    }
}
