//! Making, filling and taking back datasets.

use axum::body::Body;
use http::{Method, StatusCode};
use oc_kernel::Digest;
use oc_store::{Collection, Query};
use serde_json::json;

use crate::world::{DEMO, World, scene_json, until};

const DATASETS: &str = "/api/data/v1/datasets";

fn collection(id: &str) -> String {
    json!({
        "type": "Collection", "stac_version": "1.0.0", "id": id, "license": "MIT",
        "description": "For tests.", "extent": {}, "links": [],
    })
    .to_string()
}

async fn create(world: &World, id: &str) -> (StatusCode, serde_json::Value) {
    let request = json!({"collection_json": collection(id)});
    world.post("operator", DATASETS, &request).await
}

#[tokio::test]
async fn a_dataset_counts_its_images_and_bytes() {
    let world = World::demo().await;
    let (_, answer) = world.get(DATASETS).await;
    let dataset = &answer["datasets"][0];
    assert_eq!(
        (&dataset["name"], &dataset["items"]),
        (&json!(DEMO), &json!(6))
    );
    let bytes: u64 = crate::world::scenes()
        .iter()
        .flat_map(|scene| {
            let assets = scene_json(scene)["assets"].as_object().unwrap().clone();
            assets
                .into_iter()
                .map(|(_, asset)| asset["file:size"].as_u64().unwrap())
        })
        .sum();
    assert_eq!(dataset["bytes"], bytes);
}

#[tokio::test]
async fn a_name_is_given_once() {
    let world = World::empty().await;
    assert_eq!(create(&world, "demo").await.0, StatusCode::CREATED);
    let (status, problem) = create(&world, "demo").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["detail"], "dataset `demo` exists already");
}

#[tokio::test]
async fn a_faulty_collection_or_price_makes_nothing() {
    let world = World::empty().await;
    for (request, part) in [
        (json!({"collection_json": "{"}), "no JSON"),
        (json!({"collection_json": "{}"}), "/type"),
        (json!({"collection_json": collection("../x")}), "`../x`"),
        (
            json!({"collection_json": collection("a"), "price": {"currency": "euro"}}),
            "price",
        ),
        (
            json!({"collection_json": collection("a"), "price": {"currency": "EUR", "egress_gib_micros": -1}}),
            "negative",
        ),
        (
            json!({"collection_json": collection("a"), "price": {"currency": "EUR", "egress_gib_micros": 1}}),
            "of the compute offer beside it",
        ),
        (
            json!({"collection_json": collection("a"), "price": {"currency": "EUR", "core_hour_micros": 1}}),
            "price per core-hour",
        ),
        (
            json!({"collection_json": collection("a"), "price": {"currency": "EUR", "storage_gib_month_micros": 1}}),
            "price per GiB and month",
        ),
        (
            json!({"collection_json": collection("a"), "visible_to": ["north"]}),
            "north",
        ),
    ] {
        let (status, problem) = world.post("operator", DATASETS, &request).await;
        assert!(status.is_client_error(), "{request}: {status}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{request}: {detail}");
    }
    assert_eq!(world.get(DATASETS).await.1["datasets"], json!([]));
}

#[tokio::test]
async fn an_item_without_its_files_is_refused_with_the_place() {
    let world = World::empty().await;
    create(&world, DEMO).await;
    let item = scene_json("lyon-20250614-a");
    let (status, problem) = world.import(DEMO, &item).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("/assets/B02/href"), "{detail}");

    for band in ["B02", "B03", "B04", "B08"] {
        world
            .put_file(DEMO, &format!("lyon-20250614-a/{band}.tif"), "other bytes")
            .await;
    }
    let (status, problem) = world.import(DEMO, &item).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("/assets/B02/file:size"), "{detail}");
    assert_eq!(world.get(DATASETS).await.1["datasets"][0]["items"], 0);
}

