//! Datasets, their files and images, over REST below `/api/data/v1`.

use axum::body::Body;
use axum::extract::State;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode, header};
use oc_kernel::{Digest, Kind};
use oc_objects::Expected;
use oc_proto::data::v1 as pb;
use oc_proto::types::v1::ObjectRef;
use oc_service::{Json, Path, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Face;
use crate::convert;
use crate::domain::AssetFile;

/// Header with the SHA-256 of a file that is sent, 64 hexadecimal digits.
const SHA256: &str = "oc-sha256";

pub(super) fn api() -> OpenApiRouter<Face> {
    OpenApiRouter::new()
        .routes(routes!(list_datasets, create_dataset))
        .routes(routes!(delete_dataset))
        .routes(routes!(get_file, put_file))
        .routes(routes!(import_item))
        .routes(routes!(count_items))
        .routes(routes!(list_reservations))
}

/// Our datasets
#[utoipa::path(
    get,
    path = "/api/data/v1/datasets",
    responses((status = 200, body = pb::ListDatasetsResponse))
)]
async fn list_datasets(State(face): State<Face>) -> Json<pb::ListDatasetsResponse> {
    Json(pb::ListDatasetsResponse {
        datasets: face.provider.datasets(),
    })
}

/// Makes a dataset from a STAC collection and lists it
#[utoipa::path(
    post,
    path = "/api/data/v1/datasets",
    request_body = pb::CreateDatasetRequest,
    responses(
        (status = 201, body = pb::CreateDatasetResponse),
        (status = 409, body = Problem),
        (status = 422, body = Problem),
    )
)]
async fn create_dataset(
    State(face): State<Face>,
    Json(request): Json<pb::CreateDatasetRequest>,
) -> Result<(StatusCode, Json<pb::CreateDatasetResponse>), Problem> {
    let dataset = face.provider.create_dataset(request).await?;
    let dataset = Some(dataset);
    Ok((
        StatusCode::CREATED,
        Json(pb::CreateDatasetResponse { dataset }),
    ))
}

/// Takes a dataset back and deletes its images
#[utoipa::path(
    delete,
    path = "/api/data/v1/datasets/{name}",
    params(("name" = String, Path, description = "The dataset")),
    responses((status = 200, body = pb::DeleteDatasetResponse), (status = 404, body = Problem))
)]
async fn delete_dataset(
    State(face): State<Face>,
    Path(name): Path<String>,
) -> Result<Json<pb::DeleteDatasetResponse>, Problem> {
    face.provider.delete_dataset(&name).await?;
    Ok(Json(pb::DeleteDatasetResponse {}))
}

/// What is stored under a file's name: its length and digest
///
/// Whoever fills a dataset asks this first, so that what is there is not sent again.
#[utoipa::path(
    get,
    path = "/api/data/v1/datasets/{name}/files/{*key}",
    params(
        ("name" = String, Path, description = "The dataset"),
        ("key" = String, Path, description = "The name of the file; it may hold slashes"),
    ),
    responses((status = 200, body = ObjectRef), (status = 404, body = Problem))
)]
async fn get_file(
    State(face): State<Face>,
    Path((name, key)): Path<(String, String)>,
) -> Result<Json<ObjectRef>, Problem> {
    let stored = face.provider.file(&name, &key).await?;
    let file = AssetFile {
        key: stored.key,
        sha256: stored.sha256,
        length: stored.length,
        media_type: String::new(),
    };
    let owner = face.provider.owner().await?;
    Ok(Json(convert::object(&owner, &file)))
}

/// Stores a file that an item will name
///
/// A file is written once. The same file again is no error where `oc-sha256` says that it is the same.
#[utoipa::path(
    put,
    path = "/api/data/v1/datasets/{name}/files/{*key}",
    params(
        ("name" = String, Path, description = "The dataset"),
        ("key" = String, Path, description = "The name of the file; it may hold slashes"),
        ("oc-sha256" = Option<String>, Header, description = "SHA-256 the file must have, 64 hexadecimal digits"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = ObjectRef),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
        (status = 422, body = Problem),
    )
)]
async fn put_file(
    State(face): State<Face>,
    Path((name, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ObjectRef>), Problem> {
    let expected = expected(&headers)?;
    let body = body
        .into_data_stream()
        .map_err(std::io::Error::other)
        .boxed();
    let stored = face.provider.put_file(&name, &key, body, expected).await?;
    let media_type = text(&headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let file = AssetFile {
        key: stored.key,
        sha256: stored.sha256,
        length: stored.length,
        media_type: media_type.to_owned(),
    };
    let owner = face.provider.owner().await?;
    Ok((StatusCode::CREATED, Json(convert::object(&owner, &file))))
}

/// Adds an image from a STAC item
///
/// Each asset's `href` names a file that was stored before, as it is or in a folder of the item's id.
#[utoipa::path(
    post,
    path = "/api/data/v1/datasets/{name}/items",
    params(("name" = String, Path, description = "The dataset")),
    request_body = pb::ImportItemRequest,
    responses(
        (status = 201, body = pb::ImportItemResponse),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
    )
)]
async fn import_item(
    State(face): State<Face>,
    Path(name): Path<String>,
    Json(request): Json<pb::ImportItemRequest>,
) -> Result<(StatusCode, Json<pb::ImportItemResponse>), Problem> {
    let item_id = face.provider.import_item(&name, &request.item_json).await?;
    Ok((
        StatusCode::CREATED,
        Json(pb::ImportItemResponse { item_id }),
    ))
}

/// How many images match
#[utoipa::path(
    post,
    path = "/api/data/v1/datasets/{name}/count",
    params(("name" = String, Path, description = "The dataset")),
    request_body = pb::CountItemsRequest,
    responses((status = 200, body = pb::CountItemsResponse), (status = 404, body = Problem))
)]
async fn count_items(
    State(face): State<Face>,
    Path(name): Path<String>,
    Json(request): Json<pb::CountItemsRequest>,
) -> Result<Json<pb::CountItemsResponse>, Problem> {
    let query = convert::query(request.query)?;
    Ok(Json(convert::count(face.provider.count(&name, &query)?)))
}

/// Reservations that hold now
#[utoipa::path(
    get,
    path = "/api/data/v1/reservations",
    responses((status = 200, body = pb::ListReservationsResponse))
)]
async fn list_reservations(
    State(face): State<Face>,
) -> Result<Json<pb::ListReservationsResponse>, Problem> {
    let reservations = face.provider.reservations().await?;
    let reservations = reservations.iter().map(convert::reservation).collect();
    Ok(Json(pb::ListReservationsResponse { reservations }))
}

fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let sha256: Option<Digest> = match text(headers, SHA256) {
        None => None,
        Some(text) => {
            let digest = text.parse();
            let wrong = |error| Problem::new(Kind::Malformed, format!("header {SHA256}: {error}"));
            Some(digest.map_err(wrong)?)
        }
    };
    let length = text(headers, header::CONTENT_LENGTH.as_str());
    Ok(Expected {
        length: length.and_then(|text| text.parse().ok()),
        sha256,
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
