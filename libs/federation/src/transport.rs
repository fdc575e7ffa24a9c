//! The connection: TCP, the swarm key's cipher, Noise, yamux. A failure tells at which of these stages it
//! came, because a wrong swarm key shows only as a greeting that cannot be understood.

use std::error::Error;
use std::io;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, TransportError};
use libp2p::core::upgrade::Version;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId, Transport as _, dns, noise, tcp, yamux};

use crate::half_open::{Bounded, HalfOpen};
use crate::{JoinError, NetworkError, NodeKey, SwarmKey};

/// Share of the deadline for reaching the address.
const REACH_SHARE: u32 = 2;
/// Share of the deadline for the exchange of nonces, which needs one way only.
const NONCES_SHARE: u32 = 3;

pub(crate) type Transport = Boxed<(PeerId, StreamMuxerBox)>;

/// The stage at which a connection failed.
#[derive(Debug, thiserror::Error)]
enum Stage {
    #[error("{0}")]
    Reach(String),
    #[error("{0}")]
    Nonces(String),
}

/// Keeps the stage as its source, where the wrappers around it leave it visible.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct StageFailed(#[source] Stage);

pub(crate) fn build(
    node: &NodeKey,
    key: &SwarmKey,
    deadline: Duration,
) -> Result<Transport, NetworkError> {
    let half_open = HalfOpen::default();
    let inbound = half_open.clone();
    let noise = noise::Config::new(node.keypair()).map_err(|error| NetworkError::Setup {
        cause: error.to_string(),
    })?;
    let cipher = PnetConfig::new(PreSharedKey::new(*key.as_bytes()));
    let nonces = deadline / NONCES_SHARE;
    let reach = TransportTimeout::with_outgoing_timeout(resolving(), deadline / REACH_SHARE)
        .map_err(|error| StageFailed(Stage::Reach(root(&error))));
    let transport = reach
        .and_then(move |socket, point| async move {
            let socket = tokio::time::timeout(nonces, cipher.handshake(socket))
                .await
                .map_err(|_| StageFailed(Stage::Nonces("it stays silent".to_owned())))?
                .map_err(|error| StageFailed(Stage::Nonces(error.to_string())))?;
            if let ConnectedPoint::Listener { send_back_addr, .. } = &point {
                inbound.spoke(send_back_addr);
            }
            Ok(socket)
        })
        .map_err(|failed| failed.into_inner())
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .timeout(deadline)
        .boxed();
    Ok(Bounded::new(transport, half_open).boxed())
}

/// A machine without a resolver can still dial numbers.
fn resolving() -> dns::tokio::Transport<tcp::tokio::Transport> {
    let tcp = || tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    dns::tokio::Transport::system(tcp()).unwrap_or_else(|error| {
        tracing::warn!(%error, "no names can be resolved: peers are dialled by number only");
        let nobody = dns::ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        dns::tokio::Transport::custom(tcp(), nobody, dns::ResolverOpts::default())
    })
}

fn root(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn stage_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Stage> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(stage) = error.downcast_ref::<Stage>() {
            return Some(stage);
        }
        next = error.source();
    }
    None
}

fn failure(address: String, error: &io::Error) -> JoinError {
    let inner = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    match inner.and_then(stage_of) {
        Some(Stage::Reach(cause)) => JoinError::Unreachable {
            address,
            cause: cause.clone(),
        },
        Some(Stage::Nonces(cause)) => JoinError::NotAPeer {
            address,
            cause: cause.clone(),
        },
        None => JoinError::LikelyWrongKey { address },
    }
}

/// What a failed dial of one address means for the person who asked for it.
pub(crate) fn explain_dial(address: &Multiaddr, error: &DialError) -> JoinError {
    let address = address.to_string();
    match error {
        DialError::LocalPeerId { .. } => JoinError::OwnAddress { address },
        DialError::WrongPeerId { obtained, .. } => JoinError::WrongPeer {
            address,
            found: *obtained,
        },
        DialError::Transport(attempts) => match attempts.last() {
            Some((_, TransportError::Other(error))) => failure(address, error),
            Some((_, TransportError::MultiaddrNotSupported(_))) => JoinError::BadAddress {
                address,
                reason: "only TCP can be dialled in a private network".to_owned(),
            },
            None => JoinError::Unreachable {
                address,
                cause: "no attempt was made".to_owned(),
            },
        },
        DialError::Denied { .. }
        | DialError::NoAddresses
        | DialError::DialPeerConditionFalse(_)
        | DialError::Aborted => JoinError::Unreachable {
            address,
            cause: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_found_below_the_wrappers() {
        let failed = StageFailed(Stage::Reach("connection refused".to_owned()));
        let error = io::Error::other(io::Error::other(failed));
        assert_eq!(
            failure("/ip4/192.0.2.1/tcp/1".to_owned(), &error),
            JoinError::Unreachable {
                address: "/ip4/192.0.2.1/tcp/1".to_owned(),
                cause: "connection refused".to_owned()
            }
        );
    }
}
