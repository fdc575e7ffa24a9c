//! The embedded driver: one SQLite file in WAL mode.
//!
//! One thread owns the writing connection and commits whatever has queued up together, so that many
//! writers share one flush to disk; a write is answered after its commit (`synchronous=FULL`). Reads run
//! on a pool of connections beside it. Only one process may have a file open.

mod inspect;
mod read;
mod schema;
mod session;
mod snapshot;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use oc_kernel::{Clock, Page, PageRequest, Revision, SystemClock};
use rusqlite::Connection;
use tokio::sync::{Semaphore, watch};

use crate::query::Cursor;
use crate::{
    Collection, Document, Expect, OutboxEntry, OutboxEvent, OutboxToken, Query, Store, StoreError,
};
pub use inspect::inspect;
pub use snapshot::snapshot;
use writer::Writer;

/// Longest key, in bytes.
const KEY_LIMIT: usize = 1024;
/// Largest document, in bytes; a MongoDB document ends at 16 MiB.
const DOCUMENT_LIMIT: usize = 8 << 20;
/// Longest wait for an answer of the store.
const DEADLINE: Duration = Duration::from_secs(30);

/// How a file is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Connections for reading.
    pub readers: usize,
    /// Whether a write is answered only once it is on disk. Off is for tests.
    pub durable: bool,
    /// Gives events their time.
    pub clock: Arc<dyn Clock>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            durable: true,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A [`Store`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    changes: watch::Receiver<u64>,
    // Removed after the connections are closed: fields are dropped in this order.
    _folder: Option<tempfile::TempDir>,
}

#[derive(Debug)]
struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl SqliteStore {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::NewerFile`].
    pub async fn open(
        path: impl Into<PathBuf>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let path = path.into();
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(&path, &options));
        opening.await.map_err(driver)?
    }

    /// A store in a folder of its own that is removed with it; for tests.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub async fn temporary() -> Result<Self, StoreError> {
        let folder = tempfile::tempdir().map_err(|error| StoreError::Unavailable(error.into()))?;
        let options = SqliteOptions {
            durable: false,
            ..SqliteOptions::default()
        };
        let mut store = Self::open(folder.path().join("store.db"), options).await?;
        store._folder = Some(folder);
        Ok(store)
    }

    fn open_blocking(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        let connection = schema::open_writer(path, options.durable)?;
        let readers = (0..options.readers.max(1))
            .map(|_| schema::open_reader(path))
            .collect::<Result<Vec<_>, _>>()?;
        let permits = Arc::new(Semaphore::new(readers.len()));
        let (changed, changes) = watch::channel(0);
        Ok(Self {
            writer: Writer::start(connection, options.clock.clone(), changed)?,
            readers: Arc::new(Readers {
                idle: Mutex::new(readers),
                permits,
            }),
            changes,
            _folder: None,
        })
    }

    async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = self.readers.clone();
        let permit = tokio::time::timeout(DEADLINE, readers.permits.clone().acquire_owned());
        let permit = permit
            .await
            .map_err(|_| StoreError::Timeout)?
            .map_err(driver)?;
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with(query)
        });
        reading.await.map_err(driver)?
    }
}

impl Readers {
    fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // A permit stands for a connection, so one is always there.
        let connection = idle().pop().ok_or(StoreError::Busy)?;
        let answer = query(&connection);
        idle().push(connection);
        answer
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| read::get(connection, collection, key).map_err(sql))
            .await
    }

    async fn put(
        &self,
        collection: &'static Collection,
        key: &str,
        expect: Expect,
        value: Vec<u8>,
        events: Vec<OutboxEvent>,
    ) -> Result<Revision, StoreError> {
        check_key(key)?;
        if value.len() > DOCUMENT_LIMIT {
            return Err(StoreError::TooLarge {
                limit: DOCUMENT_LIMIT,
                length: value.len(),
            });
        }
        let json = serde_json::from_slice(&value).map_err(|source| StoreError::Unreadable {
            collection: collection.name,
            key: key.to_owned(),
            source,
        })?;
        let write = session::Put {
            collection,
            key: key.to_owned(),
            expect,
            entries: collection.entries(&json),
            value,
            events,
        };
        self.writer.submit(move |session| session.put(write)).await
    }

    async fn delete(
        &self,
        collection: &'static Collection,
        key: &str,
        expect: Expect,
        events: Vec<OutboxEvent>,
    ) -> Result<Option<Revision>, StoreError> {
        let key = key.to_owned();
        self.writer
            .submit(move |session| session.delete(collection, key, expect, events))
            .await
    }

    async fn list(
        &self,
        collection: &'static Collection,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<Document>, StoreError> {
        if let crate::query::Select::Index { index, .. } = &query.select {
            if collection.index(index).is_none() {
                return Err(StoreError::UnknownIndex {
                    collection: collection.name,
                    index,
                });
            }
            self.writer.prepare(collection).await?;
        }
        let (query, cursor, limit) = (query.clone(), Cursor::of(page, query)?, page.limit());
        self.read(move |connection| {
            read::list(connection, collection, &query, cursor.as_ref(), limit).map_err(sql)
        })
        .await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        self.read(move |connection| read::outbox(connection, limit).map_err(sql))
            .await
    }

    async fn acknowledge(&self, tokens: &[OutboxToken]) -> Result<(), StoreError> {
        let places: Vec<i64> = tokens.iter().filter_map(|t| t.0.parse().ok()).collect();
        self.writer
            .submit(move |session| session.acknowledge(&places).map(Ok))
            .await
    }

    fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| read::ping(connection).map_err(sql))
            .await?;
        self.writer.submit(|_| Ok(Ok(()))).await
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > KEY_LIMIT || key.contains('\0') {
        return Err(StoreError::Key { limit: KEY_LIMIT });
    }
    Ok(())
}

/// An error of SQLite as one of ours.
fn sql(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(
            CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | SystemIoFailure,
        ) => StoreError::Unavailable(error.into()),
        _ => StoreError::Driver(error.into()),
    }
}

fn driver(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Driver(error.into())
}

#[cfg(test)]
mod tests;
