//! The REST face.

use axum::extract::State;
use http::StatusCode;
use oc_proto::service::v1::*;
use oc_service::{ETag, IfMatch, Json, Path, Problem, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::error::RegistryError;
use crate::domain::registry::Registry;
use crate::grpc::{draft, findings, identity, list, message};

/// Before every path.
pub(crate) const PREFIX: &str = "/api/services/v1";

pub(crate) fn api() -> OpenApiRouter<Registry> {
    OpenApiRouter::new()
        .routes(routes!(list_services, create_service))
        .routes(routes!(get_service, update_service, delete_service))
}

/// One page of services, by name and version.
#[utoipa::path(get, path = "/api/services/v1/services",
    params(("page_size" = Option<u32>, Query), ("page_token" = Option<String>, Query)),
    responses((status = 200, body = ListServicesResponse), (status = 400, body = Problem)))]
async fn list_services(
    State(registry): State<Registry>,
    Query(request): Query<ListServicesRequest>,
) -> Result<Json<ListServicesResponse>, Problem> {
    Ok(Json(
        list(&registry, request.page_size, &request.page_token).await?,
    ))
}

/// Checks a document and registers it. A faulty one is answered with every fault and stored nowhere.
#[utoipa::path(post, path = "/api/services/v1/services", request_body = CreateServiceRequest,
    responses((status = 201, body = CreateServiceResponse), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
async fn create_service(
    State(registry): State<Registry>,
    Json(request): Json<CreateServiceRequest>,
) -> Result<(StatusCode, ETag, Json<CreateServiceResponse>), Problem> {
    let draft = draft(request.service.unwrap_or_default())?;
    let created = registry
        .create(draft)
        .await
        .map_err(|error| refusal(&error))?;
    let etag = ETag(created.revision);
    Ok((
        StatusCode::CREATED,
        etag,
        Json(CreateServiceResponse {
            service: Some(message(created)),
        }),
    ))
}

/// One service.
#[utoipa::path(get, path = "/api/services/v1/services/{name}/{version}",
    params(("name" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = GetServiceResponse), (status = 404, body = Problem)))]
async fn get_service(
    State(registry): State<Registry>,
    Path((name, version)): Path<(String, String)>,
) -> Result<(ETag, Json<GetServiceResponse>), Problem> {
    let (name, version) = identity(&name, &version)?;
    let service = registry.get(&name, &version).await?;
    Ok((
        ETag(service.revision),
        Json(GetServiceResponse {
            service: Some(message(service)),
        }),
    ))
}

/// Replaces the description or the document, over the revision in `If-Match`.
#[utoipa::path(put, path = "/api/services/v1/services/{name}/{version}",
    params(("name" = String, Path), ("version" = String, Path)), request_body = UpdateServiceRequest,
    responses((status = 200, body = UpdateServiceResponse), (status = 412, body = Problem),
        (status = 422, body = Problem)))]
async fn update_service(
    State(registry): State<Registry>,
    Path((name, version)): Path<(String, String)>,
    if_match: IfMatch,
    Json(request): Json<UpdateServiceRequest>,
) -> Result<(ETag, Json<UpdateServiceResponse>), Problem> {
    let seen = if_match.required()?;
    let given = ProcessingService {
        name,
        version,
        ..request.service.unwrap_or_default()
    };
    let updated = registry
        .update(draft(given)?, seen)
        .await
        .map_err(|error| refusal(&error))?;
    Ok((
        ETag(updated.revision),
        Json(UpdateServiceResponse {
            service: Some(message(updated)),
        }),
    ))
}

/// Removes a version; its listing is withdrawn.
#[utoipa::path(delete, path = "/api/services/v1/services/{name}/{version}",
    params(("name" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = DeleteServiceResponse), (status = 404, body = Problem)))]
async fn delete_service(
    State(registry): State<Registry>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<DeleteServiceResponse>, Problem> {
    let (name, version) = identity(&name, &version)?;
    registry.delete(&name, &version).await?;
    Ok(Json(DeleteServiceResponse {}))
}

fn refusal(error: &RegistryError) -> Problem {
    Problem::of(error).with_errors(findings(error))
}
