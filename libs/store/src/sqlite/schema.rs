//! The file: its tables, its format number, and how connections are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;

/// Raised when the tables change so that an older version cannot read them.
const FORMAT: i64 = 1;
/// How long SQLite waits for a lock another connection holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept for each connection.
const STATEMENTS: usize = 64;

// `documents.value` is NULL in a tombstone; `last_event` is the outbox place of the latest event.
// `swept` remembers the highest revision of removed tombstones, so that revisions go on rising.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL,
    key        TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    value      BLOB,
    last_event INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (collection, key)
) STRICT;
CREATE INDEX IF NOT EXISTS tombstones ON documents (last_event) WHERE value IS NULL;
CREATE TABLE IF NOT EXISTS entries (
    collection TEXT NOT NULL,
    name       TEXT NOT NULL,
    value      ANY NOT NULL,
    key        TEXT NOT NULL,
    PRIMARY KEY (collection, name, value, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    place      INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    key        TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    nth        INTEGER NOT NULL,
    time_us    INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    data       BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS collections (
    name        TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS swept (
    collection TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

pub(super) fn open_writer(path: &Path, durable: bool) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<(Connection, i64)> {
        let connection = Connection::open(path)?;
        set_up(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = if durable { "FULL" } else { "OFF" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // What was deleted is overwritten: nothing of it stays in free pages of the file.
        connection.pragma_update(None, "secure_delete", true)?;
        let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, found))
    };
    let (connection, found) = open().map_err(|error| cannot_open(path, error))?;
    if found > FORMAT {
        return Err(StoreError::NewerFile {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    connection
        .execute_batch(TABLES)
        .and_then(|()| connection.pragma_update(None, "user_version", FORMAT))
        .map_err(|error| cannot_open(path, error))?;
    Ok(connection)
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, error))?;
    set_up(&connection).map_err(|error| cannot_open(path, error))?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

pub(super) fn cannot_open(path: &Path, error: rusqlite::Error) -> StoreError {
    let (path, code) = (path.to_owned(), error.sqlite_error_code());
    let source = error.into();
    match code {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path, source }
        }
        _ => StoreError::Open { path, source },
    }
}
