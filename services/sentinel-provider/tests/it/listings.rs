//! What the catalogue is told.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde_json::{Value, json};

use crate::world::{DEMO, World, until};

const ID: &str = "dataset.sentinel-2-demo";

fn listing(world: &World) -> Option<oc_proto::catalog::v1::Listing> {
    world.catalogue.listings.lock().unwrap().get(ID).cloned()
}

fn items(world: &World) -> Option<u64> {
    let body: Value = serde_json::from_str(&listing(world)?.body_json).unwrap();
    body["items"].as_u64()
}

#[tokio::test]
async fn a_dataset_is_listed_with_place_time_and_size() {
    let world = World::demo().await;
    until("the whole listing", async || items(&world) == Some(6)).await;
    let listing = listing(&world).unwrap();
    assert_eq!(
        listing.kind,
        i32::from(oc_proto::catalog::v1::ListingKind::Dataset)
    );
    assert_eq!(listing.name, DEMO);
    assert!(listing.ttl_seconds > 0);
    let area = listing.area.unwrap();
    assert!(area.west < 1.43 && area.east > 4.85 && area.south < 43.6 && area.north > 45.7);
    let time = listing.time.unwrap();
    assert!(time.start_ms < time.end_ms);
    let body: Value = serde_json::from_str(&listing.body_json).unwrap();
    assert_eq!(body["collection"], DEMO);
    assert_eq!(body["assets"], json!(["B02", "B03", "B04", "B08"]));
    assert_eq!(listing.facets["collection"], DEMO);
    let (_, answer) = world.get("/api/data/v1/datasets").await;
    assert_eq!(answer["datasets"][0]["listed"], true);
}

#[tokio::test]
async fn a_catalogue_that_is_away_is_told_when_it_is_back() {
    let world = World::empty().await;
    world.catalogue.away.store(true, Ordering::Relaxed);
    let collection = json!({
        "type": "Collection", "stac_version": "1.0.0", "id": DEMO, "license": "MIT",
        "description": "For tests.",
    });
    let request = json!({"collection_json": collection.to_string()});
    let (status, answer) = world
        .post("operator", "/api/data/v1/datasets", &request)
        .await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(answer["dataset"]["listed"], false);
    world.catalogue.away.store(false, Ordering::Relaxed);
    until("the listing", async || listing(&world).is_some()).await;

    world.catalogue.away.store(true, Ordering::Relaxed);
    assert_eq!(world.delete(DEMO).await.0, StatusCode::OK);
    assert!(listing(&world).is_some());
    world.catalogue.away.store(false, Ordering::Relaxed);
    until("the withdrawal", async || listing(&world).is_none()).await;
}

#[tokio::test]
async fn a_removal_goes_on_after_a_restart() {
    let mut world = World::demo().await;
    until("the listing", async || items(&world) == Some(6)).await;
    world.catalogue.away.store(true, Ordering::Relaxed);
    world.delete(DEMO).await;
    world.restart().await;
    assert_eq!(
        world.get(&format!("/stac/collections/{DEMO}")).await.0,
        StatusCode::NOT_FOUND
    );
    world.catalogue.away.store(false, Ordering::Relaxed);
    until("the withdrawal", async || listing(&world).is_none()).await;
    let files = world.folder.path().join("objects").join(DEMO);
    until("the removal of the files", async || !files.exists()).await;
}
