//! Both faces, and who may use them.

use std::path::Path;
use std::sync::Arc;

use oc_bus::InProcessBus;
use oc_catalog::{Parts, Settings, build};
use oc_door::Door;
use oc_kernel::SystemClock;
use oc_service::telemetry::Metrics;
use oc_service::{App, Problem, Switchboard, access, openapi};
use oc_store::SqliteStore;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::node::{Org, dataset};
use super::world::World;

async fn app() -> App {
    let switchboard = Switchboard::new();
    let clock = Arc::new(SystemClock);
    build(Parts {
        store: Arc::new(SqliteStore::temporary().await.unwrap()),
        bus: Arc::new(InProcessBus::new()),
        clock: clock.clone(),
        door: Door::new(&switchboard, "catalog", clock),
        switchboard,
        metrics: Metrics::new(),
        settings: Settings::default(),
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn every_route_is_closed_to_the_wrong_caller() {
    let walk = access::walk(app().await).await.unwrap();
    assert!(walk.requests > 20);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_openapi_document_is_checked_in() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/catalog.json"
    );
    openapi::check(&app().await, Path::new(file)).unwrap();
}

struct Rest<'a>(&'a Org);

impl Rest<'_> {
    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        oc_service::install_tls_provider();
        let url = format!("{}/api/catalog/v1/{path}", self.0.url);
        let request = Client::new().request(method, url).bearer_auth(token);
        let request = body
            .into_iter()
            .fold(request, |request, body| request.json(&body));
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, "user", None).await
    }
}

#[tokio::test]
async fn search_and_get_speak_json() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    south.publish(dataset("coast")).await;
    south.publish(dataset("inland")).await;
    let rest = Rest(&south);
    let (status, found) = rest
        .get("listings?text=coast&kind=dataset&kind=compute")
        .await;
    assert_eq!(status, 200);
    assert_eq!(found["total"], 1);
    assert_eq!(found["listings"][0]["kind"], "dataset");
    assert_eq!(found["facet_counts"]["kind=dataset"], 1);

    let (_, first) = rest.get("listings?page_size=1").await;
    let next = first["next_page_token"].as_str().unwrap();
    let (_, second) = rest
        .get(&format!("listings?page_size=1&page_token={next}"))
        .await;
    assert_eq!(second["listings"][0]["name"], "inland");
    assert_eq!(second["next_page_token"], "");

    let (status, one) = rest
        .get(&format!("listings/{}/dataset.coast", south.id))
        .await;
    assert_eq!(status, 200);
    assert_eq!(one["listing"]["body_json"], "{\"items\":4}");
}

#[tokio::test]
async fn wrong_requests_are_problems_that_say_what_to_do() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let rest = Rest(&south);
    for (path, status, hint) in [
        ("listings?kind=machine", 400, "dataset, compute"),
        ("listings?page_token=xyz", 400, "start again without one"),
        ("listings?bbox=0,9,0,1", 400, "south below north"),
        ("listings/South/dataset.coast", 400, "OrgId"),
        (
            &format!("listings/{}/..%2Fx", south.id),
            400,
            "no listing id",
        ),
        (
            &format!("listings/{}/dataset.coast", south.id),
            404,
            "dataset.coast",
        ),
    ] {
        let (found, body) = rest.get(path).await;
        let problem: Problem = serde_json::from_value(body).unwrap();
        assert_eq!(found, status, "{path}");
        assert!(problem.detail.contains(hint), "{path}: {}", problem.detail);
    }
}

#[tokio::test]
async fn an_operator_lists_workflows_that_stay_and_nothing_else() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let rest = Rest(&south);
    let listing = |kind: &str| json!({"listing": {"listing_id": format!("{kind}.pictures"), "kind": kind, "name": "pictures", "ttl_seconds": 60}});
    let post = async |body| {
        rest.send(Method::POST, "listings", "operator", Some(body))
            .await
    };
    let (status, body) = post(listing("dataset")).await;
    assert_eq!(status, 422, "{body}");
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("by the service that offers it")
    );
    let (status, body) = post(listing("workflow")).await;
    assert_eq!(status, 201, "{body}");

    world.clock.advance(std::time::Duration::from_secs(3600));
    south.sees(&["workflow.pictures"]).await;

    south.publish(dataset("coast")).await;
    let delete = async |id: &str| {
        rest.send(Method::DELETE, &format!("listings/{id}"), "operator", None)
            .await
            .0
    };
    assert_eq!(delete("dataset.coast").await, 422);
    assert_eq!(delete("workflow.pictures").await, 200);
    south.sees(&["dataset.coast"]).await;
}
