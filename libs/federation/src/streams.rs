//! Streams of our own protocols: a behaviour that chooses the connection, bounds what waits, and refuses with
//! a reason instead of dropping.

mod connections;
mod handler;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol as AddressPart;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, StreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

pub(crate) use connections::{Connections, Lane, OpenFailure};
use handler::Handler;

/// A protocol of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// gRPC: HTTP/2 (RFC 9113) with prior knowledge on one stream.
    Grpc,
    /// Bulk data, see [`crate::bulk`].
    Bulk,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::Grpc, Self::Bulk];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "/opencloud/grpc/1",
            Self::Bulk => "/opencloud/bulk/1",
        }
    }

    pub(crate) const fn wire(self) -> StreamProtocol {
        StreamProtocol::new(self.name())
    }

    /// Bulk data has connections of its own, so that calls never wait behind it.
    pub(crate) const fn lane(self) -> Lane {
        match self {
            Self::Grpc => Lane::Calls,
            Self::Bulk => Lane::Bulk,
        }
    }
}

/// A stream to or from a peer whose PeerId is proved. Dropping it before it was shut down resets it.
#[derive(Debug)]
pub struct PeerStream(Compat<libp2p::Stream>);

impl PeerStream {
    pub(crate) fn new(stream: libp2p::Stream) -> Self {
        Self(stream.compat())
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A stream that a peer opened.
#[derive(Debug)]
pub struct InboundStream {
    /// Who opened it.
    pub peer: PeerId,
    /// The stream.
    pub stream: PeerStream,
}

/// The part of the swarm that keeps [`Connections`] up to date.
pub(crate) struct Behaviour {
    connections: Connections,
}

impl Behaviour {
    pub(crate) const fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

fn relayed(address: &Multiaddr) -> bool {
    address
        .iter()
        .any(|part| matches!(part, AddressPart::P2pCircuit))
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let relayed = relayed(local) || relayed(remote);
        let requests = self.connections.add(peer, connection, relayed);
        Ok(Handler::new(peer, requests, self.connections.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let requests = self.connections.add(peer, connection, relayed(address));
        Ok(Handler::new(peer, requests, self.connections.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            connection_id,
            ..
        }) = event
        {
            self.connections.remove(peer_id, connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
