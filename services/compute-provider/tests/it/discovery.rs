//! discovery as these tests play it: real keys and statements, no libp2p.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{Method, StatusCode};
use oc_door::{PARTNER, PURPOSE};
use oc_kernel::OrgId;
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::peer_service_server::{PeerService, PeerServiceServer};
use oc_proto::discovery::v1::*;
use oc_service::App;
use oc_service::access::{Access, Role};
use oc_trust::Signer as _;
use tonic::{Request as Rpc, Response as Answer, Status};
use tower::ServiceExt as _;

use crate::world::{NETWORK, World};

const DOOR: &str = "/api/discovery/internal/door/{service}/{method}";
const BULK: &str = "/api/discovery/internal/bulk/{org}/{role}";

/// Plays discovery for one organisation.
#[derive(Clone)]
pub(crate) struct Discovery {
    pub(crate) world: World,
    pub(crate) org: OrgId,
}

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: Rpc<GetIdentityRequest>,
    ) -> Result<Answer<GetIdentityResponse>, Status> {
        let org_id = self.org.to_string();
        Ok(Answer::new(GetIdentityResponse {
            org_id,
            ..Default::default()
        }))
    }

    async fn get_key_sets(
        &self,
        request: Rpc<GetKeySetsRequest>,
    ) -> Result<Answer<GetKeySetsResponse>, Status> {
        let org = request.into_inner().org_id.parse().unwrap();
        if !self.world.knows(&org) {
            return Err(Status::not_found("no such organisation"));
        }
        let key_sets = self.world.member(&org).key_sets;
        Ok(Answer::new(GetKeySetsResponse { key_sets }))
    }

    async fn sign(&self, request: Rpc<SignRequest>) -> Result<Answer<SignResponse>, Status> {
        let member = self.world.member(&self.org);
        if member.silent {
            return Err(Status::unavailable("the keys are locked"));
        }
        let asked = request.into_inner();
        let duty = oc_trust::duty(&asked.payload_type).unwrap_or_default();
        assert!(
            duty.contains(&"compute-provider"),
            "{} is not its duty",
            asked.payload_type
        );
        let signed = member
            .signer
            .sign(&asked.payload_type, &asked.payload)
            .await
            .unwrap();
        Ok(Answer::new(SignResponse {
            envelope: signed.to_json(),
        }))
    }
}

#[tonic::async_trait]
impl PeerService for Discovery {
    async fn list_peers(
        &self,
        _: Rpc<ListPeersRequest>,
    ) -> Result<Answer<ListPeersResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn get_peer(
        &self,
        request: Rpc<GetPeerRequest>,
    ) -> Result<Answer<GetPeerResponse>, Status> {
        let org_id = request.into_inner().org_id;
        let known = org_id.parse().is_ok_and(|org| self.world.knows(&org));
        if !known {
            return Err(Status::not_found("no such peer"));
        }
        let peer = Peer {
            org_id,
            network_id: NETWORK.to_owned(),
            ..Default::default()
        };
        Ok(Answer::new(GetPeerResponse { peer: Some(peer) }))
    }

    async fn block_peer(
        &self,
        _: Rpc<BlockPeerRequest>,
    ) -> Result<Answer<BlockPeerResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn unblock_peer(
        &self,
        _: Rpc<UnblockPeerRequest>,
    ) -> Result<Answer<UnblockPeerResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn publish_head(
        &self,
        _: Rpc<PublishHeadRequest>,
    ) -> Result<Answer<PublishHeadResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

async fn outbound(
    State(discovery): State<Discovery>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let purpose = request.headers()[PURPOSE].to_str().unwrap().to_owned();
    let to = request.headers()[PARTNER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let wanted = if service.ends_with("ComputeService") {
        "grant/"
    } else {
        "run/run-"
    };
    assert!(
        purpose.starts_with(wanted),
        "{service}/{method} for {purpose}"
    );
    let path = format!("/{service}/{method}");
    discovery
        .world
        .carry(discovery.org, to, &path, request)
        .await
}

async fn bulk(
    State(discovery): State<Discovery>,
    Path((org, role)): Path<(OrgId, String)>,
    request: Request,
) -> Response {
    let (caller, target) = (
        discovery.world.member(&discovery.org),
        discovery.world.member(&org),
    );
    let (Some((_, switchboard, _)), false) = (target.node, caller.cut || target.cut) else {
        discovery.world.change(&org, |member| member.missed += 1);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    assert_eq!(role, "objects");
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (mut parts, body) = request.into_parts();
    // What the outer route has noted about the request says nothing about the inner one.
    parts.extensions.clear();
    parts.uri = format!("/api/compute/internal/bulk?{query}")
        .parse()
        .unwrap();
    let request = http::Request::from_parts(parts, tonic::body::Body::new(body));
    let channel = switchboard.channel("discovery", "compute-provider");
    match channel.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(status) => status.into_http::<Body>(),
    }
}

pub(crate) fn app(discovery: Discovery) -> App {
    let mut access = vec![
        Access::rest(Method::POST, DOOR, Role::Service)
            .bulk()
            .undocumented(),
        Access::rest(Method::GET, BULK, Role::Service)
            .bulk()
            .undocumented(),
        Access::rest(Method::PUT, BULK, Role::Service)
            .bulk()
            .undocumented(),
    ];
    let methods = [
        (
            "IdentityService",
            &["GetIdentity", "GetKeySets", "Sign"][..],
        ),
        (
            "PeerService",
            &[
                "ListPeers",
                "GetPeer",
                "BlockPeer",
                "UnblockPeer",
                "PublishHead",
            ],
        ),
    ];
    for (service, methods) in methods {
        for method in methods {
            let path = format!("/oc.discovery.v1.{service}/{method}");
            access.push(Access::rpc(path, Role::Service));
        }
    }
    App {
        rest: axum::Router::new()
            .route(DOOR, post(outbound))
            .route(BULK, get(bulk).put(bulk))
            .with_state(discovery.clone()),
        grpc: tonic::service::Routes::new(IdentityServiceServer::new(discovery.clone()))
            .add_service(PeerServiceServer::new(discovery)),
        descriptors: oc_proto::DESCRIPTORS,
        access,
        ..App::new("discovery")
    }
}
