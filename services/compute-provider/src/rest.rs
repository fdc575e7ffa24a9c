//! The same over REST, below `/api/compute/v1`.

mod bulk;
mod grants;
mod objects;

use axum::extract::State;
use http::{Method, StatusCode};
use oc_proto::compute::v1 as pb;
use oc_service::access::{Access, Role};
use oc_service::{Json, Path, Problem};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::provider::Provider;

/// What is served and described.
pub(crate) fn api() -> OpenApiRouter<Provider> {
    OpenApiRouter::new()
        .routes(routes!(list_offers, create_offer))
        .routes(routes!(withdraw_offer))
        .routes(routes!(mint_macaroon))
        .routes(routes!(validate_macaroon))
        .merge(grants::api())
        .merge(objects::api())
}

/// The document without wildcards, which OpenAPI does not have: `{*key}` is described as `{key}`.
pub(crate) fn described(mut openapi: OpenApi) -> OpenApi {
    let paths = std::mem::take(&mut openapi.paths.paths);
    let plain = paths
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item));
    openapi.paths.paths = plain.collect();
    openapi
}

/// What only our own services call; no part of the API.
pub(crate) fn internal() -> axum::Router<Provider> {
    bulk::routes()
}

/// Who may call what.
pub(crate) fn access() -> Vec<Access> {
    use Method as M;
    let operator = |method, path: &'static str| {
        Access::rest(method, format!("/api/compute/v1/{path}"), Role::Operator)
    };
    let user = |method, path: &'static str| {
        Access::rest(method, format!("/api/compute/v1/{path}"), Role::User)
    };
    let mut rows = vec![
        user(M::GET, "offers"),
        operator(M::POST, "offers"),
        operator(M::DELETE, "offers/{name}"),
        user(M::GET, "grants"),
        user(M::GET, "grants/{id}"),
        operator(M::POST, "grants"),
        operator(M::POST, "grants/{id}/approve"),
        operator(M::POST, "grants/{id}/deny"),
        operator(M::POST, "grants/{id}/revoke"),
        operator(M::POST, "grants/{id}/end"),
        operator(M::GET, "rules"),
        operator(M::PUT, "rules/{name}"),
        operator(M::DELETE, "rules/{name}"),
        user(M::GET, "storage/{offer}/objects"),
        user(M::GET, "storage/{offer}/objects/{*key}").bulk(),
        user(M::PUT, "storage/{offer}/objects/{*key}").bulk(),
        user(M::DELETE, "storage/{offer}/objects/{*key}"),
        Access::rest(M::POST, "/api/compute/v1/macaroons", Role::Service),
        Access::rest(M::POST, "/api/compute/v1/macaroons/validate", Role::Service),
    ];
    rows.extend(bulk::access());
    rows
}

/// Our offers, with what is held or in use
#[utoipa::path(
    get,
    path = "/api/compute/v1/offers",
    responses((status = 200, body = pb::ListOffersResponse))
)]
async fn list_offers(
    State(provider): State<Provider>,
) -> Result<Json<pb::ListOffersResponse>, Problem> {
    Ok(Json(provider.api_list_offers().await?))
}

/// Offers machines or room
#[utoipa::path(
    post,
    path = "/api/compute/v1/offers",
    request_body = pb::CreateOfferRequest,
    responses(
        (status = 201, body = pb::CreateOfferResponse),
        (status = 400, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    )
)]
async fn create_offer(
    State(provider): State<Provider>,
    Json(request): Json<pb::CreateOfferRequest>,
) -> Result<(StatusCode, Json<pb::CreateOfferResponse>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(provider.api_create_offer(request).await?),
    ))
}

/// Takes an offer back: its grants are revoked, its attempts stopped
#[utoipa::path(
    delete,
    path = "/api/compute/v1/offers/{name}",
    params(("name" = String, Path, description = "The offer")),
    responses((status = 200, body = pb::WithdrawOfferResponse))
)]
async fn withdraw_offer(
    State(provider): State<Provider>,
    Path(name): Path<String>,
) -> Result<Json<pb::WithdrawOfferResponse>, Problem> {
    Ok(Json(
        provider
            .api_withdraw_offer(pb::WithdrawOfferRequest { name })
            .await?,
    ))
}

/// Mints a macaroon for an attempt that runs here
#[utoipa::path(
    post,
    path = "/api/compute/v1/macaroons",
    request_body = pb::MintMacaroonRequest,
    responses((status = 201, body = pb::MintMacaroonResponse), (status = 404, body = Problem))
)]
async fn mint_macaroon(
    State(provider): State<Provider>,
    Json(request): Json<pb::MintMacaroonRequest>,
) -> Result<(StatusCode, Json<pb::MintMacaroonResponse>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(provider.api_mint_macaroon(request).await?),
    ))
}

/// Says whether a macaroon is good for a use, and why not
#[utoipa::path(
    post,
    path = "/api/compute/v1/macaroons/validate",
    request_body = pb::ValidateMacaroonRequest,
    responses((status = 200, body = pb::ValidateMacaroonResponse), (status = 400, body = Problem))
)]
async fn validate_macaroon(
    State(provider): State<Provider>,
    Json(request): Json<pb::ValidateMacaroonRequest>,
) -> Result<Json<pb::ValidateMacaroonResponse>, Problem> {
    Ok(Json(provider.api_validate_macaroon(request).await?))
}
