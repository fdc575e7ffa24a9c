//! What every request passes, in this order: request id and span, the access table, who is calling, the
//! body's limit, the time limit, a net for panics, and the counters.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use http_body_util::Limited;
use oc_kernel::Kind;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument;

use crate::access::{Access, Authenticator, Face, Principal, Role, Table, Verdict};
use crate::deadline::{self, Activity, Limits};
use crate::drain::drained;
use crate::problem::{Problem, build_status};
use crate::rpc::Caller;
use crate::telemetry::RequestMetrics;

/// How long a REST handler may take to begin its answer.
const REST_LIMIT: Duration = Duration::from_secs(30);
/// How long a gRPC call without a deadline of its own may take to begin its answer, from the last byte sent.
const RPC_LIMIT: Duration = Duration::from_secs(60);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_STATUS: &str = "grpc-status";
const LONGEST_REQUEST_ID: usize = 64;
const UNMATCHED: &str = "unmatched";

tokio::task_local! {
    static CURRENT_REQUEST: Arc<str>;
}

/// The id of the request that this task answers: what `x-request-id`, the log and a problem's `instance` name.
pub fn request_id() -> Option<String> {
    CURRENT_REQUEST.try_with(|id| id.to_string()).ok()
}

/// The edge of one port.
pub(crate) struct Edge {
    pub(crate) table: Table,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) metrics: RequestMetrics,
    pub(crate) stopping: CancellationToken,
}

