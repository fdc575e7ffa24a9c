//! The part of [`super::Behaviour`] that lives within one connection.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, StreamUpgradeError,
    SubstreamProtocol,
};
use tokio::sync::mpsc;

use super::PeerStream;
use super::connections::{Connections, OpenFailure, OpenRequest};

const NEGOTIATION: Duration = Duration::from_secs(8);
const NEGOTIATING: usize = 32;

pub(crate) struct Handler {
    peer: PeerId,
    requests: mpsc::Receiver<OpenRequest>,
    negotiating: usize,
    connections: Connections,
}

impl Handler {
    pub(super) const fn new(
        peer: PeerId,
        requests: mpsc::Receiver<OpenRequest>,
        connections: Connections,
    ) -> Self {
        Self {
            peer,
            requests,
            negotiating: 0,
            connections,
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Bare;
    type OutboundProtocol = Bare;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenRequest;

    fn listen_protocol(&self) -> SubstreamProtocol<Bare> {
        SubstreamProtocol::new(Bare(self.connections.offered()), ()).with_timeout(NEGOTIATION)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Bare, OpenRequest, Infallible>> {
        while self.negotiating < NEGOTIATING {
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(request)) if request.reply.is_closed() => {}
                Poll::Ready(Some(request)) => {
                    self.negotiating += 1;
                    let upgrade = Bare(vec![request.protocol.wire()]);
                    return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                        protocol: SubstreamProtocol::new(upgrade, request)
                            .with_timeout(NEGOTIATION),
                    });
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Bare, Bare, (), OpenRequest>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.connections.deliver(self.peer, &protocol, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: request,
            }) => {
                self.negotiating -= 1;
                // Whoever asked may have gone; then the stream is reset by being dropped.
                let _ = request.reply.send(Ok(PeerStream::new(stream)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.negotiating -= 1;
                let failure = match error {
                    StreamUpgradeError::Timeout => OpenFailure::Timeout,
                    StreamUpgradeError::NegotiationFailed => OpenFailure::Unsupported,
                    StreamUpgradeError::Io(_) => OpenFailure::NotConnected,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = info.reply.send(Err(failure));
            }
            _ => {}
        }
    }
}

/// Agrees on the protocol's name and hands the stream over as it is.
pub(crate) struct Bare(Vec<StreamProtocol>);

impl UpgradeInfo for Bare {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Bare {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Bare {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
