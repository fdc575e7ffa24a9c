//! Both faces, and who may use them.

use std::path::Path;
use std::sync::Arc;

use http::Method;
use oc_bus::InProcessBus;
use oc_compute_provider::{NAME, Parts, Settings, build_over};
use oc_door::Door;
use oc_kernel::SystemClock;
use oc_objects::FolderObjects;
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard, access, openapi};
use oc_store::SqliteStore;
use serde_json::{Value, json};

use crate::node::Org;
use crate::stage::Stage;
use crate::world::{World, eventually};

async fn app() -> (App, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let switchboard = Switchboard::new();
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        store: Arc::new(SqliteStore::temporary().await.unwrap()),
        bus: Arc::new(InProcessBus::new()),
        objects: Arc::new(
            FolderObjects::open(folder.path().join("objects"))
                .await
                .unwrap(),
        ),
        work: folder.path().join("work"),
        address: String::new(),
        clock: clock.clone(),
        door: Door::new(&switchboard, NAME, clock),
        switchboard,
        metrics: Metrics::new(),
        settings: Settings::default(),
    };
    let stage = Stage::new(&World::new());
    (build_over(parts, Arc::new(stage)).await.unwrap(), folder)
}

#[tokio::test]
async fn every_route_is_closed_to_the_wrong_caller() {
    let walk = access::walk(app().await.0).await.unwrap();
    assert!(walk.requests > 100, "{}", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_openapi_document_is_checked_in() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/compute-provider.json"
    );
    openapi::check(&app().await.0, Path::new(file)).unwrap();
}

#[tokio::test]
async fn an_offer_is_listed_with_its_limits_and_shown_with_its_use() {
    let org = Org::start(&World::new()).await;
    org.offer_machines().await;
    eventually(async || org.catalogue.ids() == ["compute.default"]).await;
    let listing = org.catalogue.0.lock().unwrap()["compute.default"].clone();
    let body: Value = serde_json::from_str(&listing.body_json).unwrap();
    assert_eq!(
        body,
        json!({"cores": 2, "memory_bytes": 1 << 30, "concurrent_fragments": 2, "wall_seconds": 600})
    );
    let offers = org.ok(Method::GET, "offers", Value::Null).await;
    assert_eq!(offers["offers"][0]["kind"], "compute");
    eventually(async || {
        org.ok(Method::GET, "offers", Value::Null).await["offers"][0]["listed"] == true
    })
    .await;
    org.offer_machines().await;
    let (status, text) = org
        .refused(
            Method::POST,
            "offers",
            json!({"offer": {"name": "default", "kind": "storage", "capacity": {"storage_bytes": 5}}}),
        )
        .await;
    assert_eq!(status, 409);
    assert!(text.contains("other terms"), "{text}");
}

#[tokio::test]
async fn a_faulty_offer_is_refused_and_says_which_field() {
    let org = Org::start(&World::new()).await;
    let cases = [
        (json!({}), 400, "offer"),
        (json!({"offer": {"name": "a"}}), 400, "offer.kind"),
        (
            json!({"offer": {"name": "../a", "kind": "compute"}}),
            400,
            "offer.name",
        ),
        (
            json!({"offer": {"name": "a", "kind": "compute"}}),
            422,
            "1 to 65536 cores",
        ),
        (
            json!({"offer": {"name": "work", "kind": "storage", "capacity": {"storage_bytes": 1}}}),
            422,
            "work",
        ),
        (
            json!({"offer": {"name": "a", "kind": "storage", "capacity": {"storage_bytes": 1}, "price": {"currency": "euro"}}}),
            400,
            "price.currency",
        ),
        (
            json!({"offer": {"name": "a", "kind": "storage", "capacity": {"storage_bytes": 1}, "price": {"currency": "EUR", "core_hour_micros": -1}}}),
            422,
            "negative",
        ),
        (
            json!({"offer": {"name": "a", "kind": "storage", "capacity": {"storage_bytes": 1}, "visible_to": ["org-1"]}}),
            400,
            "visible_to",
        ),
    ];
    for (body, expected, part) in cases {
        let (status, text) = org.refused(Method::POST, "offers", body.clone()).await;
        assert_eq!(status, expected, "{body}: {text}");
        assert!(text.contains(part), "{body}: {text}");
    }
    let offers = org.ok(Method::GET, "offers", Value::Null).await;
    assert_eq!(offers["offers"], json!([]));
}

#[tokio::test]
async fn rules_are_written_listed_in_order_and_deleted() {
    let org = Org::start(&World::new()).await;
    for name in ["b", "a"] {
        let rule = json!({"name": "ignored", "limits": {"cores": 1}, "max_life_seconds": 60});
        org.ok(
            Method::PUT,
            &format!("rules/{name}"),
            json!({ "rule": rule }),
        )
        .await;
    }
    let rules = org.ok(Method::GET, "rules", Value::Null).await;
    let names: Vec<_> = rules["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].clone())
        .collect();
    assert_eq!(names, [json!("a"), json!("b")]);
    org.ok(Method::DELETE, "rules/a", Value::Null).await;
    org.ok(Method::DELETE, "rules/a", Value::Null).await;
    let (status, text) = org
        .refused(
            Method::PUT,
            "rules/c",
            json!({"rule": {"limits": {"cores": 1}}}),
        )
        .await;
    assert_eq!(status, 422, "{text}");
}

#[tokio::test]
async fn endless_and_deeply_nested_json_is_refused() {
    let org = Org::start(&World::new()).await;
    let send = async |body: String| {
        let request = http::Request::builder()
            .method("POST")
            .uri("/api/compute/v1/offers")
            .header("authorization", "Bearer operator")
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body))
            .unwrap();
        org.send(request).await.0.as_u16()
    };
    assert_eq!(
        send(format!("{{\"offer\": \"{}\"}}", "x".repeat(10_000_000))).await,
        413
    );
    assert_eq!(send("[".repeat(100_000)).await, 400);
}
