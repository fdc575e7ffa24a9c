//! The contract suite, and what only a file can show.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::{SqliteOptions, SqliteStore, schema};
use crate::testsuite::Fixture;
use crate::{Collection, Expect, OutboxEvent, Store, StoreError};

#[derive(Debug)]
struct File(tempfile::TempDir);

#[async_trait::async_trait]
impl Fixture for File {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.0.path().join("store.db");
        let options = SqliteOptions {
            durable: false,
            ..SqliteOptions::default()
        };
        Arc::new(SqliteStore::open(path, options).await.unwrap())
    }
}

crate::testsuite!(File(tempfile::tempdir().unwrap()));

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/store.db");
    let error = SqliteStore::open(&path, SqliteOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }));
    assert!(error.to_string().contains("missing/store.db"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_to_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "no store at all, ".repeat(512)).unwrap();
    let error = SqliteStore::open(&path, SqliteOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("store.db is damaged"), "{text}");
    assert!(text.contains("from a backup"), "{text}");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(
        SqliteStore::open(&path, SqliteOptions::default())
            .await
            .unwrap(),
    );
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteStore::open(&path, SqliteOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NewerFile { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_temporary_store_leaves_nothing_behind() {
    let store = SqliteStore::temporary().await.unwrap();
    let folder = store._folder.as_ref().unwrap().path().to_owned();
    assert!(folder.exists());
    drop(store);
    assert!(!folder.exists());
}

static THINGS: Collection = Collection::new("things", &[]);

fn rows(file: &Path) -> u64 {
    let connection = rusqlite::Connection::open(file).unwrap();
    let count = "SELECT count(*) FROM documents";
    connection.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_tombstone_stays_until_its_event_is_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file, SqliteOptions::default())
        .await
        .unwrap();
    let event = |kind: &str| vec![OutboxEvent::new(kind, "a", json!({}))];
    let put = store.put(&THINGS, "a", Expect::Any, b"{}".into(), event("in"));
    put.await.unwrap();
    let delete = store.delete(&THINGS, "a", Expect::Any, event("out"));
    delete.await.unwrap();
    for entry in store.outbox(10).await.unwrap() {
        assert_eq!(rows(&file), 1, "{} was not out", entry.event.kind);
        store.acknowledge(&[entry.token]).await.unwrap();
    }
    assert_eq!(rows(&file), 0);
}

#[tokio::test]
async fn nothing_of_a_deleted_document_stays_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file, SqliteOptions::default())
        .await
        .unwrap();
    let secret = "marmalade-".repeat(2000);
    let value = json!({ "secret": secret }).to_string().into_bytes();
    let put = store.put(&THINGS, "marmalade", Expect::Any, value, vec![]);
    put.await.unwrap();
    let holds = |file: &Path| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(9).any(|window| window == b"marmalade")
    };
    let log = folder.path().join("store.db-wal");
    assert!(holds(&file) || holds(&log));
    let delete = store.delete(&THINGS, "marmalade", Expect::Any, vec![]);
    delete.await.unwrap();
    // Its place in the log is overwritten too, while the store is open.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while holds(&file) || holds(&log) {
        assert!(std::time::Instant::now() < limit, "it stays in the log");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let after = store.put(&THINGS, "b", Expect::Any, b"{}".into(), vec![]);
    after.await.unwrap();
    assert!(store.get(&THINGS, "b").await.unwrap().is_some());
}

#[test]
fn what_is_answered_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let durable = SqliteOptions::default().durable;
    let writer = schema::open_writer(&folder.path().join("store.db"), durable).unwrap();
    let journal: String = writer
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(journal, "wal");
    let synchronous: i64 = writer
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .unwrap();
    assert_eq!(synchronous, 2, "2 is FULL");
}

#[tokio::test]
async fn writes_that_wait_together_are_committed_together() {
    const WRITES: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = Arc::new(
        SqliteStore::open(&file, SqliteOptions::default())
            .await
            .unwrap(),
    );
    let mut changes = store.outbox_changes();
    // While somebody else has the lock, all of them queue up.
    let lock = rusqlite::Connection::open(&file).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..WRITES {
        let store = store.clone();
        writes.spawn(async move {
            let event = vec![OutboxEvent::new("put", "a", json!({}))];
            let key = number.to_string();
            store
                .put(&THINGS, &key, Expect::Absent, b"{}".into(), event)
                .await
        });
    }
    // The tasks of this runtime take turns: after one turn each has handed its write over.
    for _ in 0..WRITES {
        tokio::task::yield_now().await;
    }
    lock.execute_batch("COMMIT").unwrap();
    while let Some(written) = writes.join_next().await {
        written.unwrap().unwrap();
    }
    // Answered after whatever the commits before it have told.
    store.ping().await.unwrap();
    let commits = *changes.borrow_and_update();
    assert!((1..=2).contains(&commits), "{commits} commits");
    assert_eq!(rows(&file), WRITES as u64);
}
