//! The routes that a runner calls: its inputs, and taking its outputs. An attempt's macaroon opens them,
//! in `Authorization: Macaroon <macaroon>`; whether it does is decided behind [`StepObjects`], for every
//! request and again within each stream.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use oc_kernel::{AttemptId, Digest, FragmentId, Kind, Name, ObjectKey};
use oc_service::access::{Access, Role};
use oc_service::{Json, Path, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::step::{ByteStream, StepAttempt, StepError, StepObjects, UploadState};

const INPUT: &str = "/api/compute/v1/fragments/{fragment}/attempts/{attempt}/inputs/{name}";
const UPLOADS: &str = "/api/compute/v1/fragments/{fragment}/attempts/{attempt}/uploads";
const UPLOAD: &str = "/api/compute/v1/fragments/{fragment}/attempts/{attempt}/uploads/{*name}";

/// The scheme of the authorization header.
const SCHEME: &str = "Macaroon ";

type Objects = Arc<dyn StepObjects>;

/// The routes, over `objects`.
pub fn router(objects: Objects) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(read_input))
        .routes(routes!(announce))
        .routes(routes!(upload))
        .with_state(objects)
}

/// Who may call them: anybody, since a macaroon is no account; without a good one nothing opens.
pub fn access() -> Vec<Access> {
    vec![
        Access::rest(Method::GET, INPUT, Role::Public).bulk(),
        Access::rest(Method::POST, UPLOADS, Role::Public),
        Access::rest(Method::PUT, UPLOAD, Role::Public).bulk(),
    ]
}

/// An output that a runner wants to store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Its name below the attempt's prefix.
    #[schema(value_type = String, example = "picture/true-colour.tif")]
    pub name: ObjectKey,
    /// Its length in bytes.
    pub length: u64,
    /// The SHA-256 of its bytes, 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub sha256: Digest,
}

/// How far an announced output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// `wanted`: its bytes are still to be sent; `stored`: nothing more is to do.
    pub state: UploadProgress,
}

/// How far an announced output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UploadProgress {
    /// Its bytes are wanted.
    Wanted,
    /// It is stored.
    Stored,
}

impl From<UploadState> for Upload {
    fn from(state: UploadState) -> Self {
        let state = match state {
            UploadState::Wanted => UploadProgress::Wanted,
            UploadState::Stored => UploadProgress::Stored,
        };
        Self { state }
    }
}

#[derive(Debug, Deserialize)]
struct InputPath {
    fragment: FragmentId,
    attempt: AttemptId,
    name: Name,
}

#[derive(Debug, Deserialize)]
struct AttemptPath {
    fragment: FragmentId,
    attempt: AttemptId,
}

#[derive(Debug, Deserialize)]
struct OutputPath {
    fragment: FragmentId,
    attempt: AttemptId,
    name: ObjectKey,
}

/// Read an input of an attempt. `Range: bytes=N-` reads from byte N on.
#[utoipa::path(get, path = INPUT, operation_id = "readStepInput", tag = "steps",
    params(("fragment" = String, Path), ("attempt" = String, Path), ("name" = String, Path)),
    responses((status = 200, description = "all bytes", content_type = "application/octet-stream"),
        (status = 206, description = "the rest", content_type = "application/octet-stream"),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn read_input(
    State(objects): State<Objects>,
    Path(path): Path<InputPath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let attempt = StepAttempt {
        fragment: path.fragment,
        attempt: path.attempt,
    };
    let offset = offset(&headers);
    let macaroon = macaroon(&headers)?;
    let input = objects
        .read_input(attempt, macaroon, &path.name, offset.unwrap_or(0))
        .await?;
    let length = input.length;
    let Some(left) = length.checked_sub(offset.unwrap_or(0)) else {
        let detail = format!("the input has {length} bytes, none from the asked one on");
        return Err(Problem::new(Kind::Invalid, detail));
    };
    let mut response = Body::from_stream(input.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, left.into());
    let sha256 = input.sha256;
    let texts = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, format!("\"{sha256}\"")),
    ];
    let range = offset.map(|offset| {
        let last = length.saturating_sub(1);
        (
            header::CONTENT_RANGE,
            format!("bytes {offset}-{last}/{length}"),
        )
    });
    for (name, text) in texts.into_iter().chain(range) {
        if let Ok(value) = text.parse() {
            headers.insert(name, value);
        }
    }
    if offset.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Announce an output of an attempt. The same announcement again has the same answer.
#[utoipa::path(post, path = UPLOADS, operation_id = "announceStepOutput", tag = "steps",
    params(("fragment" = String, Path), ("attempt" = String, Path)),
    request_body = Announcement,
    responses((status = 200, body = Upload), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 409, body = Problem), (status = 429, body = Problem)))]
async fn announce(
    State(objects): State<Objects>,
    Path(path): Path<AttemptPath>,
    headers: HeaderMap,
    Json(body): Json<Announcement>,
) -> Result<Json<Upload>, Problem> {
    let attempt = StepAttempt {
        fragment: path.fragment,
        attempt: path.attempt,
    };
    let Announcement {
        name,
        length,
        sha256,
    } = body;
    let macaroon = macaroon(&headers)?;
    let state = objects
        .request_upload(attempt, macaroon, &name, length, sha256)
        .await?;
    Ok(Json(state.into()))
}

/// Send the bytes of an announced output.
#[utoipa::path(put, path = UPLOAD, operation_id = "sendStepOutput", tag = "steps",
    params(("fragment" = String, Path), ("attempt" = String, Path), ("name" = String, Path)),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = Upload), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn upload(
    State(objects): State<Objects>,
    Path(path): Path<OutputPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Upload>, Problem> {
    let attempt = StepAttempt {
        fragment: path.fragment,
        attempt: path.attempt,
    };
    let macaroon = macaroon(&headers)?;
    let bytes = stream(body.into_data_stream());
    let state = objects.upload(attempt, macaroon, &path.name, bytes).await?;
    Ok(Json(state.into()))
}

fn stream(body: BodyDataStream) -> ByteStream {
    let broken =
        |error: axum::Error| StepError::Unavailable(format!("the upload broke off: {error}"));
    body.map(move |piece| piece.map_err(broken)).boxed()
}

fn macaroon(headers: &HeaderMap) -> Result<&str, Problem> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix(SCHEME))
        .ok_or_else(|| {
            let detail = "this needs the attempt's macaroon, and the request has none";
            Problem::new(Kind::Unauthenticated, detail)
        })
}

/// Where an open range begins. Other ranges are not served: the whole comes instead (RFC 9110, 14.2).
fn offset(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}
