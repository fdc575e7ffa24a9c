//! Who may call what, and what the API is described as.

use std::path::Path;
use std::sync::Arc;

use oc_bus::{Bus, InProcessBus};
use oc_door::Door;
use oc_kernel::SystemClock;
use oc_pipeline_orchestrator::{NAME, Parts, Settings, build};
use oc_service::access::walk;
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard};
use oc_store::{SqliteStore, Store};

async fn alone() -> App {
    let store = Arc::new(SqliteStore::temporary().await.unwrap());
    app(store, Arc::new(InProcessBus::new())).await
}

/// The service, whose others do not answer.
pub(crate) async fn app(store: Arc<dyn Store>, bus: Arc<dyn Bus>) -> App {
    let switchboard = Switchboard::new();
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        store,
        bus,
        clock: clock.clone(),
        door: Door::new(&switchboard, NAME, clock),
        switchboard,
        metrics: Metrics::default(),
        settings: Settings::default(),
    };
    build(parts).await.unwrap()
}

#[tokio::test]
async fn every_route_and_method_is_closed_to_the_wrong_role() {
    let walk = walk(alone().await).await.unwrap();
    assert!(walk.requests > 20, "{} requests", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/pipeline-orchestrator.json"
    );
    oc_service::openapi::check(&alone().await, Path::new(file)).unwrap();
}
