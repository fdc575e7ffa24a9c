//! The ledger in one SQLite file of its own, apart from the documents: rows are only ever added. One thread owns
//! the writing connection and commits whatever waits together, so that many reports share one flush to disk.

mod schema;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use oc_trust::{BooksKey, RecordId, UsageRecord};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{Ledger, LedgerError};
use writer::Writer;

/// A [`Ledger`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
}

pub(crate) fn driver(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError::Driver(error.into())
}

impl SqliteLedger {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it cannot be opened or was written by a newer version.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        let path = path.as_ref().to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            let writer = schema::open_writer(&path)?;
            let reader = schema::open_reader(&path)?;
            Ok(Self {
                writer: Writer::start(writer)?,
                reader: Arc::new(Mutex::new(reader)),
            })
        });
        opening.await.map_err(driver)?
    }

    async fn with_reader<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let reader = self.reader.clone();
        let reading = tokio::task::spawn_blocking(move || {
            read(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        reading.await.map_err(driver)?
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn append(
        &self,
        books: BooksKey,
        records: Vec<UsageRecord>,
    ) -> Result<Vec<UsageRecord>, LedgerError> {
        self.writer.submit(books, None, records).await
    }

    async fn copy(
        &self,
        books: BooksKey,
        first: u64,
        records: Vec<UsageRecord>,
    ) -> Result<(), LedgerError> {
        self.writer.submit(books, Some(first), records).await?;
        Ok(())
    }

    async fn read(
        &self,
        books: BooksKey,
        from: u64,
        limit: usize,
    ) -> Result<Vec<UsageRecord>, LedgerError> {
        self.with_reader(move |connection| read_records(connection, books, from, limit))
            .await
    }

    async fn find(&self, id: &RecordId) -> Result<Option<UsageRecord>, LedgerError> {
        let id = id.clone();
        self.with_reader(move |connection| find_record(connection, &id))
            .await
    }

    async fn books(&self) -> Result<Vec<(BooksKey, u64)>, LedgerError> {
        self.with_reader(|connection| {
            let mut select = connection
                .prepare_cached("SELECT name, size FROM books")
                .map_err(driver)?;
            let rows = select
                .query_map([], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
                })
                .map_err(driver)?;
            let mut books = Vec::new();
            for row in rows {
                let (name, size) = row.map_err(driver)?;
                books.push((name.parse().map_err(driver)?, size));
            }
            books.sort_unstable();
            Ok(books)
        })
        .await
    }
}

/// Reads from the segment that holds `from` on.
pub(crate) fn read_records(
    connection: &Connection,
    books: BooksKey,
    from: u64,
    limit: usize,
) -> Result<Vec<UsageRecord>, LedgerError> {
    let mut select = connection
        .prepare_cached(
            "SELECT first, data FROM segments WHERE books = (SELECT id FROM books WHERE name = ?1)
             AND first >= (SELECT coalesce(max(first), 0) FROM segments
                 WHERE books = (SELECT id FROM books WHERE name = ?1) AND first <= ?2)
             ORDER BY first",
        )
        .map_err(driver)?;
    let mut rows = select
        .query(params![books.to_string(), from])
        .map_err(driver)?;
    let mut records = Vec::new();
    while records.len() < limit
        && let Some(row) = rows.next().map_err(driver)?
    {
        let first: u64 = row.get(0).map_err(driver)?;
        let data: Vec<u8> = row.get(1).map_err(driver)?;
        for (position, line) in (first..).zip(data.split(|byte| *byte == b'\n')) {
            if position >= from && records.len() < limit {
                records.push(UsageRecord::from_canonical(line).map_err(driver)?);
            }
        }
    }
    Ok(records)
}

pub(crate) fn find_record(
    connection: &Connection,
    id: &RecordId,
) -> Result<Option<UsageRecord>, LedgerError> {
    let mut select = connection
        .prepare_cached(
            "SELECT books.name, records.position FROM records JOIN books ON books.id = records.books
             WHERE records.id = ?1",
        )
        .map_err(driver)?;
    let found = select
        .query_row(params![id.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
        })
        .optional()
        .map_err(driver)?;
    let Some((books, position)) = found else {
        return Ok(None);
    };
    let books = books.parse().map_err(driver)?;
    Ok(read_records(connection, books, position, 1)?.pop())
}
