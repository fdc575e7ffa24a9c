//! Extractors whose refusals are problems, and revisions as entity tags.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError};
use oc_kernel::{Kind, Revision};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::edge::too_large;
use crate::json_body;
use crate::problem::Problem;

/// A JSON body, in and out. On the way in, fields that `T` does not have are refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Serialize, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be JSON, and its content-type must say so";
            return Err(Problem::other(415, "unsupported-media-type", detail)
                .with_advice("send `content-type: application/json`"));
        }
        let body = request
            .into_body()
            .collect()
            .await
            .map_err(|error| unread(&error))?;
        json_body::read(&body.to_bytes()).map(Json)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Why a body could not be read to its end.
fn unread(error: &axum::Error) -> Problem {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return too_large();
        }
        next = error.source();
    }
    Problem::new(Kind::Malformed, "the body broke off")
}

/// The parameters of the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |rejection: PathRejection| {
            Problem::new(
                Kind::Malformed,
                format!("the path cannot be read: {rejection}"),
            )
        };
        let path = axum::extract::Path::from_request_parts(parts, state)
            .await
            .map_err(refused)?;
        Ok(Path(path.0))
    }
}

/// The parameters after the question mark.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |rejection: QueryRejection| {
            let text = std::error::Error::source(&rejection)
                .map_or_else(|| rejection.to_string(), ToString::to_string);
            Problem::new(Kind::Malformed, format!("the query cannot be read: {text}"))
        };
        let query = axum::extract::Query::from_request_parts(parts, state)
            .await
            .map_err(refused)?;
        Ok(Query(query.0))
    }
}

/// The revision in `If-Match`: none without the header or with `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<Revision>);

impl IfMatch {
    /// The revision the caller saw.
    ///
    /// # Errors
    /// A problem that asks for the header when it is missing.
    pub fn required(self) -> Result<Revision, Problem> {
        self.0.ok_or_else(|| {
            let detail = "this needs `If-Match` with the ETag you read";
            Problem::other(428, "precondition-required", detail)
                .with_advice("read it again and send its ETag")
        })
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(IfMatch(None));
        };
        if value == "*" {
            return Ok(IfMatch(None));
        }
        let text = value.to_str().unwrap_or_default().trim();
        let inner = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let revision = inner.and_then(|digits| digits.parse().ok()).map(Revision);
        let refuse = || {
            Problem::new(
                Kind::Malformed,
                "`If-Match` is not an ETag of ours, such as \"3\"",
            )
        };
        revision
            .map(|revision| IfMatch(Some(revision)))
            .ok_or_else(refuse)
    }
}

/// A document's revision as its entity tag: `(ETag(revision), Json(view))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag(pub Revision);

impl IntoResponseParts for ETag {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            parts.headers_mut().insert(header::ETAG, value);
        }
        Ok(parts)
    }
}