#[tokio::test]
async fn a_file_is_written_once_and_the_same_again_is_no_error() {
    let world = World::empty().await;
    create(&world, "demo").await;
    let (status, object) = world.put_file("demo", "a/B04.tif", "first").await;
    assert_eq!(status, StatusCode::CREATED, "{object}");
    assert_eq!(object["key"], "demo/a/B04.tif");
    assert_eq!(object["role"], "data");
    assert_eq!(object["owner"], world.south.id.to_string());
    assert_eq!(object["sha256"], Digest::of("first").to_string());
    let (status, _) = world.put_file("demo", "a/B04.tif", "first").await;
    assert_eq!(status, StatusCode::CONFLICT);
    for (digest, expected) in [
        (Digest::of("first").to_string(), StatusCode::CREATED),
        (Digest::of("other").to_string(), StatusCode::CONFLICT),
        ("no digest".to_owned(), StatusCode::BAD_REQUEST),
    ] {
        let headers = [("oc-sha256", digest.as_str())];
        let path = format!("{DATASETS}/demo/files/a/B04.tif");
        let put = world.call(
            "operator",
            Method::PUT,
            &path,
            &headers,
            Body::from("first"),
        );
        assert_eq!(put.await.0, expected, "{digest}");
    }
    let (_, stored) = world.get(&format!("{DATASETS}/demo/files/a/B04.tif")).await;
    assert_eq!(stored["sha256"], Digest::of("first").to_string());
    let (status, _) = world.get(&format!("{DATASETS}/demo/files/a/B08.tif")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let announced = Digest::of("announced").to_string();
    let headers = [("oc-sha256", announced.as_str())];
    let path = format!("{DATASETS}/demo/files/new.tif");
    let put = world.call(
        "operator",
        Method::PUT,
        &path,
        &headers,
        Body::from("something else"),
    );
    assert_eq!(put.await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        world.put_file("demo", "new.tif", "third").await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_path_that_climbs_stores_nothing() {
    let world = World::empty().await;
    create(&world, "demo").await;
    for name in [
        "..%2Fx",
        "a/..%2F..%2Fx",
        "%2Fx",
        ".hidden",
        "a%00b",
        "a%5C..%5Cb",
    ] {
        let (status, problem) = world.put_file("demo", name, "x").await;
        assert!(status.is_client_error(), "{name}: {status} {problem}");
    }
    assert_eq!(
        world.put_file("..%2Fdemo", "x", "x").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.put_file("missing", "x", "x").await.0,
        StatusCode::NOT_FOUND
    );
    let left = std::fs::read_dir(world.folder.path().join("objects")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter()
            .all(|name| name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

#[tokio::test]
async fn an_item_imported_again_replaces_the_first() {
    let world = World::demo().await;
    let mut item = scene_json("lyon-20250614-a");
    item["properties"]["eo:cloud_cover"] = json!(99.5);
    assert_eq!(world.import(DEMO, &item).await.0, StatusCode::CREATED);
    let (_, found) = world
        .get(&format!("/stac/collections/{DEMO}/items/lyon-20250614-a"))
        .await;
    assert_eq!(found["properties"]["eo:cloud_cover"], 99.5);
    assert_eq!(world.get(DATASETS).await.1["datasets"][0]["items"], 6);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let mut world = World::demo().await;
    let search = "/stac/search?bbox=1.3,43.5,1.6,43.7&sortby=id";
    let before = world.get(search).await;
    world.restart().await;
    assert_eq!(world.get(search).await, before);
}

#[tokio::test]
async fn a_dataset_that_is_taken_back_leaves_nothing() {
    static EVERYTHING: [Collection; 3] = [
        Collection::new("datasets", &[]),
        Collection::new("images", &[]),
        Collection::new("reservations", &[]),
    ];
    let world = World::demo().await;
    until("the listing", async || {
        !world.catalogue.listings.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(world.delete(DEMO).await.0, StatusCode::OK);
    // For everyone it is gone at once.
    assert_eq!(
        world.get(&format!("/stac/collections/{DEMO}")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(world.delete(DEMO).await.0, StatusCode::NOT_FOUND);

    until("the removal", async || {
        create(&world, DEMO).await.0 == StatusCode::CREATED
    })
    .await;
    world.delete(DEMO).await;
    let store = &world.node.store;
    for collection in &EVERYTHING {
        until(collection.name, async || {
            let page = oc_kernel::PageRequest::default();
            let left = store.list(collection, &Query::all(), &page).await.unwrap();
            left.items.is_empty()
        })
        .await;
    }
    assert!(world.catalogue.listings.lock().unwrap().is_empty());
    let files = world.folder.path().join("objects").join(DEMO);
    assert!(!files.exists(), "files are left");
}
