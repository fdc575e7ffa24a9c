//! Bytes for and from partners, as discovery forwards them; a transfer's token opens them.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, Method, StatusCode, header};
use oc_door::{BULK_TOKEN, LENGTH, SHA256};
use oc_kernel::Kind;
use oc_service::access::{Access, Role};
use oc_service::{Json, Problem, Query};
use serde::{Deserialize, Serialize};

use super::objects::stream_of;
use crate::provider::Provider;

const BULK: &str = "/api/compute/internal/bulk";

pub(super) fn routes() -> axum::Router<Provider> {
    axum::Router::new().route(BULK, get(send).put(receive))
}

pub(super) fn access() -> Vec<Access> {
    [Method::GET, Method::PUT]
        .into_iter()
        .map(|method| {
            Access::rest(method, BULK, Role::Service)
                .bulk()
                .undocumented()
        })
        .collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct From {
    offset: u64,
}

/// How many bytes of an upload have come.
#[derive(Debug, Serialize)]
struct Received {
    received: u64,
}

async fn send(
    State(provider): State<Provider>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (object, bytes) = provider.send_bulk(token(&headers)?, from.offset).await?;
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(LENGTH, object.length)
        .header(SHA256, object.sha256.to_string())
        .body(Body::from_stream(bytes))
        .map_err(|_| Problem::new(Kind::Internal, "the answer cannot be written"))
}

async fn receive(
    State(provider): State<Provider>,
    Query(from): Query<From>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Received>, Problem> {
    let token = token(&headers)?;
    let received = provider
        .receive_bulk(token, from.offset, stream_of(body))
        .await?;
    Ok(Json(Received { received }))
}

fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let token = headers
        .get(&BULK_TOKEN)
        .and_then(|value| value.to_str().ok());
    token.ok_or_else(|| Problem::new(Kind::Unauthenticated, "a transfer needs its token"))
}
