//! The contract suite, and what only a file can show.

use std::sync::Arc;

use super::{SqliteOptions, SqliteStore};
use crate::testsuite::Fixture;
use crate::{Store, StoreError};

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
