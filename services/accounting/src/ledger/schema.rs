//! The tables of the ledger. A segment is what one commit added to one log: canonical records, one a line.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::driver;
use crate::domain::LedgerError;

/// Raised by every change of the tables.
const VERSION: i64 = 1;

/// How long a lock of another process is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

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
    let (connection, version) = open_file(path).map_err(|error| cannot_open(path, error))?;
    match version {
        VERSION => {}
        0 => {
            let create = format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;");
            let created = connection.execute_batch(&create);
            created.map_err(|error| cannot_open(path, error))?;
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
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    };
    open().map_err(|error| cannot_open(path, error))
}

/// The file, set up for writing, and its format.
fn open_file(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A record is answered for once it is on disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((connection, version))
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => LedgerError::Damaged {
            path: path.to_owned(),
            source: error.into(),
        },
        _ => driver(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_answered_for_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let writer = open_writer(&folder.path().join("ledger.db")).unwrap();
        let journal: String = writer
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!(journal, "wal");
        let synchronous: i64 = writer
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(synchronous, 2, "2 is FULL");
    }
}
