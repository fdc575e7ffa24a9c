//! The first call between two nodes: each shows its KeySets, each checks that the other's list the node that
//! Noise has proved. It is the only method open to strangers.

use std::sync::Arc;

use async_trait::async_trait;
use oc_federation::PeerInfo;
use oc_proto::federation::v1::identity_service_server::IdentityService;
use oc_proto::federation::v1::{HelloRequest, HelloResponse};
use oc_service::OrStatus as _;
use tonic::{Request, Response, Status};

use crate::discovery::Discovery;
use crate::domain::error::DiscoveryError;
use crate::domain::partner::Introduction;
use crate::domain::skew::skew_ms;

/// Versions of the protocol between organisations that are spoken here, newest first.
pub(crate) const PROTOCOLS: [&str; 1] = ["1"];

/// Checks that there is a common version.
pub(crate) fn speaks_ours(spoken: &[String]) -> Result<(), String> {
    if spoken
        .iter()
        .any(|version| PROTOCOLS.contains(&version.as_str()))
    {
        return Ok(());
    }
    Err(format!(
        "it speaks none of the protocol versions {}: one of the two nodes must be upgraded",
        PROTOCOLS.join(", ")
    ))
}

#[derive(Clone)]
pub(crate) struct HelloFace(pub(crate) Arc<Discovery>);

#[async_trait]
impl IdentityService for HelloFace {
    async fn hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloResponse>, Status> {
        let info = request.extensions().get::<PeerInfo>().copied();
        let info = info.ok_or_else(|| Status::internal("a call without a peer"))?;
        let hello = request.into_inner();
        let refused = |cause: String| DiscoveryError::Introduction {
            peer: info.peer_id.to_string(),
            cause,
        };
        speaks_ours(&hello.protocols).map_err(refused).or_status()?;
        let network = self.0.network(info.network_id);
        let peer = network.and_then(|network| network.peer(info.peer_id));
        let rtt = peer.as_ref().and_then(|peer| peer.rtt).unwrap_or_default();
        let on_its_way = u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.0.clock.now_ms();
        let introduction = Introduction {
            key_sets: hello.key_sets,
            name: hello.name,
            version: hello.version,
            clock_skew_ms: skew_ms(hello.sent_at_ms, now_ms.saturating_sub(on_its_way), now_ms),
        };
        let addresses = peer.map(|peer| peer.addresses).unwrap_or_default();
        self.0
            .directory
            .introduce(info.network_id, info.peer_id, addresses, &introduction)
            .await
            .or_status()?;
        let identity = &self.0.identity;
        Ok(Response::new(HelloResponse {
            key_sets: identity.key_sets(),
            name: self.0.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: PROTOCOLS.map(str::to_owned).to_vec(),
            sent_at_ms: self.0.clock.now_ms(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_need_a_version_in_common() {
        assert!(speaks_ours(&["2".to_owned(), "1".to_owned()]).is_ok());
        assert!(speaks_ours(&["2".to_owned()]).is_err());
        assert!(speaks_ours(&[]).is_err());
    }
}
