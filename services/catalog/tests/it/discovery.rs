//! Discovery as these tests play it: real keys and statements, no libp2p.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::post;
use http::Method;
use oc_door::{PARTNER, PURPOSE};
use oc_kernel::OrgId;
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::network_service_server::{NetworkService, NetworkServiceServer};
use oc_proto::discovery::v1::peer_service_server::{PeerService, PeerServiceServer};
use oc_proto::discovery::v1::*;
use oc_service::App;
use oc_service::access::{Access, Role};
use oc_trust::Signer as _;
use tonic::{Request as Rpc, Response as Answer, Status};

use super::world::World;

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
        let name = self.world.member(&self.org).name;
        Ok(Answer::new(GetIdentityResponse {
            org_id: self.org.to_string(),
            name,
            ..Default::default()
        }))
    }

    async fn get_key_sets(
        &self,
        request: Rpc<GetKeySetsRequest>,
    ) -> Result<Answer<GetKeySetsResponse>, Status> {
        let org = request.into_inner().org_id.parse().unwrap();
        let key_sets = self.world.member(&org).key_sets;
        Ok(Answer::new(GetKeySetsResponse { key_sets }))
    }

    async fn sign(&self, request: Rpc<SignRequest>) -> Result<Answer<SignResponse>, Status> {
        let member = self.world.member(&self.org);
        if member.silent {
            return Err(Status::unavailable("the keys are locked"));
        }
        let request = request.into_inner();
        let envelope = member
            .signer
            .sign(&request.payload_type, &request.payload)
            .await
            .unwrap();
        Ok(Answer::new(SignResponse {
            envelope: envelope.to_json(),
        }))
    }
}

#[tonic::async_trait]
impl NetworkService for Discovery {
    async fn list_networks(
        &self,
        _: Rpc<ListNetworksRequest>,
    ) -> Result<Answer<ListNetworksResponse>, Status> {
        let networks = self.world.member(&self.org).networks.into_iter();
        let networks = networks.map(|network_id| Network {
            network_id,
            ..Default::default()
        });
        Ok(Answer::new(ListNetworksResponse {
            networks: networks.collect(),
        }))
    }

    async fn create_network(
        &self,
        _: Rpc<CreateNetworkRequest>,
    ) -> Result<Answer<CreateNetworkResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn invite(&self, _: Rpc<InviteRequest>) -> Result<Answer<InviteResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn join_network(
        &self,
        _: Rpc<JoinNetworkRequest>,
    ) -> Result<Answer<JoinNetworkResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn leave_network(
        &self,
        _: Rpc<LeaveNetworkRequest>,
    ) -> Result<Answer<LeaveNetworkResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

#[tonic::async_trait]
impl PeerService for Discovery {
    async fn list_peers(
        &self,
        _: Rpc<ListPeersRequest>,
    ) -> Result<Answer<ListPeersResponse>, Status> {
        let me = self.world.member(&self.org);
        let orgs = self.world.members();
        let peers = orgs
            .into_iter()
            .filter(|(org, _)| *org != self.org)
            .filter_map(|(org, peer)| {
                let blocked = me.blocked.contains(&org);
                let shared = me.networks.intersection(&peer.networks).next().cloned();
                let state = match (blocked, peer.cut || me.cut || peer.router.is_none()) {
                    (true, _) => PeerState::Blocked,
                    (false, true) => PeerState::Lost,
                    (false, false) => PeerState::Connected,
                };
                Some(Peer {
                    org_id: org.to_string(),
                    name: peer.name,
                    network_id: if blocked { String::new() } else { shared? },
                    state: state.into(),
                    ..Default::default()
                })
            });
        Ok(Answer::new(ListPeersResponse {
            peers: peers.collect(),
        }))
    }

    async fn publish_head(
        &self,
        request: Rpc<PublishHeadRequest>,
    ) -> Result<Answer<PublishHeadResponse>, Status> {
        self.world
            .gossip(self.org, &request.into_inner().head)
            .await;
        Ok(Answer::new(PublishHeadResponse {}))
    }

    async fn get_peer(&self, _: Rpc<GetPeerRequest>) -> Result<Answer<GetPeerResponse>, Status> {
        Err(Status::unimplemented("not played"))
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
}

async fn outbound(
    State(discovery): State<Discovery>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let purpose = request.headers()[PURPOSE].clone();
    let to = request.headers()[PARTNER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(purpose, "catalogue");
    let path = format!("/{service}/{method}");
    discovery
        .world
        .carry(discovery.org, to, path, request)
        .await
}

pub(crate) fn app(discovery: Discovery) -> App {
    let door = "/api/discovery/internal/door/{service}/{method}";
    let mut access = vec![
        Access::rest(Method::POST, door, Role::Service)
            .bulk()
            .undocumented(),
    ];
    let methods = [
        (
            "IdentityService",
            &["GetIdentity", "GetKeySets", "Sign"][..],
        ),
        (
            "NetworkService",
            &[
                "CreateNetwork",
                "Invite",
                "JoinNetwork",
                "LeaveNetwork",
                "ListNetworks",
            ],
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
            .route(door, post(outbound))
            .with_state(discovery.clone()),
        grpc: tonic::service::Routes::new(IdentityServiceServer::new(discovery.clone()))
            .add_service(NetworkServiceServer::new(discovery.clone()))
            .add_service(PeerServiceServer::new(discovery)),
        descriptors: oc_proto::DESCRIPTORS,
        access,
        ..App::new("discovery")
    }
}
