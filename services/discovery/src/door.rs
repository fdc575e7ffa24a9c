//! The only door to other organisations: what comes in, what goes out, and what both leave behind.

pub(crate) mod bulk;
pub(crate) mod hello;
pub(crate) mod inbound;
pub(crate) mod outbound;

use std::time::Instant;

use http::{HeaderMap, HeaderName, Response};
use oc_federation::{Network, PeerId, PeerState};
use oc_kernel::{Classify, Clock, Kind, OrgId};
use oc_proto::discovery::v1::DoorCall;
use tonic::body::Body;

use crate::discovery::Discovery;
use crate::domain::calls::OK;
use crate::domain::error::DiscoveryError;
use crate::peers::micros;

/// What gRPC itself needs; everything else is metadata of a caller and ends at the door.
const REQUEST_HEADERS: [&str; 5] = [
    "content-type",
    "te",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
];
const RESPONSE_HEADERS: [&str; 6] = [
    "content-type",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
];

/// The headers without metadata.
fn only(headers: &HeaderMap, wanted: &[&'static str]) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in wanted {
        if let Some(value) = headers.get(*name) {
            kept.insert(HeaderName::from_static(name), value.clone());
        }
    }
    kept
}

fn stripped(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers = only(&parts.headers, &RESPONSE_HEADERS);
    Response::from_parts(parts, body)
}

/// A line of the call log while the call goes on.
struct Line {
    call: DoorCall,
    began: Instant,
    counted_only: bool,
}

impl Line {
    fn new(clock: &dyn Clock, direction: &str, method: &str) -> Self {
        Self {
            call: DoorCall {
                at_ms: clock.now_ms(),
                direction: direction.to_owned(),
                method: method.chars().take(160).collect(),
                ..DoorCall::default()
            },
            began: Instant::now(),
            counted_only: false,
        }
    }

    fn end<T>(mut self, discovery: &Discovery, outcome: &Result<T, DiscoveryError>) {
        match outcome {
            Ok(_) => OK.clone_into(&mut self.call.outcome),
            Err(error) => {
                error.kind().as_str().clone_into(&mut self.call.outcome);
                self.call.cause = error.to_string();
            }
        }
        self.call.micros = micros(self.began.elapsed());
        discovery.calls.add(self.call, self.counted_only);
    }

    /// A gRPC call ends with what its answer begins with.
    fn end_rpc(
        mut self,
        discovery: &Discovery,
        outcome: Result<Response<Body>, DiscoveryError>,
    ) -> Response<Body> {
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                self.call.cause = error.to_string();
                oc_service::status(&error).into_http()
            }
        };
        let status = response.headers().get("grpc-status");
        let code = status.map_or(tonic::Code::Ok, |v| tonic::Code::from_bytes(v.as_bytes()));
        self.call.outcome = match code {
            tonic::Code::Ok => OK.to_owned(),
            code => Kind::from_grpc_code(code.into()).as_str().to_owned(),
        };
        self.call.micros = micros(self.began.elapsed());
        discovery.calls.add(self.call, self.counted_only);
        response
    }
}

impl Discovery {
    /// The node of a partner to call: one that is connected before one that is not, the nearest first.
    async fn choose_node(&self, org: OrgId) -> Result<(Network, PeerId), DiscoveryError> {
        let partner = self.directory.settled_partner(org).await?;
        if partner.record.blocked.is_some() {
            return Err(DiscoveryError::Blocked(org));
        }
        let nodes = partner.record.nodes.iter().filter_map(|node| {
            let network = self.network(node.network_id)?;
            let peer = network.peer(node.peer_id);
            let connected = peer
                .as_ref()
                .is_some_and(|p| p.state == PeerState::Connected);
            let rtt = peer.and_then(|p| p.rtt);
            Some(((!connected, rtt), (network, node.peer_id)))
        });
        let best = nodes.min_by_key(|(rank, _)| *rank);
        best.map(|(_, way)| way)
            .ok_or_else(|| DiscoveryError::Unreachable {
                org,
                cause: "it is in no network that this node is in".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_ends_at_the_door() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "oc-statement",
            "x-request-id",
            "oc-partner",
            "te",
        ] {
            headers.insert(HeaderName::from_static(name), "x".parse().unwrap());
        }
        let kept = only(&headers, &REQUEST_HEADERS);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["te"]);
    }
}
