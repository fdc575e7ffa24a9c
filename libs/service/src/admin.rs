//! The port for probes and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::Ready;
use crate::telemetry::Metrics;

/// How long a service may take to say whether it is ready.
const READY_LIMIT: Duration = Duration::from_secs(1);

/// What the probes ask.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) ready: Arc<[(&'static str, Ready)]>,
    pub(crate) metrics: Metrics,
    /// Cancelled once the process was told to stop.
    pub(crate) stop: CancellationToken,
}

impl Probes {
    /// Each service with why it is not ready, or none.
    pub(crate) async fn ask(&self) -> Vec<(&'static str, Option<String>)> {
        join_all(self.ready.iter().map(|(name, ready)| async move {
            let answer = match timeout(READY_LIMIT, ready()).await {
                Ok(answer) => answer.err(),
                Err(_) => Some(format!("no answer within {} s", READY_LIMIT.as_secs())),
            };
            (*name, answer)
        }))
        .await
    }
}

pub(crate) fn router(probes: Probes) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn readyz(State(probes): State<Probes>) -> Response {
    let asked = probes.ask().await;
    let stopping = probes.stop.is_cancelled();
    let ready = !stopping && asked.iter().all(|(_, reason)| reason.is_none());
    let services: Map<String, Value> = asked
        .into_iter()
        .map(|(name, reason)| (name.to_owned(), json!(reason.as_deref().unwrap_or("ready"))))
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": ready, "stopping": stopping, "services": services });
    (status, Json(body)).into_response()
}

async fn metrics(State(probes): State<Probes>) -> Response {
    match probes.metrics.render() {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (kind, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
