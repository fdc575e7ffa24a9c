//! Who is let in, and what a node refuses to serve.

use std::sync::Arc;

use axum::body::Body;
use http::Method;
use oc_service::access::{
    Access, AuthError, Authenticator, Partner, Principal, Role, StaticTokens, walk,
};
use oc_service::telemetry::Metrics;
use oc_service::{App, Node, NodeError};
use serde_json::json;
use tower::ServiceExt;

use super::edge::problem;
use super::support::{Running, SAY, client, echo};

#[tokio::test]
async fn a_route_is_closed_without_a_token_and_with_the_wrong_role() {
    let running = Running::start(vec![echo()]).await;
    let url = running.url("/api/echo/v1/books/emma");
    let put = |token: &str| {
        client()
            .put(&url)
            .bearer_auth(token)
            .json(&json!({"title": "x"}))
    };

    let anonymous = client().get(&url).send().await.unwrap();
    assert!(anonymous.headers().contains_key("www-authenticate"));
    problem(anonymous, 401, "unauthenticated").await;
    problem(put("nobody").send().await.unwrap(), 401, "unauthenticated").await;
    problem(put("user").send().await.unwrap(), 403, "forbidden").await;
    let admitted = put("admin")
        .header("if-match", "\"3\"")
        .send()
        .await
        .unwrap();
    assert_eq!(admitted.status(), 200);
}

#[tokio::test]
async fn the_walk_finds_every_row_closed() {
    let walk = walk(echo()).await.unwrap();
    assert_eq!(walk.faults, Vec::<String>::new());
    // Each of the six closed rows: twice without a valid token, and once with each role that does not suffice.
    assert_eq!(
        walk.requests,
        6 * 2 + ["user", "service"].len() + ["user", "operator"].len()
    );
}

#[tokio::test]
async fn the_walk_names_a_handler_that_answers_in_place_of_the_edge() {
    let app = App {
        access: vec![Access::rest(Method::GET, "/open", Role::Service).undocumented()],
        ..App::new("open")
    };
    // There is no such route, so the edge answers 404 where it should refuse.
    let walk = walk(app).await.unwrap();
    assert_eq!(walk.faults.len(), walk.requests);
    assert!(
        walk.faults[0].starts_with("/open with no token: 404"),
        "{:?}",
        walk.faults
    );
}

#[tokio::test]
async fn a_route_without_a_row_is_never_open() {
    let hidden = axum::Router::new().route("/hidden", axum::routing::get(async || "open"));
    let app = App {
        rest: hidden,
        ..App::new("hidden")
    };
    let running = Running::start(vec![app]).await;
    let answer = client()
        .get(running.url("/hidden"))
        .bearer_auth("admin")
        .send()
        .await
        .unwrap();
    problem(answer, 404, "not-found").await;
}

fn build(app: App) -> Result<Node, NodeError> {
    Node::build(
        vec![app],
        Arc::new(StaticTokens::default()),
        &Metrics::new(),
    )
}

#[test]
fn a_node_refuses_an_access_table_with_a_gap() {
    let without = |gone: &str| {
        let mut app = echo();
        app.access.retain(|row| !format!("{row:?}").contains(gone));
        build(app).map(|_| ()).unwrap_err().to_string()
    };
    assert!(without("PUT").starts_with("PUT /api/echo/v1/books/{id} is not in the access table"));
    assert!(without("Echo/Say").starts_with("/test.v1.Echo/Say is not in the access table"));
}

#[test]
fn a_node_refuses_rows_that_stand_for_nothing_or_stand_twice() {
    let with = |row: Access| {
        let mut app = echo();
        app.access.push(row);
        build(app).map(|_| ()).unwrap_err()
    };
    let undescribed = with(Access::rpc("/test.v1.Echo/Shout", Role::User));
    assert!(matches!(undescribed, NodeError::Undescribed(path) if path == "/test.v1.Echo/Shout"));
    let undescribed = with(Access::rest(Method::POST, "/api/echo/v1/books", Role::User));
    assert!(matches!(undescribed, NodeError::Undescribed(_)));
    assert!(matches!(
        with(Access::rpc(SAY, Role::User)),
        NodeError::Twice(_)
    ));
}

/// Vouches for one partner when the header says so.
struct Door;

#[async_trait::async_trait]
impl Authenticator for Door {
    async fn bearer(&self, _: &str) -> Result<Option<Principal>, AuthError> {
        Ok(None)
    }

    async fn partner(
        &self,
        headers: &http::HeaderMap,
        path: &str,
    ) -> Result<Option<Principal>, AuthError> {
        let Some(statement) = headers.get("oc-statement") else {
            return Ok(None);
        };
        if statement != path {
            return Err(AuthError::Refused(
                "the statement is for another method".to_owned(),
            ));
        }
        let org = oc_kernel::OrgId::from_digest([1; 32]);
        Ok(Some(Principal::Partner(Partner {
            org,
            peer: "p".to_owned(),
            network: "n".to_owned(),
        })))
    }
}

#[tokio::test]
async fn a_partner_is_let_in_by_the_doors_statement_for_this_method_only() {
    let node = Node::build(vec![echo()], Arc::new(Door), &Metrics::new()).unwrap();
    let call = async |path: &str, statement: &str| {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("oc-statement", statement);
        // An empty message in its frame.
        let request = request.body(Body::from(vec![0_u8; 5])).unwrap();
        let response = node.router().oneshot(request).await.unwrap();
        let status = response.headers().get("grpc-status").cloned();
        status.map(|status| status.to_str().unwrap().to_owned())
    };
    assert_eq!(
        call(SAY, SAY).await,
        None,
        "the answer begins without an error"
    );
    assert_eq!(call(SAY, "/other").await.as_deref(), Some("16"));
    assert_eq!(
        call(super::support::COUNT, super::support::COUNT)
            .await
            .as_deref(),
        Some("16")
    );
}
