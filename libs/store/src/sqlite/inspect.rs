//! Whether a file is whole, looked at while a node may have it open.

use std::path::Path;

use super::schema::{cannot_open, open_reader};
use crate::StoreError;

/// Larger files are not read as a whole, in bytes: that would take minutes.
const READ_WHOLE: u64 = 512 << 20;

/// Looks for damage in a SQLite file, in all of it up to 512 MiB, else where its tables are listed. It blocks.
///
/// # Errors
/// When it cannot be opened, or is damaged.
pub fn inspect(path: &Path) -> Result<(), StoreError> {
    let connection = open_reader(path)?;
    let whole = std::fs::metadata(path).is_ok_and(|file| file.len() <= READ_WHOLE);
    let question = match whole {
        true => "PRAGMA quick_check(1)",
        false => "SELECT CASE WHEN count(*) >= 0 THEN 'ok' END FROM sqlite_schema",
    };
    let answer = connection.query_row(question, [], |row| row.get::<_, String>(0));
    let answer = answer.map_err(|error| cannot_open(path, error))?;
    match answer.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged {
            path: path.to_owned(),
            source: answer.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn damage_is_found_in_a_file_that_is_open_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE a (b); INSERT INTO a VALUES (zeroblob(100000));",
            )
            .unwrap();
        inspect(&path).unwrap();
        drop(writer);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[4096..middle].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let damaged = inspect(&path);
        assert!(
            matches!(damaged, Err(StoreError::Damaged { .. })),
            "{damaged:?}"
        );
    }
}
