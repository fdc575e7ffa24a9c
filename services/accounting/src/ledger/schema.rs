//! The tables of the ledger. A segment is what one commit added to one log: canonical records, one a line.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::driver;
use crate::domain::LedgerError;

/// Raised by every change of the tables.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE books (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE segments (
        books INTEGER NOT NULL,
        first INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX segments_by_position ON segments (books, first);
    CREATE TABLE records (
        id TEXT PRIMARY KEY,
        books INTEGER NOT NULL,
        position INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

pub(super) fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open(path).map_err(driver)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(driver)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(driver)?;
    // A record is answered for once it is on disk.
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(driver)?;
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(driver)?;
    match version {
        VERSION => {}
        0 => {
            let create = format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;");
            connection.execute_batch(&create).map_err(driver)?;
        }
        newer => {
            let text = format!(
                "{} has format {newer}, this version reads up to {VERSION}: use the newer program",
                path.display()
            );
            return Err(driver(text));
        }
    }
    Ok(connection)
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(driver)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(driver)?;
    Ok(connection)
}
