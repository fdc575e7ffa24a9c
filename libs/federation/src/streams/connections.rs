//! Which connections there are, shared between the swarm, its connections and everyone who opens streams.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::swarm::{ConnectionId, StreamProtocol};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{InboundStream, PeerStream, Protocol};

/// Streams that one connection may be opening at the same time.
const OPENING: usize = 64;
/// Refusals that may be on their way at the same time; beyond it a stream is reset without one.
const REFUSING: usize = 16;
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Calls,
    Bulk,
}

/// Asks a connection for a new stream.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(super) protocol: Protocol,
    pub(super) reply: oneshot::Sender<Result<PeerStream, OpenFailure>>,
}

/// Why a connection gave no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenFailure {
    /// There is no connection, or it closed meanwhile.
    NotConnected,
    /// Too many streams are being opened on it.
    Busy,
    /// The peer does not speak the protocol.
    Unsupported,
    /// The peer did not answer.
    Timeout,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    lane: Lane,
    relayed: bool,
    requests: mpsc::Sender<OpenRequest>,
}

#[derive(Debug)]
struct Taker {
    queue: mpsc::Sender<InboundStream>,
    refusal: Bytes,
}

#[derive(Debug, Default)]
struct Inner {
    connections: HashMap<PeerId, Vec<Connection>>,
    dialled_for_bulk: HashSet<ConnectionId>,
    takers: HashMap<Protocol, Taker>,
    closed: bool,
}

/// The connections of one network.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    inner: Arc<Mutex<Inner>>,
    refusing: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::default(),
            refusing: Arc::new(Semaphore::new(REFUSING)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says before dialling that a connection will carry bulk data.
    pub(crate) fn reserve_for_bulk(&self, connection: ConnectionId) {
        self.lock().dialled_for_bulk.insert(connection);
    }

    pub(crate) fn forget_dial(&self, connection: ConnectionId) {
        self.lock().dialled_for_bulk.remove(&connection);
    }

    pub(super) fn add(
        &self,
        peer: PeerId,
        id: ConnectionId,
        relayed: bool,
    ) -> mpsc::Receiver<OpenRequest> {
        let (requests, receiver) = mpsc::channel(OPENING);
        let mut inner = self.lock();
        let lane = if inner.dialled_for_bulk.remove(&id) {
            Lane::Bulk
        } else {
            Lane::Calls
        };
        let connections = inner.connections.entry(peer).or_default();
        // One of the other behaviours may still deny this connection; then its receiver is dropped.
        connections.retain(|connection| !connection.requests.is_closed());
        connections.push(Connection {
            id,
            lane,
            relayed,
            requests,
        });
        receiver
    }

    pub(super) fn remove(&self, peer: PeerId, id: ConnectionId) {
        let mut inner = self.lock();
        if let Some(connections) = inner.connections.get_mut(&peer) {
            connections.retain(|connection| connection.id != id);
            if connections.is_empty() {
                inner.connections.remove(&peer);
            }
        }
    }

    /// True where a stream for this lane needs no new connection.
    pub(crate) fn has(&self, peer: PeerId, lane: Lane) -> bool {
        let inner = self.lock();
        let connections = inner.connections.get(&peer).into_iter().flatten();
        connections
            .filter(|connection| !connection.requests.is_closed())
            .any(|connection| connection.lane == lane)
    }

    /// The connection to open a stream on: of the right lane, direct before relayed, the oldest first.
    fn choose(&self, peer: PeerId, lane: Lane) -> Option<mpsc::Sender<OpenRequest>> {
        let inner = self.lock();
        let connections = inner.connections.get(&peer)?;
        connections
            .iter()
            .filter(|connection| !connection.requests.is_closed())
            .min_by_key(|connection| (connection.lane != lane, connection.relayed))
            .map(|connection| connection.requests.clone())
    }

    /// Opens a stream on a connection that exists.
    pub(crate) async fn open(
        &self,
        peer: PeerId,
        protocol: Protocol,
    ) -> Result<PeerStream, OpenFailure> {
        let requests = self
            .choose(peer, protocol.lane())
            .ok_or(OpenFailure::NotConnected)?;
        let (reply, answer) = oneshot::channel();
        requests
            .try_send(OpenRequest { protocol, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => OpenFailure::Busy,
                mpsc::error::TrySendError::Closed(_) => OpenFailure::NotConnected,
            })?;
        answer.await.unwrap_or(Err(OpenFailure::NotConnected))
    }

    /// Takes the inbound streams of a protocol from now on; none if someone takes them already.
    /// `refusal` is what a peer is sent when the queue is full, in the protocol's own terms.
    pub(crate) fn take(
        &self,
        protocol: Protocol,
        queue: usize,
        refusal: Bytes,
    ) -> Option<mpsc::Receiver<InboundStream>> {
        let mut inner = self.lock();
        let taken = inner.takers.get(&protocol);
        if inner.closed || taken.is_some_and(|taker| !taker.queue.is_closed()) {
            return None;
        }
        let (queue, receiver) = mpsc::channel(queue);
        inner.takers.insert(protocol, Taker { queue, refusal });
        Some(receiver)
    }

    pub(super) fn offered(&self) -> Vec<StreamProtocol> {
        let inner = self.lock();
        Protocol::ALL
            .into_iter()
            .filter(|protocol| inner.takers.contains_key(protocol))
            .map(Protocol::wire)
            .collect()
    }

    pub(super) fn deliver(&self, peer: PeerId, protocol: &StreamProtocol, stream: libp2p::Stream) {
        let refused = {
            let inner = self.lock();
            let taker = inner
                .takers
                .iter()
                .find(|(taken, _)| taken.name() == protocol.as_ref());
            let Some((_, taker)) = taker else { return };
            let stream = PeerStream::new(stream);
            match taker.queue.try_send(InboundStream { peer, stream }) {
                Ok(()) => return,
                Err(error) => (error.into_inner(), taker.refusal.clone()),
            }
        };
        let (InboundStream { stream, .. }, refusal) = refused;
        tracing::warn!(%peer, protocol = protocol.as_ref(), "a stream is refused: the queue is full");
        self.refuse(stream, refusal);
    }

    fn refuse(&self, mut stream: PeerStream, refusal: Bytes) {
        let Ok(permit) = self.refusing.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _permit = permit;
            let goodbye = async {
                stream.write_all(&refusal).await?;
                stream.shutdown().await
            };
            if let Ok(Err(error)) = tokio::time::timeout(REFUSAL_DEADLINE, goodbye).await {
                tracing::debug!(%error, "a refusal did not reach the peer");
            }
        });
    }

    /// Ends every queue: whoever takes streams sees their end.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.takers.clear();
        inner.connections.clear();
    }
}
