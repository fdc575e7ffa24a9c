//! Measures calls and bytes through both doors on the loopback interface and prints one JSON document:
//! `cargo run --release -p oc-discovery --example doors`.

#![expect(
    clippy::unwrap_used,
    reason = "it shares its organisations with the tests"
)]
#![expect(clippy::print_stdout, reason = "the figures are the program's output")]

#[path = "../tests/it/behind.rs"]
mod behind;
#[path = "../tests/it/org.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod org;

use std::time::Instant;

use futures::StreamExt as _;
use oc_door::{BulkRole, Purpose};
use oc_proto::federation::v1::GetHeadRequest;
use oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient;

const SAMPLES: usize = 2000;
const CALLS: usize = 20_000;
const IN_FLIGHT: usize = 64;
const BULK_BYTES: usize = 512 << 20;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (north, south, _) = org::met().await;
    let channel = south.partner("catalog", north.id, Purpose::Catalogue).await;
    let client = CatalogueServiceClient::new(channel);
    let call = || {
        let mut client = client.clone();
        async move { client.get_head(GetHeadRequest {}).await.unwrap() }
    };
    for _ in 0..SAMPLES / 10 {
        call().await;
    }
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let started = Instant::now();
        call().await;
        samples.push(started.elapsed());
    }
    samples.sort_unstable();

    let started = Instant::now();
    let calls = futures::stream::iter(0..CALLS).map(|_| call());
    let done = calls.buffer_unordered(IN_FLIGHT).count().await;
    let per_second = done as f64 / started.elapsed().as_secs_f64();

    let object = vec![7; BULK_BYTES];
    north
        .shelf
        .lock()
        .unwrap()
        .insert("open".to_owned(), object);
    let door = south.door("compute-provider");
    let started = Instant::now();
    let body = door.bulk_get(north.id, BulkRole::Objects, "open", 0).await;
    let mut bytes = body.unwrap().bytes;
    let mut received = 0;
    while let Some(piece) = bytes.next().await {
        received += piece.unwrap().len();
    }
    assert_eq!(received, BULK_BYTES);
    let megabytes = received as f64 / 1e6 / started.elapsed().as_secs_f64();
    let figures = serde_json::json!({
        "unary_p50_ms": samples[SAMPLES / 2].as_secs_f64() * 1e3,
        "unary_p99_ms": samples[SAMPLES * 99 / 100].as_secs_f64() * 1e3,
        "calls_per_second_64_in_flight": per_second,
        "bulk_megabytes_per_second": megabytes,
    });
    println!("{figures:#}");
}