/// The middleware around every route.
pub(crate) async fn handle(
    State(edge): State<Arc<Edge>>,
    request: Request,
    next: Next,
) -> Response {
    let id = incoming_id(request.headers());
    let face = Face::of(request.headers());
    let verdict = edge.table.look_up(&request);
    let (app, route) = match &verdict {
        Verdict::Row(row) => (row.app, row.access.path()),
        Verdict::Methods(_) | Verdict::Unknown => (UNMATCHED, UNMATCHED),
    };
    let span = tracing::info_span!(
        "request",
        app,
        method = %request.method(),
        route,
        id = %id,
        caller = tracing::field::Empty,
    );
    let began = Instant::now();
    let lasting = request.version() >= Version::HTTP_2;
    let answer = edge.answer(verdict, face, drained(request), next);
    let mut response = CURRENT_REQUEST
        .scope(id.clone(), answer)
        .instrument(span.clone())
        .await;
    let elapsed = began.elapsed();
    let code = outcome(face, &response);
    edge.metrics.observe(app, route, &code, elapsed);
    span.in_scope(|| tracing::debug!(code, seconds = elapsed.as_secs_f64(), "answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE && !lasting {
        // So that a client that is still sending knows that the rest of it is for nobody (RFC 9112, 9.3).
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

impl Edge {
    async fn answer(
        &self,
        verdict: Verdict<'_>,
        face: Face,
        request: Request,
        next: Next,
    ) -> Response {
        let row = match verdict {
            Verdict::Row(row) => row,
            Verdict::Methods(methods) => return method_not_allowed(&request, &methods),
            Verdict::Unknown => return unknown(face, &request),
        };
        let (mut parts, mut body) = request.into_parts();
        let caller = match self.identify(&row.access, &parts).await {
            Ok(caller) => caller,
            Err(problem) => return refuse(face, problem),
        };
        tracing::Span::current().record("caller", tracing::field::display(&caller));
        if !row.access.admits(&caller) {
            return refuse(face, not_admitted(&row.access, &caller));
        }
        parts.extensions.insert(caller);
        if let Some(limit) = row.access.body_limit {
            if declared_length(&parts.headers).is_some_and(|length| length > limit) {
                return refuse(face, too_large());
            }
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            body = Body::new(Limited::new(body, limit));
        }
        let request = Request::from_parts(parts, body);
        match face {
            Face::Rest => self.answer_rest(row.access.timed, request, next).await,
            Face::Rpc => self.answer_rpc(request, next).await,
        }
    }

    async fn answer_rest(&self, timed: bool, request: Request, next: Next) -> Response {
        let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
        let handled = if timed {
            match timeout(REST_LIMIT, handled).await {
                Ok(handled) => handled,
                Err(_) => {
                    let detail = format!("no answer within {} s", REST_LIMIT.as_secs());
                    return Problem::new(Kind::Timeout, detail).into_response();
                }
            }
        } else {
            handled.await
        };
        let response = handled.unwrap_or_else(|panic| refuse(Face::Rest, panicked(&*panic)));
        let content = response.headers().get(header::CONTENT_TYPE);
        let events = content.is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
        let stop = events.then(|| self.stopping.clone().cancelled_owned().boxed());
        let limits = Limits {
            deadline: None,
            idle: None,
            stop,
        };
        response.map(|body| deadline::limited(body, false, limits))
    }

    async fn answer_rpc(&self, request: Request, next: Next) -> Response {
        let deadline = deadline::grpc_timeout(request.headers()).map(|d| Instant::now() + d);
        let activity = Activity::now();
        let request = request.map(|body| deadline::watched(body, activity.clone()));
        let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
        let overdue = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => activity.silent_for(RPC_LIMIT).await,
            }
        };
        let response = tokio::select! {
            handled = handled => {
                handled.unwrap_or_else(|panic| refuse(Face::Rpc, panicked(&*panic)))
            }
            () = overdue => {
                let problem = Problem::new(Kind::Timeout, "the deadline of this call passed");
                refuse(Face::Rpc, problem)
            }
        };
        let stop = Some(self.stopping.clone().cancelled_owned().boxed());
        let limits = Limits {
            deadline,
            idle: None,
            stop,
        };
        response.map(|body| deadline::limited(body, true, limits))
    }

    /// Who calls. A route for partners listens to the door's statement, whoever carries it.
    async fn identify(&self, access: &Access, request: &Parts) -> Result<Principal, Problem> {
        if access.roles.contains(&Role::Partner) {
            let path = request.uri.path();
            let partner = self.authenticator.partner(&request.headers, path).await?;
            if let Some(partner) = partner {
                return Ok(partner);
            }
        }
        if let Some(Caller(service)) = request.extensions.get() {
            return Ok(Principal::Service((*service).to_owned()));
        }
        if let Some(token) = bearer(&request.headers) {
            let known = self.authenticator.bearer(token).await?;
            return known.ok_or_else(|| {
                Problem::new(Kind::Unauthenticated, "this token is not known here")
                    .with_advice("sign in again, or ask an administrator for a new token")
            });
        }
        if access.is_public() {
            return Ok(Principal::Anonymous);
        }
        let detail = "this needs a token, and the request has none";
        Err(Problem::new(Kind::Unauthenticated, detail)
            .with_advice("send `authorization: Bearer TOKEN`"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn incoming_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let plain = |text: &&str| {
        let fits = (1..=LONGEST_REQUEST_ID).contains(&text.len());
        fits && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match given.filter(plain) {
        Some(id) => id.into(),
        None => uuid::Uuid::now_v7().simple().to_string().into(),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// An error in the form of the face it is for.
fn refuse(face: Face, problem: Problem) -> Response {
    match face {
        Face::Rest => problem.into_response(),
        Face::Rpc => {
            let kind = problem.kind().unwrap_or(Kind::Invalid);
            let advice = problem.advice.map(Into::into);
            build_status(kind, problem.code, problem.detail, advice, &[]).into_http::<Body>()
        }
    }
}

fn unknown(face: Face, request: &Request) -> Response {
    let path = request.uri().path();
    match face {
        Face::Rest => {
            Problem::new(Kind::NotFound, format!("nothing is at `{path}`")).into_response()
        }
        Face::Rpc => Status::unimplemented(format!("no method `{path}` here")).into_http::<Body>(),
    }
}

fn method_not_allowed(request: &Request, methods: &[Method]) -> Response {
    let allowed = methods
        .iter()
        .map(Method::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let detail = format!(
        "`{}` takes {allowed}, not {}",
        request.uri().path(),
        request.method()
    );
    let mut response = Problem::other(405, "method-not-allowed", detail).into_response();
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn not_admitted(access: &Access, caller: &Principal) -> Problem {
    let wanted = access.roles_in_words();
    if *caller == Principal::Anonymous {
        return Problem::new(
            Kind::Unauthenticated,
            format!("this needs the role {wanted}"),
        );
    }
    Problem::new(
        Kind::Forbidden,
        format!("this needs the role {wanted}, which you do not have"),
    )
    .with_advice("ask an administrator of your organisation for it")
}

pub(crate) fn too_large() -> Problem {
    let detail = "the body is larger than this route takes, in most cases 8 MiB";
    Problem::other(413, "too-large", detail).with_advice("send less at once, or upload a file")
}

fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    Problem::new(
        Kind::Internal,
        "internal error: the log of this node tells more under the request id",
    )
}

/// The status as a label: an HTTP code, or a gRPC code by name.
fn outcome(face: Face, response: &Response) -> String {
    if face == Face::Rest {
        return response.status().as_str().to_owned();
    }
    let status = response.headers().get(GRPC_STATUS);
    let code = status.map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()));
    format!("{code:?}")
}
