//! The gRPC face: reads, calls, converts.

use std::sync::Arc;

use async_trait::async_trait;
use oc_kernel::OrgId;
use oc_proto::discovery::v1 as proto;
use oc_proto::discovery::v1::door_service_server::DoorService;
use oc_proto::discovery::v1::identity_service_server::IdentityService;
use oc_proto::discovery::v1::network_service_server::NetworkService;
use oc_proto::discovery::v1::peer_service_server::PeerService;
use oc_service::OrStatus as _;
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use crate::discovery::Discovery;
use crate::domain::error::DiscoveryError;

#[derive(Clone)]
pub(crate) struct Face(pub(crate) Arc<Discovery>);

type Answer<T> = Result<Response<T>, Status>;

impl Discovery {
    pub(crate) fn identity_view(&self) -> proto::GetIdentityResponse {
        let current = self.identity.history.current();
        proto::GetIdentityResponse {
            org_id: self.identity.org.to_string(),
            name: self.name.clone(),
            peer_ids: current.nodes.iter().map(ToString::to_string).collect(),
            key_set_version: current.version,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(crate) async fn key_sets_of(&self, org: &str) -> Result<Vec<Vec<u8>>, DiscoveryError> {
        let org: OrgId = org
            .parse()
            .map_err(|_| DiscoveryError::Name(org.chars().take(80).collect()))?;
        if org == self.identity.org {
            return Ok(self.identity.key_sets());
        }
        let partner = self.directory.settled_partner(org).await?;
        let versions = partner.history.versions().iter();
        Ok(versions.map(|version| version.bytes().to_vec()).collect())
    }

    pub(crate) fn newest_calls(&self, request: &proto::ListCallsRequest) -> Vec<proto::DoorCall> {
        let most = match request.page_size {
            0 => 100,
            size => size as usize,
        };
        self.calls.newest(most)
    }
}

#[async_trait]
impl IdentityService for Face {
    async fn get_identity(
        &self,
        _: Request<proto::GetIdentityRequest>,
    ) -> Answer<proto::GetIdentityResponse> {
        Ok(Response::new(self.0.identity_view()))
    }

    async fn get_key_sets(
        &self,
        request: Request<proto::GetKeySetsRequest>,
    ) -> Answer<proto::GetKeySetsResponse> {
        let key_sets = self
            .0
            .key_sets_of(&request.into_inner().org_id)
            .await
            .or_status()?;
        Ok(Response::new(proto::GetKeySetsResponse { key_sets }))
    }

    async fn sign(&self, request: Request<proto::SignRequest>) -> Answer<proto::SignResponse> {
        let caller = Principal::of_rpc(&request);
        let Principal::Service(service) = caller else {
            return Err(Status::permission_denied(
                "only our services have things signed",
            ));
        };
        let request = request.into_inner();
        let signed = self
            .0
            .identity
            .sign_for(&service, &request.payload_type, &request.payload);
        let envelope = signed.or_status()?.to_json();
        Ok(Response::new(proto::SignResponse { envelope }))
    }
}

#[async_trait]
impl NetworkService for Face {
    async fn create_network(
        &self,
        request: Request<proto::CreateNetworkRequest>,
    ) -> Answer<proto::CreateNetworkResponse> {
        let request = request.into_inner();
        let network = self.0.create_network(&request.name, request.port).await;
        let network = Some(network.or_status()?);
        Ok(Response::new(proto::CreateNetworkResponse { network }))
    }

    async fn invite(
        &self,
        request: Request<proto::InviteRequest>,
    ) -> Answer<proto::InviteResponse> {
        let request = request.into_inner();
        let invitation = self.0.invite(&request.network_id, &request.addresses).await;
        let invitation = invitation.or_status()?;
        Ok(Response::new(proto::InviteResponse { invitation }))
    }

    async fn join_network(
        &self,
        request: Request<proto::JoinNetworkRequest>,
    ) -> Answer<proto::JoinNetworkResponse> {
        let request = request.into_inner();
        let network = self.0.join_network(&request.invitation, request.port).await;
        let network = Some(network.or_status()?);
        Ok(Response::new(proto::JoinNetworkResponse { network }))
    }

    async fn leave_network(
        &self,
        request: Request<proto::LeaveNetworkRequest>,
    ) -> Answer<proto::LeaveNetworkResponse> {
        let id = request.into_inner().network_id;
        self.0.leave_network(&id).await.or_status()?;
        Ok(Response::new(proto::LeaveNetworkResponse {}))
    }

    async fn list_networks(
        &self,
        _: Request<proto::ListNetworksRequest>,
    ) -> Answer<proto::ListNetworksResponse> {
        let networks = self.0.list_networks().await.or_status()?;
        Ok(Response::new(proto::ListNetworksResponse { networks }))
    }
}

#[async_trait]
impl PeerService for Face {
    async fn list_peers(
        &self,
        request: Request<proto::ListPeersRequest>,
    ) -> Answer<proto::ListPeersResponse> {
        let peers = self
            .0
            .peers_of(&request.into_inner().network_id)
            .await
            .or_status()?;
        Ok(Response::new(proto::ListPeersResponse { peers }))
    }

    async fn get_peer(
        &self,
        request: Request<proto::GetPeerRequest>,
    ) -> Answer<proto::GetPeerResponse> {
        let peer = self
            .0
            .peer_of(&request.into_inner().org_id)
            .await
            .or_status()?;
        Ok(Response::new(proto::GetPeerResponse { peer: Some(peer) }))
    }

    async fn block_peer(
        &self,
        request: Request<proto::BlockPeerRequest>,
    ) -> Answer<proto::BlockPeerResponse> {
        let request = request.into_inner();
        self.0
            .block(&request.peer, &request.reason)
            .await
            .or_status()?;
        Ok(Response::new(proto::BlockPeerResponse {}))
    }

    async fn unblock_peer(
        &self,
        request: Request<proto::UnblockPeerRequest>,
    ) -> Answer<proto::UnblockPeerResponse> {
        self.0
            .unblock(&request.into_inner().peer)
            .await
            .or_status()?;
        Ok(Response::new(proto::UnblockPeerResponse {}))
    }

    async fn publish_head(
        &self,
        request: Request<proto::PublishHeadRequest>,
    ) -> Answer<proto::PublishHeadResponse> {
        if !matches!(Principal::of_rpc(&request), Principal::Service(name) if name == "catalog") {
            return Err(Status::permission_denied("only the catalogue has a head"));
        }
        let request = request.into_inner();
        let published = self
            .0
            .publish_head(&request.network_id, &request.head)
            .await;
        published.or_status()?;
        Ok(Response::new(proto::PublishHeadResponse {}))
    }
}

#[async_trait]
impl DoorService for Face {
    async fn list_calls(
        &self,
        request: Request<proto::ListCallsRequest>,
    ) -> Answer<proto::ListCallsResponse> {
        let calls = self.0.newest_calls(&request.into_inner());
        Ok(Response::new(proto::ListCallsResponse { calls }))
    }
}
