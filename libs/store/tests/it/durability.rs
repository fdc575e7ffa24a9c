//! A process is killed while it writes; whatever it had been told is written must be there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oc_store::{Collection, Expect, Index, OutboxEvent, Query, SqliteOptions, SqliteStore, Store};
use serde_json::{Value, json};

static ROWS: Collection = Collection::new("rows", &[Index::pointer("writer", "/writer")]);

/// Set for the child: the file to write to.
const FILE: &str = "OC_STORE_TEST_FILE";
const WRITERS: u64 = 8;

#[test]
fn acknowledged_writes_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    for round in 0..3 {
        let acknowledged = write_until_killed(&file, 150);
        assert!(acknowledged.len() >= WRITERS as usize, "round {round}");
        check(&file, &acknowledged);
    }
}

/// Starts the child and kills it after that many acknowledgements: the highest count by writer.
fn write_until_killed(file: &std::path::Path, after: usize) -> BTreeMap<u64, u64> {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "durability::child_that_writes",
            "--nocapture",
            "--ignored",
        ])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = BTreeMap::new();
    let mut note = |line: String| {
        let mut words = line.split(' ');
        if words.next() == Some("ack") {
            let mut number = || words.next()?.parse::<u64>().ok();
            // A last line that the kill cut short counts for nothing.
            if let (Some(writer), Some(count), Some(_)) = (number(), number(), number()) {
                acknowledged.insert(writer, count);
                return true;
            }
        }
        false
    };
    let mut seen = 0;
    while seen < after {
        assert!(Instant::now() < deadline, "the child is too slow");
        seen += usize::from(note(lines.next().expect("the child writes on").unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(Result::ok).for_each(|line| {
        note(line);
    });
    acknowledged
}

#[tokio::main(flavor = "current_thread")]
async fn check(file: &std::path::Path, acknowledged: &BTreeMap<u64, u64>) {
    let store = SqliteStore::open(file, SqliteOptions::default())
        .await
        .unwrap();
    let mut events: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in store.outbox(usize::MAX >> 1).await.unwrap() {
        let writer = entry.event.data["writer"].as_u64().unwrap();
        events.insert(writer, entry.event.data["count"].as_u64().unwrap());
    }
    for (writer, count) in acknowledged {
        let document = store.get(&ROWS, &writer.to_string()).await.unwrap();
        let value: Value = serde_json::from_slice(&document.unwrap().value).unwrap();
        let found = value["count"].as_u64().unwrap();
        assert!(found >= *count, "writer {writer}: {found} of {count}");
        assert_eq!(
            events.get(writer),
            Some(&found),
            "document and event differ"
        );
    }
    let page = oc_kernel::PageRequest::default();
    let indexed = store
        .list(&ROWS, &Query::ordered_by("writer"), &page)
        .await
        .unwrap();
    assert_eq!(indexed.items.len(), WRITERS as usize);
}

/// Not a test: the process that [`acknowledged_writes_survive_a_kill`] starts and kills.
#[test]
#[ignore = "run by acknowledged_writes_survive_a_kill"]
fn child_that_writes() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(file, SqliteOptions::default())
            .await
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let writers = (0..WRITERS).map(|writer| write_for_ever(store.clone(), writer));
        writers
            .collect::<tokio::task::JoinSet<_>>()
            .join_all()
            .await;
    });
}

async fn write_for_ever(store: Arc<dyn Store>, writer: u64) {
    let key = writer.to_string();
    let found = store.get(&ROWS, &key).await.unwrap();
    let mut count = found.map_or(0, |document| {
        let value: Value = serde_json::from_slice(&document.value).unwrap();
        value["count"].as_u64().unwrap()
    });
    loop {
        count += 1;
        let value = json!({"writer": writer, "count": count});
        let event = OutboxEvent::new("oc.test.counted.v1", &key, value.clone());
        let bytes = value.to_string().into_bytes();
        let written = store
            .put(&ROWS, &key, Expect::Any, bytes, vec![event])
            .await;
        written.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "ack {writer} {count} 0")
            .and_then(|()| out.flush())
            .unwrap();
    }
}
