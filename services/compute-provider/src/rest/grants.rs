//! Grants and rules.

use axum::extract::State;
use http::StatusCode;
use oc_proto::compute::v1 as pb;
use oc_service::access::Principal;
use oc_service::{Json, Path, Problem, Query};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::provider::Provider;

pub(super) fn api() -> OpenApiRouter<Provider> {
    OpenApiRouter::new()
        .routes(routes!(list_grants, request_grant))
        .routes(routes!(get_grant))
        .routes(routes!(approve_grant))
        .routes(routes!(deny_grant))
        .routes(routes!(revoke_grant))
        .routes(routes!(end_grant))
        .routes(routes!(list_rules))
        .routes(routes!(put_rule, delete_rule))
}

/// What a list of grants leaves out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    active_only: bool,
}

/// Grants given and received, newest first
#[utoipa::path(
    get,
    path = "/api/compute/v1/grants",
    params(("active_only" = Option<bool>, Query, description = "Leave those out that are over")),
    responses((status = 200, body = pb::ListGrantsResponse), (status = 400, body = Problem))
)]
async fn list_grants(
    State(provider): State<Provider>,
    Query(which): Query<Which>,
) -> Result<Json<pb::ListGrantsResponse>, Problem> {
    let request = pb::ListGrantsRequest {
        active_only: which.active_only,
    };
    Ok(Json(provider.api_list_grants(request).await?))
}

/// Asks a partner for a grant
#[utoipa::path(
    post,
    path = "/api/compute/v1/grants",
    request_body = pb::RequestGrantRequest,
    responses(
        (status = 201, body = pb::RequestGrantResponse),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem),
    )
)]
async fn request_grant(
    State(provider): State<Provider>,
    Json(request): Json<pb::RequestGrantRequest>,
) -> Result<(StatusCode, Json<pb::RequestGrantResponse>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(provider.api_request_grant(request).await?),
    ))
}

/// One grant
#[utoipa::path(
    get,
    path = "/api/compute/v1/grants/{id}",
    params(("id" = String, Path, description = "The grant")),
    responses((status = 200, body = pb::GetGrantResponse), (status = 404, body = Problem))
)]
async fn get_grant(
    State(provider): State<Provider>,
    Path(grant_id): Path<String>,
) -> Result<Json<pb::GetGrantResponse>, Problem> {
    Ok(Json(
        provider
            .api_get_grant(pb::GetGrantRequest { grant_id })
            .await?,
    ))
}

/// Says yes to a request, perhaps with smaller limits
#[utoipa::path(
    post,
    path = "/api/compute/v1/grants/{id}/approve",
    params(("id" = String, Path, description = "The grant")),
    request_body = pb::ApproveGrantRequest,
    responses(
        (status = 200, body = pb::ApproveGrantResponse),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
    )
)]
async fn approve_grant(
    State(provider): State<Provider>,
    caller: Principal,
    Path(grant_id): Path<String>,
    Json(request): Json<pb::ApproveGrantRequest>,
) -> Result<Json<pb::ApproveGrantResponse>, Problem> {
    let request = pb::ApproveGrantRequest {
        grant_id,
        ..request
    };
    Ok(Json(provider.api_approve_grant(request, &caller).await?))
}

/// Says no to a request
#[utoipa::path(
    post,
    path = "/api/compute/v1/grants/{id}/deny",
    params(("id" = String, Path, description = "The grant")),
    request_body = pb::DenyGrantRequest,
    responses((status = 200, body = pb::DenyGrantResponse), (status = 404, body = Problem), (status = 409, body = Problem))
)]
async fn deny_grant(
    State(provider): State<Provider>,
    Path(grant_id): Path<String>,
    Json(request): Json<pb::DenyGrantRequest>,
) -> Result<Json<pb::DenyGrantResponse>, Problem> {
    let request = pb::DenyGrantRequest {
        grant_id,
        ..request
    };
    Ok(Json(provider.api_deny_grant(request).await?))
}

/// Takes a grant back; work under it is stopped
#[utoipa::path(
    post,
    path = "/api/compute/v1/grants/{id}/revoke",
    params(("id" = String, Path, description = "The grant")),
    request_body = pb::RevokeGrantRequest,
    responses((status = 200, body = pb::RevokeGrantResponse), (status = 404, body = Problem), (status = 409, body = Problem))
)]
async fn revoke_grant(
    State(provider): State<Provider>,
    Path(grant_id): Path<String>,
    Json(request): Json<pb::RevokeGrantRequest>,
) -> Result<Json<pb::RevokeGrantResponse>, Problem> {
    let request = pb::RevokeGrantRequest {
        grant_id,
        ..request
    };
    Ok(Json(provider.api_revoke_grant(request).await?))
}

/// Ends a grant that a partner gave us
#[utoipa::path(
    post,
    path = "/api/compute/v1/grants/{id}/end",
    params(("id" = String, Path, description = "The grant")),
    request_body = pb::EndGrantRequest,
    responses((status = 200, body = pb::EndGrantResponse), (status = 404, body = Problem), (status = 409, body = Problem))
)]
async fn end_grant(
    State(provider): State<Provider>,
    Path(grant_id): Path<String>,
    Json(request): Json<pb::EndGrantRequest>,
) -> Result<Json<pb::EndGrantResponse>, Problem> {
    let request = pb::EndGrantRequest {
        grant_id,
        ..request
    };
    Ok(Json(provider.api_end_grant(request).await?))
}

/// Rules for automatic approval, in the order in which they are tried
#[utoipa::path(
    get,
    path = "/api/compute/v1/rules",
    responses((status = 200, body = pb::ListRulesResponse))
)]
async fn list_rules(
    State(provider): State<Provider>,
) -> Result<Json<pb::ListRulesResponse>, Problem> {
    Ok(Json(provider.api_list_rules().await?))
}

/// Writes a rule
#[utoipa::path(
    put,
    path = "/api/compute/v1/rules/{name}",
    params(("name" = String, Path, description = "The rule")),
    request_body = pb::PutRuleRequest,
    responses((status = 200, body = pb::PutRuleResponse), (status = 400, body = Problem), (status = 422, body = Problem))
)]
async fn put_rule(
    State(provider): State<Provider>,
    Path(name): Path<String>,
    Json(request): Json<pb::PutRuleRequest>,
) -> Result<Json<pb::PutRuleResponse>, Problem> {
    let rule = request.rule.map(|rule| pb::Rule { name, ..rule });
    Ok(Json(
        provider.api_put_rule(pb::PutRuleRequest { rule }).await?,
    ))
}

/// Deletes a rule; doing it again is no error
#[utoipa::path(
    delete,
    path = "/api/compute/v1/rules/{name}",
    params(("name" = String, Path, description = "The rule")),
    responses((status = 200, body = pb::DeleteRuleResponse))
)]
async fn delete_rule(
    State(provider): State<Provider>,
    Path(name): Path<String>,
) -> Result<Json<pb::DeleteRuleResponse>, Problem> {
    Ok(Json(
        provider
            .api_delete_rule(pb::DeleteRuleRequest { name })
            .await?,
    ))
}
