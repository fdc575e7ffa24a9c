//! Walks over every route and method: without a token and with each wrong role, and with faulty bodies. For tests.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use tower::ServiceExt;
use utoipa::openapi::{OpenApi, RefOr};

use super::{Access, Authenticator as _, StaticTokens, Target};
use crate::app::App;
use crate::node::{Node, NodeError};
use crate::openapi;
use crate::telemetry::Metrics;

/// What the walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// How many requests were sent.
    pub requests: usize,
    /// Each request that was let in, or refused in another way than 401 or 403.
    pub faults: Vec<String>,
}

/// Calls every row of the service's access table without a token, with an unknown one, and with every role
/// that it is not open to. All must be refused: 401 or `UNAUTHENTICATED` without a valid token, 403 or
/// `PERMISSION_DENIED` with a role that does not suffice.
///
/// # Errors
/// When the service cannot be built, for instance because a route has no row.
pub async fn walk(app: App) -> Result<Walk, NodeError> {
    let rows = app.access.clone();
    let tokens = StaticTokens::of_roles();
    let node = Node::build(vec![app], Arc::new(tokens.clone()), &Metrics::new())?;
    let router = node.router();
    let mut found = Walk::default();
    for row in rows.iter().filter(|row| !row.is_public()) {
        for token in [
            None,
            Some("unknown"),
            Some("user"),
            Some("operator"),
            Some("admin"),
            Some("service"),
        ] {
            let caller = match token {
                Some(token) => tokens.bearer(token).await.ok().flatten(),
                None => None,
            };
            if caller.as_ref().is_some_and(|caller| row.admits(caller)) {
                continue;
            }
            let wanted = match caller {
                // A partner's route does not care for tokens: none of them is a proof there.
                Some(_) => Refusal::Forbidden,
                None => Refusal::Unauthenticated,
            };
            let Ok(response) = router.clone().oneshot(request(row, token)).await;
            let status = response.status();
            let grpc = response
                .headers()
                .get("grpc-status")
                .and_then(|v| v.to_str().ok());
            found.requests += 1;
            if !wanted.is(row, status, grpc) {
                let role = token.unwrap_or("no token");
                let path = row.path();
                found.faults.push(format!(
                    "{path} with {role}: {status}, grpc-status {grpc:?}"
                ));
            }
        }
    }
    Ok(found)
}

/// Sends a field that does not exist, and then a body nested 20,000 deep, to every route that takes JSON. All
/// must be refused with 400, the field by its name.
///
/// # Errors
/// When the service cannot be built.
pub async fn walk_bodies(app: App) -> Result<Walk, NodeError> {
    let mut api = openapi::document(&app);
    let rows: Vec<_> = app
        .access
        .iter()
        .filter(|row| takes_json(&mut api, row))
        .cloned()
        .collect();
    let tokens = StaticTokens::of_roles();
    let node = Node::build(vec![app], Arc::new(tokens.clone()), &Metrics::new())?;
    let router = node.router();
    let mut found = Walk::default();
    let nested = format!("{{\"a\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for row in rows {
        let mut admitted = None;
        for token in ["user", "operator", "admin", "service"] {
            let caller = tokens.bearer(token).await.ok().flatten();
            if caller.is_some_and(|caller| row.admits(&caller)) {
                admitted = Some(token);
                break;
            }
        }
        for (body, named) in [
            ("{\"no_such_field\":1}", "no_such_field"),
            (&nested, "nested"),
        ] {
            let mut request = request(&row, admitted);
            *request.body_mut() = Body::from(body.to_owned());
            let Ok(response) = router.clone().oneshot(request).await;
            let status = response.status();
            let answer = axum::body::to_bytes(response.into_body(), 64 * 1024).await;
            let answer = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
            found.requests += 1;
            // Where the path holds typed ids, `x` is refused before the body is read.
            let told = answer.contains(named) || answer.contains("the path cannot be read");
            if status != StatusCode::BAD_REQUEST || !told {
                let path = row.path();
                found
                    .faults
                    .push(format!("{path} with {named}: {status} {answer}"));
            }
        }
    }
    Ok(found)
}

fn takes_json(api: &mut OpenApi, row: &Access) -> bool {
    let body = openapi::operation(api, row).and_then(|operation| operation.request_body.as_ref());
    matches!(body, Some(RefOr::T(body)) if body.content.contains_key("application/json"))
}

#[derive(Clone, Copy)]
enum Refusal {
    Unauthenticated,
    Forbidden,
}

impl Refusal {
    fn is(self, row: &Access, status: StatusCode, grpc: Option<&str>) -> bool {
        match (&row.target, self) {
            (Target::Rest { .. }, Refusal::Unauthenticated) => status == StatusCode::UNAUTHORIZED,
            (Target::Rest { .. }, Refusal::Forbidden) => status == StatusCode::FORBIDDEN,
            (Target::Rpc(_), Refusal::Unauthenticated) => grpc == Some("16"),
            (Target::Rpc(_), Refusal::Forbidden) => grpc == Some("7"),
        }
    }
}

fn request(row: &Access, token: Option<&str>) -> Request<Body> {
    let (method, path, content) = match &row.target {
        Target::Rest { method, path } => (method.clone(), filled(path), "application/json"),
        Target::Rpc(path) => (Method::POST, path.to_string(), "application/grpc"),
    };
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static(content),
    );
    if let Some(token) = token.and_then(|token| format!("Bearer {token}").parse().ok()) {
        headers.insert(header::AUTHORIZATION, token);
    }
    request
}

/// The template with `x` for each parameter.
fn filled(template: &str) -> String {
    let parts = template.split('/');
    let parts = parts.map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}
