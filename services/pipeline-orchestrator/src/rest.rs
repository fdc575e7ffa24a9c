//! The REST face: the same calls as gRPC, with the same messages in JSON.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use oc_kernel::Kind;
use oc_proto::pipeline::v1::*;
use oc_service::access::Principal;
use oc_service::sse::{Streams, event};
use oc_service::{Json, Path, Problem, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::RunError;
use crate::orchestrator::Orchestrator;

/// Before every path.
pub(crate) const PREFIX: &str = "/api/pipeline/v1";

/// Runs that are watched over REST at the same time.
const MOST_WATCHED: usize = 256;

/// What the routes share.
#[derive(Clone)]
pub(crate) struct Face {
    orchestrator: Orchestrator,
    streams: Streams,
}

impl Face {
    pub(crate) fn new(orchestrator: Orchestrator) -> Self {
        Self {
            orchestrator,
            streams: Streams::new(MOST_WATCHED),
        }
    }
}

pub(crate) fn api() -> OpenApiRouter<Face> {
    OpenApiRouter::new()
        .routes(routes!(plan))
        .routes(routes!(list_runs, start))
        .routes(routes!(get_run))
        .routes(routes!(events))
        .routes(routes!(logs))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(results))
        .routes(routes!(file))
        .routes(routes!(explain))
}

/// Says where each step would run, why, and what it would cost. Holds nothing.
#[utoipa::path(post, path = "/api/pipeline/v1/plans", request_body = PlanRunRequest,
    responses((status = 200, body = PlanRunResponse), (status = 422, body = Problem)))]
async fn plan(
    State(face): State<Face>,
    caller: Principal,
    Json(request): Json<PlanRunRequest>,
) -> Result<Json<PlanRunResponse>, Problem> {
    let plan = face
        .orchestrator
        .plan(&caller, request.run.unwrap_or_default())
        .await;
    Ok(Json(plan.map_err(|error| refusal(&error))?))
}

/// Starts a run. The same operation again gives the same run.
#[utoipa::path(post, path = "/api/pipeline/v1/runs", request_body = StartRunRequest,
    responses((status = 201, body = StartRunResponse), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn start(
    State(face): State<Face>,
    caller: Principal,
    Json(request): Json<StartRunRequest>,
) -> Result<(StatusCode, Json<StartRunResponse>), Problem> {
    let run = face.orchestrator.start(&caller, request).await;
    let run = run.map_err(|error| refusal(&error))?;
    Ok((
        StatusCode::CREATED,
        Json(StartRunResponse { run: Some(run) }),
    ))
}

/// The caller's runs, newest first; an operator sees all.
#[utoipa::path(get, path = "/api/pipeline/v1/runs",
    params(("page_size" = Option<u32>, Query), ("page_token" = Option<String>, Query)),
    responses((status = 200, body = ListRunsResponse), (status = 400, body = Problem)))]
async fn list_runs(
    State(face): State<Face>,
    caller: Principal,
    Query(request): Query<ListRunsRequest>,
) -> Result<Json<ListRunsResponse>, Problem> {
    Ok(Json(
        face.orchestrator
            .list(&caller, request.page_size, &request.page_token)
            .await?,
    ))
}

/// One run.
#[utoipa::path(get, path = "/api/pipeline/v1/runs/{run_id}", params(("run_id" = String, Path)),
    responses((status = 200, body = GetRunResponse), (status = 404, body = Problem)))]
async fn get_run(
    State(face): State<Face>,
    caller: Principal,
    Path(run_id): Path<String>,
) -> Result<Json<GetRunResponse>, Problem> {
    Ok(Json(GetRunResponse {
        run: Some(face.orchestrator.get(&caller, &run_id).await?),
    }))
}

/// Events of a run as server-sent events, until it is over; `Last-Event-ID` or `after` resumes.
#[utoipa::path(get, path = "/api/pipeline/v1/runs/{run_id}/events",
    params(("run_id" = String, Path), ("after" = Option<u64>, Query)),
    responses((status = 200, body = WatchRunResponse, content_type = "text/event-stream"), (status = 404, body = Problem)))]
