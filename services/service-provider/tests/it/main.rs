//! service-provider through its own edge, with a catalogue that can be away.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use oc_kernel::{Kind, SystemClock};
use oc_proto::catalog::v1::Listing;
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{App, CallError, Listeners, Node, StopSettings};
use oc_service_provider::{Catalogue, CatalogueError, build_with};
use oc_store::SqliteStore;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const ECHO: &str = "cwlVersion: v1.2\nclass: CommandLineTool\nlabel: Says it\nbaseCommand: echo\n\
inputs:\n  text: {type: string, inputBinding: {}}\noutputs:\n  said: stdout\n";

#[derive(Default)]
struct Shelf {
    listings: Mutex<BTreeMap<String, Listing>>,
    away: AtomicBool,
}

impl Shelf {
    fn check(&self) -> Result<(), CatalogueError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(CatalogueError(CallError::new(Kind::Unavailable, "away")));
        }
        Ok(())
    }

    fn ids(&self) -> Vec<String> {
        self.listings.lock().unwrap().keys().cloned().collect()
    }
}

#[async_trait]
impl Catalogue for Shelf {
    async fn publish(&self, listing: Listing) -> Result<(), CatalogueError> {
        self.check()?;
        self.listings
            .lock()
            .unwrap()
            .insert(listing.listing_id.clone(), listing);
        Ok(())
    }

    async fn withdraw(&self, listing_id: &str) -> Result<(), CatalogueError> {
        self.check()?;
        self.listings.lock().unwrap().remove(listing_id);
        Ok(())
    }
}

struct Server {
    router: axum::Router,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn app(shelf: Arc<Shelf>) -> App {
    let store = Arc::new(SqliteStore::temporary().await.unwrap());
    build_with(store, Arc::new(SystemClock), shelf)
}

impl Server {
    async fn start() -> Self {
        let shelf = Arc::new(Shelf::default());
        let authenticator = Arc::new(StaticTokens::of_roles());
        let node = Node::build(
            vec![app(shelf.clone()).await],
            authenticator,
            &Metrics::new(),
        )
        .unwrap();
        let router = node.router();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let listeners = Listeners::local().await.unwrap();
        tokio::spawn(async move {
            node.serve(listeners, stopping, &StopSettings::default())
                .await
                .unwrap();
        });
        Self {
            router,
            shelf,
            stop,
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        revision: Option<u64>,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/services/v1/services{path}"))
            .header("authorization", "Bearer operator")
            .header("content-type", "application/json");
        if let Some(revision) = revision {
            request = request.header("if-match", format!("\"{revision}\""));
        }
        let request = request
            .body(axum::body::Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn add(&self, name: &str, cwl: &str) -> (StatusCode, Value) {
        let service = json!({ "service": { "name": name, "version": "1.0", "cwl": cwl } });
        self.call(Method::POST, "", None, service).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None, Value::Null).await
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Shelf) -> bool) {
        let wait = async {
            while !holds(&self.shelf) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .expect(what);
    }
}

#[tokio::test]
async fn every_route_needs_its_role_and_a_token() {
    let walk = oc_service::access::walk(app(Arc::default()).await)
        .await
        .unwrap();
    assert!(walk.requests > 20, "{}", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_api_is_the_one_that_is_checked_in() {
    let app = app(Arc::default()).await;
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/service-provider.json"
    );
    oc_service::openapi::check(&app, Path::new(file)).unwrap();
}

#[tokio::test]
async fn a_service_is_registered_at_the_time_the_catalogue_has_it() {
    let server = Server::start().await;
    server.shelf.away.store(true, Ordering::SeqCst);
    let (status, created) = server.add("echo", ECHO).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    assert_eq!(created["service"]["registered_at_ms"], 0);

    server.shelf.away.store(false, Ordering::SeqCst);
    server
        .until("it is listed", |shelf| {
            shelf.ids() == ["processing.echo.1.0"]
        })
        .await;
    let listed = async {
        while server.get("/echo/1.0").await.1["service"]["registered_at_ms"] == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), listed)
        .await
        .expect("it is marked as listed");
    let listing = server.shelf.listings.lock().unwrap()["processing.echo.1.0"].clone();
    assert_eq!(listing.title, "Says it");
    let body: Value = serde_json::from_str(&listing.body_json).unwrap();
    assert_eq!(body["inputs"], json!([{ "id": "text", "type": "string" }]));
    assert_eq!(body["cwl"], ECHO);
}

#[tokio::test]
async fn a_faulty_document_is_refused_with_its_places_and_stored_nowhere() {
    let server = Server::start().await;
    let faulty = ECHO.replace("baseCommand: echo", "baseComand: echo");
    let (status, problem) = server.add("echo", &faulty).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(problem["errors"][0]["line"], 4, "{problem}");
    assert_eq!(problem["errors"][0]["column"], 1, "{problem}");
    assert_eq!(server.get("/echo/1.0").await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.get("").await.1["services"], json!([]));
}

#[tokio::test]
async fn what_is_no_document_at_all_is_refused() {
    let server = Server::start().await;
    for text in [
        "",
        "[",
        "{\"cwlVersion\": \"v1.2\"}",
        "class: Nothing\ncwlVersion: v1.2\n",
    ] {
        let (status, problem) = server.add("echo", text).await;
        assert!(
            matches!(status.as_u16(), 400 | 422),
            "{text:?}: {status} {problem}"
        );
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let (status, _) = server.add("echo", &deep).await;
    assert!(matches!(status.as_u16(), 400 | 422), "{status}");
}

#[tokio::test]
async fn a_climbing_name_is_refused() {
    let server = Server::start().await;
    for name in ["../x", "a/b", "", ".hidden"] {
        let (status, problem) = server.add(name, ECHO).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{name}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_stale_revision_is_refused_and_a_fresh_one_is_listed_anew() {
    let server = Server::start().await;
    let (_, created) = server.add("echo", ECHO).await;
    assert_eq!(server.add("echo", ECHO).await.0, StatusCode::CONFLICT);
    server
        .until("it is listed", |shelf| !shelf.ids().is_empty())
        .await;

    let change = json!({ "service": { "cwl": ECHO.replace("Says it", "Says more") } });
    let old = created["service"]["revision"].as_u64().unwrap() + 100;
    let (status, _) = server
        .call(Method::PUT, "/echo/1.0", Some(old), change.clone())
        .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let put = async {
        // The lister may raise the revision between the reading and the writing.
        loop {
            let revision = server.get("/echo/1.0").await.1["service"]["revision"].as_u64();
            let (status, _) = server
                .call(Method::PUT, "/echo/1.0", revision, change.clone())
                .await;
            if status == StatusCode::OK {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), put)
        .await
        .expect("the change is taken");
    server
        .until("the change is listed", |shelf| {
            shelf.listings.lock().unwrap()["processing.echo.1.0"].title == "Says more"
        })
        .await;
}

#[tokio::test]
async fn a_removed_service_is_withdrawn_even_when_the_catalogue_was_away() {
    let server = Server::start().await;
    server.add("echo", ECHO).await;
    server
        .until("it is listed", |shelf| !shelf.ids().is_empty())
        .await;
    server.shelf.away.store(true, Ordering::SeqCst);
    let (status, _) = server
        .call(Method::DELETE, "/echo/1.0", None, Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(server.get("/echo/1.0").await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.get("").await.1["services"], json!([]));
    server.shelf.away.store(false, Ordering::SeqCst);
    server
        .until("it is withdrawn", |shelf| shelf.ids().is_empty())
        .await;
    assert_eq!(server.add("echo", ECHO).await.0, StatusCode::CREATED);
}
