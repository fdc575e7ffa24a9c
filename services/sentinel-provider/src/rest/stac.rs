//! STAC API 1.0.0: core, collections, features and item search, with sort and fields.

mod documents;
mod links;
mod parameters;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oc_kernel::{Classify as _, Kind};
use oc_service::{Json, Path, Problem, Query};
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::range::{self, Wanted};
use crate::Face;
use crate::domain::{DataError, Fields, Search};
use links::Base;
use parameters::{ItemsParameters, SearchBody, SearchParameters};

const GEO_JSON: &str = "application/geo+json";

pub(super) fn api() -> OpenApiRouter<Face> {
    OpenApiRouter::new()
        .routes(routes!(landing))
        .routes(routes!(conformance))
        .routes(routes!(collections))
        .routes(routes!(collection))
        .routes(routes!(items))
        .routes(routes!(item))
        .routes(routes!(asset))
        .routes(routes!(search_by_parameters, search_by_body))
}

/// A GeoJSON answer.
struct GeoJson(Value);

impl IntoResponse for GeoJson {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.0).into_response();
        let media_type = HeaderValue::from_static(GEO_JSON);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        response
    }
}

/// The landing page: a STAC catalog with what the API can do
#[utoipa::path(get, path = "/stac", responses((status = 200, body = Object)))]
async fn landing(State(face): State<Face>, base: Base) -> Json<Value> {
    let summaries = face.provider.index().summaries();
    Json(documents::landing(&base, &summaries))
}

/// The conformance classes
#[utoipa::path(get, path = "/stac/conformance", responses((status = 200, body = Object)))]
async fn conformance() -> Json<Value> {
    Json(json!({"conformsTo": documents::CONFORMANCE}))
}

/// Every dataset as a STAC collection
#[utoipa::path(get, path = "/stac/collections", responses((status = 200, body = Object)))]
async fn collections(State(face): State<Face>, base: Base) -> Json<Value> {
    let summaries = face.provider.index().summaries();
    Json(documents::collections(&base, &summaries))
}

/// A dataset as a STAC collection
#[utoipa::path(
    get,
    path = "/stac/collections/{collection}",
    params(("collection" = String, Path, description = "The dataset")),
    responses((status = 200, body = Object), (status = 404, body = Problem))
)]
async fn collection(
    State(face): State<Face>,
    base: Base,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let summary = face.provider.index().summary(&name)?;
    Ok(Json(documents::collection(&base, &summary).into()))
}

/// The images of a dataset
#[utoipa::path(
    get,
    path = "/stac/collections/{collection}/items",
    params(("collection" = String, Path, description = "The dataset"), ItemsParameters),
    responses(
        (status = 200, body = Object, content_type = "application/geo+json"),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
    )
)]
async fn items(
    State(face): State<Face>,
    base: Base,
    Path(name): Path<String>,
    Query(parameters): Query<ItemsParameters>,
) -> Result<GeoJson, Problem> {
    // Tells a missing dataset from one without a match.
    face.provider.index().dataset(&name)?;
    let (mut search, fields) = parameters.search()?;
    let path = format!("collections/{name}/items");
    search.collections = Some(vec![name]);
    let next = |token: &str| base.next_get(&path, &parameters.with_token(token));
    page(&face, &base, &path, &search, fields.as_ref(), next)
}

/// An image
#[utoipa::path(
    get,
    path = "/stac/collections/{collection}/items/{item}",
    params(
        ("collection" = String, Path, description = "The dataset"),
        ("item" = String, Path, description = "The image"),
    ),
    responses(
        (status = 200, body = Object, content_type = "application/geo+json"),
        (status = 404, body = Problem),
    )
)]
async fn item(
    State(face): State<Face>,
    base: Base,
    Path((dataset, id)): Path<(String, String)>,
) -> Result<GeoJson, Problem> {
    let found = face.provider.index().image(&dataset, &id)?;
    Ok(GeoJson(documents::item(&base, &found.image).into()))
}

