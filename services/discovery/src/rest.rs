//! The REST face: the same messages in JSON.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use oc_proto::discovery::v1 as proto;
use oc_service::access::{Access, Role};
use oc_service::{Json, Path, Problem, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::discovery::Discovery;
use crate::door::{bulk, outbound};

type Core = State<Arc<Discovery>>;

const DOOR: &str = "/api/discovery/internal/door/{service}/{method}";
const BULK: &str = "/api/discovery/internal/bulk/{org}/{role}";

pub(crate) fn api() -> OpenApiRouter<Arc<Discovery>> {
    OpenApiRouter::new()
        .routes(routes!(get_identity))
        .routes(routes!(list_networks, create_network))
        .routes(routes!(join_network))
        .routes(routes!(leave_network))
        .routes(routes!(invite))
        .routes(routes!(list_peers))
        .routes(routes!(get_peer))
        .routes(routes!(block_peer, unblock_peer))
        .routes(routes!(list_calls))
}

/// The door's inner side, for our services only.
pub(crate) fn door() -> Router<Arc<Discovery>> {
    Router::new()
        .route(DOOR, post(outbound::call))
        .route(BULK, get(bulk::fetch).put(bulk::send))
}

pub(crate) fn access() -> Vec<Access> {
    let rest = |method, path, role| Access::rest(method, path, role);
    vec![
        rest(Method::GET, "/api/discovery/v1/identity", Role::User),
        rest(Method::GET, "/api/discovery/v1/networks", Role::User),
        rest(Method::POST, "/api/discovery/v1/networks", Role::Admin),
        rest(Method::POST, "/api/discovery/v1/networks/join", Role::Admin),
        rest(
            Method::DELETE,
            "/api/discovery/v1/networks/{id}",
            Role::Admin,
        ),
        rest(
            Method::POST,
            "/api/discovery/v1/networks/{id}/invitations",
            Role::Admin,
        ),
        rest(Method::GET, "/api/discovery/v1/peers", Role::User),
        rest(Method::GET, "/api/discovery/v1/peers/{org}", Role::User),
        rest(
            Method::PUT,
            "/api/discovery/v1/peers/{org}/block",
            Role::Operator,
        ),
        rest(
            Method::DELETE,
            "/api/discovery/v1/peers/{org}/block",
            Role::Operator,
        ),
        rest(Method::GET, "/api/discovery/v1/calls", Role::Operator),
        rest(Method::POST, DOOR, Role::Service)
            .bulk()
            .undocumented(),
        rest(Method::GET, BULK, Role::Service).bulk().undocumented(),
        rest(Method::PUT, BULK, Role::Service).bulk().undocumented(),
    ]
}

/// Who this organisation is.
#[utoipa::path(get, path = "/api/discovery/v1/identity", tag = "identity",
    responses((status = 200, body = proto::GetIdentityResponse)))]
async fn get_identity(State(core): Core) -> Json<proto::GetIdentityResponse> {
    Json(core.identity_view())
}

/// The networks this organisation is in.
#[utoipa::path(get, path = "/api/discovery/v1/networks", tag = "networks",
    responses((status = 200, body = proto::ListNetworksResponse)))]
async fn list_networks(State(core): Core) -> Result<Json<proto::ListNetworksResponse>, Problem> {
    let networks = core.list_networks().await?;
    Ok(Json(proto::ListNetworksResponse { networks }))
}

/// Makes a network with a fresh key.
#[utoipa::path(post, path = "/api/discovery/v1/networks", tag = "networks",
    request_body = proto::CreateNetworkRequest,
    responses((status = 201, body = proto::CreateNetworkResponse), (status = 422, body = Problem)))]
async fn create_network(
    State(core): Core,
    Json(request): Json<proto::CreateNetworkRequest>,
) -> Result<(StatusCode, Json<proto::CreateNetworkResponse>), Problem> {
    let network = Some(core.create_network(&request.name, request.port).await?);
    let response = proto::CreateNetworkResponse { network };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Joins a network by an invitation.
#[utoipa::path(post, path = "/api/discovery/v1/networks/join", tag = "networks",
    request_body = proto::JoinNetworkRequest,
    responses((status = 200, body = proto::JoinNetworkResponse), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
async fn join_network(
    State(core): Core,
    Json(request): Json<proto::JoinNetworkRequest>,
) -> Result<Json<proto::JoinNetworkResponse>, Problem> {
    let network = Some(core.join_network(&request.invitation, request.port).await?);
    Ok(Json(proto::JoinNetworkResponse { network }))
}

/// Leaves a network and forgets its key and its peers.
#[utoipa::path(delete, path = "/api/discovery/v1/networks/{id}", tag = "networks",
    params(("id" = String, Path, description = "Id of the network")),
    responses((status = 200, body = proto::LeaveNetworkResponse), (status = 404, body = Problem)))]
