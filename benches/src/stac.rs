//! STAC over 100,000 items of one dataset.

use std::time::Duration;

use anyhow::ensure;
use oc_testkit::Node;
use serde_json::json;

use crate::figures::{Bar, Row};
use crate::http_load::{Call, Outcome, Target, get, post};

const ITEMS: usize = 100_000;
/// As many as the incumbent was measured with.
const CONNECTIONS: usize = 16;
const LONG: Duration = Duration::from_secs(8);
const COLLECTION: &str = "bench";

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let node = Node::start("North").await;
    let target = Target::of(&node);
    let imported = fill(&node, &target).await?;
    let all = target.ask(search(json!({"limit": 1}))).await?;
    ensure!(
        all["numberMatched"] == ITEMS,
        "{} items instead of {ITEMS}",
        all["numberMatched"]
    );
    let item = target
        .load(CONNECTIONS, LONG, |number| {
            let id = name(number * 7_919 % ITEMS);
            get(format!("/stac/collections/{COLLECTION}/items/{id}"))
        })
        .await?;
    let found = target
        .load(CONNECTIONS, LONG, |n| search(near(n, 10)))
        .await?;
    let count = target
        .load(CONNECTIONS, LONG, |n| search(near(n, 0)))
        .await?;
    drop(node);
    let at = format!("{CONNECTIONS} connections for {} s", LONG.as_secs());
    let rate = |what: &str, outcome: &Outcome, bar: f64, how: &str| {
        let row = Row::new(
            format!("STAC at {ITEMS} items: {what}"),
            outcome.rate,
            "/s",
            format!("{at}; {how}; p99 {:.1} ms", outcome.times.quantile_ms(0.99)),
        );
        row.bar(Bar::AtLeast(bar))
    };
    Ok(vec![
        rate("item", &item, 20_000.0, "any of them by its id"),
        rate(
            "search",
            &found,
            5_000.0,
            "an area of 2 by 2 degrees and 30 days, ten items and the exact count",
        ),
        rate("count", &count, 5_000.0, "the same search with no item"),
        Row::new(
            format!("STAC at {ITEMS} items: search, p99"),
            found.times.quantile_ms(0.99),
            "ms",
            at,
        )
        .bar(Bar::AtMost(20.0)),
        Row::new(
            "STAC: items imported, one a request",
            imported.rate,
            "/s",
            "64 connections, each item durable before its answer",
        ),
    ])
}

async fn fill(node: &Node, target: &Target) -> anyhow::Result<Outcome> {
    let collection = json!({
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "title": "Benchmark",
        "description": "Items over Europe",
        "license": "CC0-1.0",
        "links": [],
        "extent": {
            "spatial": {"bbox": [[-10.0, 35.0, 31.0, 66.0]]},
            "temporal": {"interval": [["2015-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]]},
        },
    });
    let create = json!({"collection_json": collection.to_string()});
    let path = "/api/data/v1/datasets".to_owned();
    target.ask(post(path, &create)).await?;
    let folder = tempfile::tempdir()?;
    let scene = folder.path().join("scene.tif");
    std::fs::write(&scene, b"scene")?;
    let digest = oc_kernel::Digest::of(b"scene").to_string();
    let scene = tokio::fs::File::open(scene).await?;
    let client = node.client();
    client
        .data()
        .upload(COLLECTION, "scene.tif", &digest, scene)
        .await?;
    target
        .send(64, ITEMS, |number| {
            let path = format!("/api/data/v1/datasets/{COLLECTION}/items");
            post(path, &json!({"item_json": item(number).to_string()}))
        })
        .await
}

fn name(number: usize) -> String {
    format!("item-{number:06}")
}

/// Spread over Europe and ten years.
fn item(number: usize) -> serde_json::Value {
    let (west, south) = corner(number);
    let (east, north) = (west + 0.5, south + 0.5);
    let ring = [
        [west, south],
        [east, south],
        [east, north],
        [west, north],
        [west, south],
    ];
    let (year, day) = (2015 + number % 10, 1 + number / 10 % 28);
    let month = 1 + number / 280 % 12;
    json!({
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name(number),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": format!("{year}-{month:02}-{day:02}T10:00:00Z"),
            "platform": if number.is_multiple_of(2) { "sentinel-2a" } else { "sentinel-2b" },
            "eo:cloud_cover": number % 100,
        },
        "links": [],
        "collection": COLLECTION,
        "assets": {"scene": {"href": "scene.tif", "type": "image/tiff"}},
    })
}

/// South west, without a pattern that an index could like.
fn corner(number: usize) -> (f64, f64) {
    let west = (number * 7_919 % 40_000) as f64 / 1_000.0 - 10.0;
    let south = (number * 104_729 % 30_000) as f64 / 1_000.0 + 35.0;
    (west, south)
}

fn search(body: serde_json::Value) -> Call {
    post("/stac/search".to_owned(), &body)
}

/// Items in an area and a month that change with each search.
fn near(number: usize, limit: usize) -> serde_json::Value {
    let (west, south) = corner(number * 31);
    let (year, month) = (2015 + number % 10, 1 + number / 10 % 12);
    json!({
        "collections": [COLLECTION],
        "bbox": [west, south, west + 2.0, south + 2.0],
        "datetime": format!("{year}-{month:02}-01T00:00:00Z/{year}-{month:02}-28T23:59:59Z"),
        "limit": limit,
    })
}
