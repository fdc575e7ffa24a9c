//! Files by token: what discovery fetches for a partner and compute-provider for itself.

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, HeaderValue, Response, header};
use oc_door::{BULK_TOKEN, LENGTH, SHA256};
use oc_kernel::Kind;
use oc_service::{Problem, Query};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;

use crate::Face;

/// Where it is served.
pub(crate) const PATH: &str = "/api/data/internal/bulk";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    #[serde(default)]
    offset: u64,
}

pub(super) fn api() -> OpenApiRouter<Face> {
    OpenApiRouter::new().route(PATH, axum::routing::get(get))
}

async fn get(
    State(face): State<Face>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let token = headers
        .get(BULK_TOKEN)
        .and_then(|token| token.to_str().ok());
    let token = token.ok_or_else(|| {
        Problem::new(
            Kind::Unauthenticated,
            format!("header {BULK_TOKEN} is missing"),
        )
    })?;
    let opened = face.provider.open_bulk(token, from.offset).await;
    face.metrics.opened(opened.is_ok());
    let opened = opened?;
    let mut response = Response::new(Body::from_stream(opened.bytes));
    let answer = response.headers_mut();
    answer.insert(LENGTH, opened.info.length.into());
    let digest = HeaderValue::from_str(&opened.info.sha256.to_string());
    answer.extend(digest.map(|digest| (SHA256, digest)));
    let octets = HeaderValue::from_static("application/octet-stream");
    answer.insert(header::CONTENT_TYPE, octets);
    Ok(response)
}