async fn leave_network(
    State(core): Core,
    Path(id): Path<String>,
) -> Result<Json<proto::LeaveNetworkResponse>, Problem> {
    core.leave_network(&id).await?;
    Ok(Json(proto::LeaveNetworkResponse {}))
}

/// One string by which another organisation can join.
#[utoipa::path(post, path = "/api/discovery/v1/networks/{id}/invitations", tag = "networks",
    params(("id" = String, Path, description = "Id of the network")),
    request_body = proto::InviteRequest,
    responses((status = 201, body = proto::InviteResponse), (status = 404, body = Problem)))]
async fn invite(
    State(core): Core,
    Path(id): Path<String>,
    Json(request): Json<proto::InviteRequest>,
) -> Result<(StatusCode, Json<proto::InviteResponse>), Problem> {
    let invitation = core.invite(&id, &request.addresses).await?;
    Ok((
        StatusCode::CREATED,
        Json(proto::InviteResponse { invitation }),
    ))
}

/// Other organisations' nodes.
#[utoipa::path(get, path = "/api/discovery/v1/peers", tag = "peers",
    params(("network_id" = Option<String>, Query, description = "Only of this network")),
    responses((status = 200, body = proto::ListPeersResponse)))]
async fn list_peers(
    State(core): Core,
    Query(request): Query<proto::ListPeersRequest>,
) -> Result<Json<proto::ListPeersResponse>, Problem> {
    let peers = core.peers_of(&request.network_id).await?;
    Ok(Json(proto::ListPeersResponse { peers }))
}

/// One other organisation.
#[utoipa::path(get, path = "/api/discovery/v1/peers/{org}", tag = "peers",
    params(("org" = String, Path, description = "OrgId")),
    responses((status = 200, body = proto::GetPeerResponse), (status = 404, body = Problem)))]
async fn get_peer(
    State(core): Core,
    Path(org): Path<String>,
) -> Result<Json<proto::GetPeerResponse>, Problem> {
    let peer = Some(core.peer_of(&org).await?);
    Ok(Json(proto::GetPeerResponse { peer }))
}

/// Refuses everything from and to an organisation.
#[utoipa::path(put, path = "/api/discovery/v1/peers/{org}/block", tag = "peers",
    params(("org" = String, Path, description = "OrgId or PeerId")),
    request_body = proto::BlockPeerRequest,
    responses((status = 200, body = proto::BlockPeerResponse), (status = 404, body = Problem)))]
async fn block_peer(
    State(core): Core,
    Path(org): Path<String>,
    Json(request): Json<proto::BlockPeerRequest>,
) -> Result<Json<proto::BlockPeerResponse>, Problem> {
    core.block(&org, &request.reason).await?;
    Ok(Json(proto::BlockPeerResponse {}))
}

/// Lifts a block.
#[utoipa::path(delete, path = "/api/discovery/v1/peers/{org}/block", tag = "peers",
    params(("org" = String, Path, description = "OrgId or PeerId")),
    responses((status = 200, body = proto::UnblockPeerResponse), (status = 404, body = Problem)))]
async fn unblock_peer(
    State(core): Core,
    Path(org): Path<String>,
) -> Result<Json<proto::UnblockPeerResponse>, Problem> {
    core.unblock(&org).await?;
    Ok(Json(proto::UnblockPeerResponse {}))
}

/// The newest calls through the door.
#[utoipa::path(get, path = "/api/discovery/v1/calls", tag = "door",
    params(("page_size" = Option<u32>, Query, description = "At most so many, 100 by default")),
    responses((status = 200, body = proto::ListCallsResponse)))]
async fn list_calls(
    State(core): Core,
    Query(request): Query<proto::ListCallsRequest>,
) -> Json<proto::ListCallsResponse> {
    let calls = core.newest_calls(&request);
    Json(proto::ListCallsResponse { calls })
}
