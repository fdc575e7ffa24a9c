//! Who may call what, and what the API is described as.

use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use oc_kernel::Clock as _;
use oc_kernel::{FixedClock, SystemClock};
use oc_proto::data::v1::ListDatasetsRequest;
use oc_proto::data::v1::dataset_service_client::DatasetServiceClient;
use oc_sentinel_provider::Settings;
use oc_service::access::walk;
use oc_service::{App, CallError, Switchboard};
use oc_store::SqliteStore;

use crate::world::{DEMO, World, app};

async fn alone() -> (App, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::temporary().await.unwrap());
    let clock = Arc::new(FixedClock::new(SystemClock.now()));
    let (board, bus) = (Switchboard::new(), Arc::default());
    let app = app(
        folder.path(),
        store,
        &Settings::default(),
        &board,
        &clock,
        &bus,
    )
    .await;
    (app, folder)
}

#[tokio::test]
async fn every_route_and_method_is_closed_to_the_wrong_role() {
    let (app, _folder) = alone().await;
    let walk = walk(app).await.unwrap();
    assert!(walk.requests > 50, "{} requests", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let (app, _folder) = alone().await;
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/sentinel-provider.json"
    );
    oc_service::openapi::check(&app, Path::new(file)).unwrap();
}

#[tokio::test]
async fn both_faces_tell_the_same() {
    let world = World::demo().await;
    let (status, rest) = world.get("/api/data/v1/datasets").await;
    assert_eq!(status, StatusCode::OK);
    let channel = world
        .board
        .channel("generic-backend", oc_sentinel_provider::NAME);
    let mut client = DatasetServiceClient::new(channel);
    let grpc = client.list_datasets(ListDatasetsRequest {}).await.unwrap();
    assert_eq!(serde_json::to_value(grpc.get_ref()).unwrap(), rest);

    let missing = oc_proto::data::v1::CountItemsRequest {
        dataset: "missing".to_owned(),
        query: None,
    };
    let error = CallError::from(client.count_items(missing).await.unwrap_err());
    assert_eq!(error.kind.http_status(), 404);
    let (status, problem) = world
        .post(
            "user",
            "/api/data/v1/datasets/missing/count",
            &serde_json::json!({}),
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["detail"], error.message);
    let (_, dataset) = world.get(&format!("/stac/collections/{DEMO}")).await;
    assert_eq!(dataset["id"], DEMO);
}