async fn events(
    State(face): State<Face>,
    caller: Principal,
    headers: HeaderMap,
    Path(run_id): Path<String>,
    Query(request): Query<WatchRunRequest>,
) -> Result<Response, Problem> {
    let resumed = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let after = resumed.unwrap_or(request.after);
    let events = face.orchestrator.watch(&caller, &run_id, after).await?;
    face.streams
        .open(events.map(|happened| event(happened.number.to_string(), "run", &happened)))
}

/// Log lines so far; of one step, and only the last ones, where asked for.
#[utoipa::path(get, path = "/api/pipeline/v1/runs/{run_id}/logs",
    params(("run_id" = String, Path), ("step" = Option<String>, Query), ("tail" = Option<u32>, Query)),
    responses((status = 200, body = GetLogsResponse), (status = 404, body = Problem)))]
async fn logs(
    State(face): State<Face>,
    caller: Principal,
    Path(run_id): Path<String>,
    Query(request): Query<GetLogsRequest>,
) -> Result<Json<GetLogsResponse>, Problem> {
    let request = GetLogsRequest { run_id, ..request };
    Ok(Json(face.orchestrator.logs(&caller, request).await?))
}

/// Stops a run; stopping again is no error. One that succeeded or failed has nothing left to stop.
#[utoipa::path(post, path = "/api/pipeline/v1/runs/{run_id}/cancel", params(("run_id" = String, Path)),
    responses((status = 200, body = CancelRunResponse), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn cancel(
    State(face): State<Face>,
    caller: Principal,
    Path(run_id): Path<String>,
) -> Result<Json<CancelRunResponse>, Problem> {
    Ok(Json(CancelRunResponse {
        run: Some(face.orchestrator.cancel(&caller, &run_id).await?),
    }))
}

/// Starts the failed fragments of a run again.
#[utoipa::path(post, path = "/api/pipeline/v1/runs/{run_id}/retry", params(("run_id" = String, Path)),
    responses((status = 200, body = RetryRunResponse), (status = 409, body = Problem)))]
async fn retry(
    State(face): State<Face>,
    caller: Principal,
    Path(run_id): Path<String>,
) -> Result<Json<RetryRunResponse>, Problem> {
    Ok(Json(RetryRunResponse {
        run: Some(face.orchestrator.retry(&caller, &run_id).await?),
    }))
}

/// What a run made.
#[utoipa::path(get, path = "/api/pipeline/v1/runs/{run_id}/results", params(("run_id" = String, Path)),
    responses((status = 200, body = GetResultsResponse), (status = 409, body = Problem)))]
async fn results(
    State(face): State<Face>,
    caller: Principal,
    Path(run_id): Path<String>,
) -> Result<Json<GetResultsResponse>, Problem> {
    Ok(Json(face.orchestrator.results(&caller, &run_id).await?))
}

/// A file that the run made and a partner stores. What is not what the run stored breaks off.
#[utoipa::path(get, path = "/api/pipeline/v1/runs/{run_id}/files/{*key}",
    params(("run_id" = String, Path), ("key" = String, Path, description = "The object, as the results name it")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn file(
    State(face): State<Face>,
    caller: Principal,
    Path((run_id, key)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let file = face.orchestrator.fetch(&caller, &run_id, &key).await?;
    let object = file.object;
    let media_type = match object.media_type.as_str() {
        "" => "application/octet-stream",
        media_type => media_type,
    };
    Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, object.length)
        .header(header::ETAG, format!("\"{}\"", object.sha256))
        .body(Body::from_stream(file.bytes))
        .map_err(|_| Problem::new(Kind::Internal, "the answer cannot be written"))
}

/// Why a run is where it is.
#[utoipa::path(get, path = "/api/pipeline/v1/runs/{run_id}/explain", params(("run_id" = String, Path)),
    responses((status = 200, body = ExplainRunResponse), (status = 404, body = Problem)))]
async fn explain(
    State(face): State<Face>,
    caller: Principal,
    Path(run_id): Path<String>,
) -> Result<Json<ExplainRunResponse>, Problem> {
    Ok(Json(face.orchestrator.explain(&caller, &run_id).await?))
}

/// With the places in the document, where it is the document.
fn refusal(error: &RunError) -> Problem {
    Problem::of(error).with_errors(error.findings())
}
