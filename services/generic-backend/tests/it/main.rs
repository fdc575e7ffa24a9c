//! generic-backend through its own edge.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use oc_bus::InProcessBus;
use oc_generic_backend::{Accounts, LocalAccounts, Parts, build};
use oc_kernel::SystemClock;
use oc_service::telemetry::Metrics;
use oc_service::{App, Listeners, Node, StopSettings};
use oc_store::{Collection, Documents, Query, SqliteStore, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const OWNER: &str = "org-0000000000000000000000000000000000000000000000000000000000000001";

struct Server {
    router: axum::Router,
    accounts: Accounts,
}

async fn app() -> (App, Accounts) {
    app_over(Arc::new(SqliteStore::temporary().await.unwrap())).await
}

async fn app_over(store: Arc<dyn Store>) -> (App, Accounts) {
    let clock = Arc::new(SystemClock);
    let accounts = Accounts::new(store.clone(), clock.clone());
    let bus = Arc::new(InProcessBus::new());
    let app = build(Parts { store, bus, clock }).await.unwrap();
    (app, accounts)
}

impl Server {
    async fn start() -> Self {
        let (app, accounts) = app().await;
        let authenticator = Arc::new(LocalAccounts::new(accounts.clone()));
        let node = Node::build(vec![app], authenticator, &Metrics::new()).unwrap();
        Self {
            router: node.router(),
            accounts,
        }
    }

    async fn user(&self, name: &str, role: &str) -> String {
        let new = self
            .accounts
            .create(name, &[role.to_owned()])
            .await
            .unwrap();
        new.token.expose().to_owned()
    }

    async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/backend/v1{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(revision) = if_match {
            request = request.header("if-match", revision);
        }
        let request = request
            .body(axum::body::Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, token: &str, path: &str) -> (StatusCode, Value) {
        self.call(token, Method::GET, path, None, Value::Null).await
    }
}

#[tokio::test]
async fn every_route_needs_its_role_and_a_token() {
    let (app, _) = app().await;
    let walk = oc_service::access::walk(app).await.unwrap();
    assert!(walk.requests > 40, "{}", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_api_is_the_one_that_is_checked_in() {
    let (app, _) = app().await;
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/generic-backend.json"
    );
    oc_service::openapi::check(&app, Path::new(file)).unwrap();
}

#[tokio::test]
async fn favourites_belong_to_the_user_who_marked_them() {
    let server = Server::start().await;
    let (ada, bob) = (
        server.user("ada", "user").await,
        server.user("bob", "user").await,
    );
    let mark = json!({ "owner": OWNER, "listing_id": "dataset.a", "note": "" });
    for note in ["", "good one"] {
        let mark = json!({ "owner": OWNER, "listing_id": "dataset.a", "note": note });
        let (status, _) = server
            .call(&ada, Method::POST, "/favorites", None, mark)
            .await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let (_, list) = server.get(&ada, "/favorites").await;
    assert_eq!(list["favorites"].as_array().unwrap().len(), 1);
    assert_eq!(list["favorites"][0]["note"], "good one");
    assert_eq!(
        server.get(&bob, "/favorites").await.1["favorites"],
        json!([])
    );

    let path = format!("/favorites/{OWNER}/dataset.a");
    for _ in 0..2 {
        let (status, _) = server
            .call(&ada, Method::DELETE, &path, None, Value::Null)
            .await;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(
        server.get(&ada, "/favorites").await.1["favorites"],
        json!([])
    );
    let (status, _) = server
        .call(&ada, Method::POST, "/favorites", None, mark)
        .await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(
        server.get(&ada, "/favorites").await.1["favorites"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_favourite_of_nobody_or_with_a_climbing_name_is_refused() {
    let server = Server::start().await;
    let ada = server.user("ada", "user").await;
    for (owner, listing) in [("org-1", "a"), (OWNER, "../a"), (OWNER, "")] {
        let mark = json!({ "owner": owner, "listing_id": listing });
        let (status, problem) = server
            .call(&ada, Method::POST, "/favorites", None, mark)
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }
}

#[tokio::test]
async fn a_draft_is_not_written_over_a_revision_that_was_not_seen() {
    let server = Server::start().await;
    let ada = server.user("ada", "user").await;
    let put = |text: &str| json!({ "draft": { "cwl": text } });
    let (status, first) = server
        .call(&ada, Method::PUT, "/drafts/a", Some("\"0\""), put("one"))
        .await;
    assert_eq!(status, StatusCode::OK);
    let revision = format!("\"{}\"", first["draft"]["revision"]);
    let (status, _) = server
        .call(&ada, Method::PUT, "/drafts/a", Some(&revision), put("two"))
        .await;
    assert_eq!(status, StatusCode::OK);
    for seen in [Some(revision.as_str()), Some("\"0\""), None] {
        let (status, problem) = server
            .call(&ada, Method::PUT, "/drafts/a", seen, put("lost"))
            .await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{problem}");
        assert!(
            problem["advice"]
                .as_str()
                .unwrap()
                .contains("read the draft again")
        );
    }
    assert_eq!(server.get(&ada, "/drafts/a").await.1["draft"]["cwl"], "two");
    assert_eq!(server.get(&ada, "/drafts").await.1["drafts"][0]["cwl"], "");

    let bob = server.user("bob", "user").await;
    assert_eq!(server.get(&bob, "/drafts/a").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_works_until_its_user_is_removed() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.token");
    let accounts = &server.accounts;
    oc_generic_backend::first_admin(accounts, &file)
        .await
        .unwrap();
    let admin = std::fs::read_to_string(&file).unwrap();
    let admin = admin.trim();

    let new = json!({ "name": "ada", "roles": ["operator"] });
    let (status, created) = server
        .call(admin, Method::POST, "/users", None, new.clone())
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let token = created["token"].as_str().unwrap();
    let me = server.get(token, "/me").await.1;
    assert_eq!(me["user"]["roles"], json!(["operator"]));
    assert_eq!(me["user"], created["user"], "since when, too");
    let (status, _) = server.call(admin, Method::POST, "/users", None, new).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(server.get(token, "/users").await.0, StatusCode::FORBIDDEN);

    let (status, _) = server
        .call(admin, Method::DELETE, "/users/ada", None, Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(server.get(token, "/me").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_last_administrator_stays_and_no_one_becomes_a_service() {
    let server = Server::start().await;
    let admin = server.user("root", "admin").await;
    let (status, problem) = server
        .call(&admin, Method::DELETE, "/users/root", None, Value::Null)
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let service = json!({ "name": "eve", "roles": ["service"] });
    let (status, _) = server
        .call(&admin, Method::POST, "/users", None, service)
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

static FAVORITES: Collection = Collection::new("favorites", &[]);
static DRAFTS: Collection = Collection::new("drafts", &[]);

/// Whose favourites and drafts are stored, as (favourites, drafts).
async fn kept(store: &Arc<dyn Store>) -> (Vec<String>, Vec<String>) {
    let of = async |collection| {
        let documents: Documents<Value> = Documents::new(store.clone(), collection, 1);
        let found = documents.all(&Query::all()).await.unwrap();
        let owners = found
            .iter()
            .map(|one| one.key.split('/').next().unwrap().to_owned());
        owners.collect()
    };
    (of(&FAVORITES).await, of(&DRAFTS).await)
}

#[tokio::test]
async fn what_a_removed_user_kept_is_deleted_and_nobody_elses() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::temporary().await.unwrap());
    let (app, accounts) = app_over(store.clone()).await;
    let authenticator = Arc::new(LocalAccounts::new(accounts.clone()));
    let node = Node::build(vec![app], authenticator, &Metrics::new()).unwrap();
    let server = Server {
        router: node.router(),
        accounts,
    };
    let stop = CancellationToken::new();
    let (listeners, stopped) = (Listeners::local().await.unwrap(), stop.clone());
    let served = tokio::spawn(async move {
        let settings = StopSettings::default();
        node.serve(listeners, stopped, &settings).await.unwrap();
    });

    let admin = server.user("root", "admin").await;
    for name in ["ada", "bob"] {
        let token = server.user(name, "user").await;
        let mark = json!({ "owner": OWNER, "listing_id": "dataset.a", "note": "" });
        let (status, body) = server
            .call(&token, Method::POST, "/favorites", None, mark)
            .await;
        assert!(status.is_success(), "{body}");
        let draft = json!({ "draft": { "cwl": "class: Workflow" } });
        let (status, body) = server
            .call(&token, Method::PUT, "/drafts/mine", Some("\"0\""), draft)
            .await;
        assert!(status.is_success(), "{body}");
    }
    assert_eq!(kept(&store).await.0.len(), 2);
    let (status, body) = server
        .call(&admin, Method::DELETE, "/users/ada", None, Value::Null)
        .await;
    assert!(status.is_success(), "{body}");

    let accounts = server.accounts.list().await.unwrap();
    let bob = accounts
        .iter()
        .find(|account| account.name.as_str() == "bob");
    let only_bob = vec![bob.unwrap().user_id.clone()];
    let forgotten = async {
        while kept(&store).await != (only_bob.clone(), only_bob.clone()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(10), forgotten).await;
    assert!(done.is_ok(), "{:?}", kept(&store).await);
    stop.cancel();
    served.await.unwrap();
}