/// A file of an image
#[utoipa::path(
    get,
    path = "/stac/collections/{collection}/items/{item}/assets/{asset}",
    params(
        ("collection" = String, Path, description = "The dataset"),
        ("item" = String, Path, description = "The image"),
        ("asset" = String, Path, description = "The asset"),
        ("range" = Option<String>, Header, description = "One range of bytes (RFC 9110)"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, body = Problem),
        (status = 416, description = "No byte of the file is in the range"),
    )
)]
async fn asset(
    State(face): State<Face>,
    Path((dataset, id, asset)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = face.provider.asset(&dataset, &id, &asset)?;
    let wanted = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let wanted = range::parse(wanted, file.length);
    let mut answer = HeaderMap::new();
    let mut set = |name, text: String| {
        answer.extend(HeaderValue::try_from(text).map(|value| (name, value)));
    };
    set(header::ETAG, format!("\"{}\"", file.sha256));
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    let (status, part) = match wanted {
        Wanted::Whole => (StatusCode::OK, None),
        Wanted::Part(part) => {
            let (first, last) = (part.start, part.end - 1);
            set(
                header::CONTENT_RANGE,
                format!("bytes {first}-{last}/{}", file.length),
            );
            (StatusCode::PARTIAL_CONTENT, Some(part))
        }
        Wanted::Unsatisfiable => {
            set(header::CONTENT_RANGE, format!("bytes */{}", file.length));
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, answer).into_response());
        }
    };
    let media_type = match file.media_type.is_empty() {
        true => "application/octet-stream".to_owned(),
        false => file.media_type.clone(),
    };
    set(header::CONTENT_TYPE, media_type);
    // A browser must take a partner's file for what it is called and never run it as a page of ours.
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    set(header::CONTENT_DISPOSITION, "attachment".to_owned());
    let body = face.provider.read(&file.key, part).await?;
    let length = body.range.end - body.range.start;
    set(header::CONTENT_LENGTH, length.to_string());
    Ok((status, answer, Body::from_stream(body.stream)).into_response())
}

/// Searches all datasets
#[utoipa::path(
    get,
    path = "/stac/search",
    params(SearchParameters),
    responses(
        (status = 200, body = Object, content_type = "application/geo+json"),
        (status = 400, body = Problem),
    )
)]
async fn search_by_parameters(
    State(face): State<Face>,
    base: Base,
    Query(parameters): Query<SearchParameters>,
) -> Result<GeoJson, Problem> {
    let (search, fields) = parameters.search()?;
    let next = |token: &str| base.next_get("search", &parameters.with_token(token));
    page(&face, &base, "search", &search, fields.as_ref(), next)
}

/// Searches all datasets
#[utoipa::path(
    post,
    path = "/stac/search",
    request_body = SearchBody,
    responses(
        (status = 200, body = Object, content_type = "application/geo+json"),
        (status = 400, body = Problem),
    )
)]
async fn search_by_body(
    State(face): State<Face>,
    base: Base,
    Json(body): Json<SearchBody>,
) -> Result<GeoJson, Problem> {
    let (search, fields) = body.search()?;
    let next = |token: &str| base.next_post("search", token);
    page(&face, &base, "search", &search, fields.as_ref(), next)
}

/// One page of images as a feature collection.
fn page(
    face: &Face,
    base: &Base,
    path: &str,
    search: &Search,
    fields: Option<&Fields>,
    next: impl Fn(&str) -> Value,
) -> Result<GeoJson, Problem> {
    let found = search.run(&face.provider.index())?;
    let feature = |image| -> Map<String, Value> {
        let item = documents::item(base, image);
        match fields {
            Some(fields) => fields.apply(item),
            None => item,
        }
    };
    let features: Vec<_> = found
        .images
        .iter()
        .map(|found| feature(&found.image))
        .collect();
    let mut links = vec![base.root(), base.link("self", path, GEO_JSON)];
    links.extend(found.next.map(|cursor| next(&cursor.token())));
    Ok(GeoJson(json!({
        "type": "FeatureCollection",
        "numberMatched": found.matched,
        "numberReturned": features.len(),
        "features": features,
        "links": links,
    })))
}

/// In STAC a parameter that cannot be used is always 400.
fn bad(error: DataError) -> Problem {
    match error.kind() {
        Kind::Invalid => Problem::new(Kind::Malformed, error.to_string()),
        _ => Problem::of(&error),
    }
}
