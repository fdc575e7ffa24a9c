//! Measures durable writes: `cargo run --release -p oc-store --example writes -- [folder] [writers]`.
//! Each writer creates documents with an index entry and an event, one after another, for three seconds.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use oc_store::{Collection, Expect, Index, OutboxEvent, SqliteOptions, SqliteStore, Store};
use serde_json::json;

static THINGS: Collection = Collection::new("things", &[Index::pointer("owner", "/owner")]);
const TIME: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let writers: usize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let folder = tempfile::tempdir_in(parent)?;
    let path = folder.path().join("store.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?);

    let tasks = (0..writers).map(|writer| write(store.clone(), writer));
    let begin = Instant::now();
    let latencies = tasks.collect::<tokio::task::JoinSet<_>>().join_all().await;
    let elapsed = begin.elapsed();
    let mut latencies: Vec<_> = latencies.into_iter().flatten().collect();
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    println!(
        "{writers} writers: {:.0} writes/s, p50 {:?}, p99 {:?}",
        latencies.len() as f64 / elapsed.as_secs_f64(),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
    );
    Ok(())
}

async fn write(store: Arc<dyn Store>, writer: usize) -> Vec<Duration> {
    let end = Instant::now() + TIME;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let key = format!("{writer}/{}", latencies.len());
        let value = json!({"owner": writer, "text": "x".repeat(500)}).to_string();
        let event = OutboxEvent::new("oc.example.written.v1", &key, json!({"key": key}));
        let begin = Instant::now();
        let written = store
            .put(&THINGS, &key, Expect::Absent, value.into(), vec![event])
            .await;
        if written.is_err() {
            return latencies;
        }
        latencies.push(begin.elapsed());
    }
    latencies
}
