//! Objects of storage offers, for our own people.

use std::ops::Range;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use oc_kernel::{Kind, Name, ObjectKey};
use oc_proto::compute::v1 as pb;
use oc_proto::types::v1 as types;
use oc_service::access::Principal;
use oc_service::{Json, Path, Problem, Query};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::{object_message, parse};
use crate::error::Error;
use crate::ports::Stream;
use crate::provider::Provider;
use crate::storage::Reach;

/// The digest of what is sent, 64 hexadecimal digits.
const SHA256: HeaderName = HeaderName::from_static("oc-sha256");

pub(super) fn api() -> OpenApiRouter<Provider> {
    OpenApiRouter::new()
        .routes(routes!(list_objects))
        .routes(routes!(read_object, write_object, delete_object))
}

/// Which objects are listed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    prefix: String,
    page_size: u32,
    page_token: String,
    user_id: String,
}

/// Objects below a prefix: the caller's own, for an operator everybody's
#[utoipa::path(
    get,
    path = "/api/compute/v1/storage/{offer}/objects",
    params(
        ("offer" = String, Path, description = "The storage offer"),
        ("prefix" = Option<String>, Query, description = "Begin of the keys"),
        ("page_size" = Option<u32>, Query, description = "Most in one answer; 100 unless said"),
        ("page_token" = Option<String>, Query, description = "Where the last page ended"),
        ("user_id" = Option<String>, Query, description = "Only what belongs to this user"),
    ),
    responses(
        (status = 200, body = pb::ListObjectsResponse), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
async fn list_objects(
    State(provider): State<Provider>,
    caller: Principal,
    Path(offer): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<pb::ListObjectsResponse>, Problem> {
    let Which {
        prefix,
        page_size,
        page_token,
        user_id,
    } = which;
    let request = pb::ListObjectsRequest {
        offer,
        prefix,
        page_size,
        page_token,
        user_id,
    };
    Ok(Json(provider.api_list_objects(request, &caller).await?))
}

/// The bytes of an object, or of one range of it (RFC 9110 section 14)
#[utoipa::path(
    get,
    path = "/api/compute/v1/storage/{offer}/objects/{*key}",
    params(
        ("offer" = String, Path, description = "The storage offer"),
        ("key" = String, Path, description = "The object"),
        ("range" = Option<String>, Header, description = "One range of bytes"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, body = Problem), (status = 416, body = Problem),
    )
)]
async fn read_object(
    State(provider): State<Provider>,
    caller: Principal,
    Path((offer, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (offer, key) = place(&offer, &key)?;
    let object = provider
        .object_for(&Reach::of(&caller), &offer, &key)
        .await?;
    let range = match headers.get(header::RANGE).map(|value| value.to_str()) {
        Some(Ok(text)) => match range_of(text, object.length) {
            Wanted::All => None,
            Wanted::Part(range) => Some(range),
            Wanted::Nothing => return Ok(unsatisfiable(object.length)),
        },
        _ => None,
    };
    let partial = range.is_some();
    let body = provider.read_object(&object, range).await?;
    let media_type = match object.media_type.as_str() {
        "" => "application/octet-stream",
        media_type => media_type,
    };
    let sent = body.range.clone();
    let mut response = Response::builder()
        .status(if partial {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        })
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, sent.end - sent.start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{}\"", object.sha256));
    if partial && sent.end > sent.start {
        let range = format!("bytes {}-{}/{}", sent.start, sent.end - 1, object.length);
        response = response.header(header::CONTENT_RANGE, range);
    }
    response
        .body(Body::from_stream(body.stream))
        .map_err(|_| Problem::new(Kind::Internal, "the answer cannot be written"))
}

/// Stores an object; objects are written once
#[utoipa::path(
    put,
    path = "/api/compute/v1/storage/{offer}/objects/{*key}",
    params(
        ("offer" = String, Path, description = "The storage offer"),
        ("key" = String, Path, description = "The object"),
        ("oc-sha256" = Option<String>, Header, description = "Digest of the bytes, 64 hexadecimal digits"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = types::ObjectRef), (status = 400, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem),
    )
)]
async fn write_object(
    State(provider): State<Provider>,
    caller: Principal,
    Path((offer, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<types::ObjectRef>), Problem> {
    let (offer, key) = place(&offer, &key)?;
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let sha256 = match text(&SHA256) {
        Some(digest) => Some(parse("oc-sha256", digest)?),
        None => None,
    };
    let media_type = text(&header::CONTENT_TYPE).unwrap_or_default();
    let media_type = match media_type {
        "application/octet-stream" | "application/x-www-form-urlencoded" => "",
        known => known,
    };
    let object = provider
        .write_object(&caller, &offer, &key, sha256, media_type, stream_of(body))
        .await?;
    let me = provider.me().await?;
    let about = object_message(
        &me,
        &object.key,
        &object.sha256,
        object.length,
        &object.media_type,
    );
    Ok((StatusCode::CREATED, Json(about)))
}

/// Deletes an object; doing it again is no error
#[utoipa::path(
    delete,
    path = "/api/compute/v1/storage/{offer}/objects/{*key}",
    params(
        ("offer" = String, Path, description = "The storage offer"),
        ("key" = String, Path, description = "The object"),
    ),
    responses(
        (status = 200, body = pb::DeleteObjectResponse),
        (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
async fn delete_object(
    State(provider): State<Provider>,
    caller: Principal,
    Path((offer, key)): Path<(String, String)>,
) -> Result<Json<pb::DeleteObjectResponse>, Problem> {
    let request = pb::DeleteObjectRequest { offer, key };
    Ok(Json(provider.api_delete_object(request, &caller).await?))
}

fn place(offer: &str, key: &str) -> Result<(Name, ObjectKey), Error> {
    Ok((parse("offer", offer)?, parse("key", key)?))
}

/// The bytes of a body as they come.
pub(super) fn stream_of(body: Body) -> Stream {
    let bytes: BodyDataStream = body.into_data_stream();
    bytes.map_err(std::io::Error::other).boxed()
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// Reads one range of bytes. What is not understood, or asks for several, is ignored, as RFC 9110 allows.
fn range_of(text: &str, length: u64) -> Wanted {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|it| it.split_once('-'))
    else {
        return Wanted::All;
    };
    let (from, to) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, length),
        (Err(_), Ok(tail)) if first.trim().is_empty() => (length.saturating_sub(tail), length),
        _ => return Wanted::All,
    };
    if from >= length {
        Wanted::Nothing
    } else {
        Wanted::Part(from..to)
    }
}

fn unsatisfiable(length: u64) -> Response {
    let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_anything_else_is_ignored() {
        assert_eq!(range_of("bytes=0-3", 10), Wanted::Part(0..4));
        assert_eq!(range_of("bytes=8-99", 10), Wanted::Part(8..10));
        assert_eq!(range_of("bytes=4-", 10), Wanted::Part(4..10));
        assert_eq!(range_of("bytes=-3", 10), Wanted::Part(7..10));
        assert_eq!(range_of("bytes=10-", 10), Wanted::Nothing);
        for text in [
            "bytes=5-2",
            "bytes=0-1,4-5",
            "lines=1-2",
            "bytes=a-b",
            "bytes=-",
        ] {
            assert_eq!(range_of(text, 10), Wanted::All, "{text}");
        }
    }
}
