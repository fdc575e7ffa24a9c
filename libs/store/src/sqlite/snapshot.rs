//! Copies of files that a node has open, all of one moment.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::schema::{BUSY_TIMEOUT, cannot_open, open_reader};
use super::sql;
use crate::StoreError;

/// Copies SQLite files, each `(from, to)`, as they all stand at one moment: writers of every file are held while the
/// views are opened, for some ms, and go on while these are copied. So what one file says of another is never later than
/// what that one holds. `to` must not exist. It blocks.
///
/// # Errors
/// When a file cannot be opened, is damaged, stays locked for 5 s, or the copy cannot be written.
pub fn snapshot<P: AsRef<Path>>(files: &[(P, P)]) -> Result<(), StoreError> {
    let mut held = Vec::with_capacity(files.len());
    for (from, _) in files {
        held.push(hold(from.as_ref())?);
    }
    let mut views = Vec::with_capacity(files.len());
    for (from, _) in files {
        views.push(view(from.as_ref())?);
    }
    drop(held);
    for (view, (_, to)) in views.iter().zip(files) {
        copy(view, to.as_ref())?;
    }
    Ok(())
}

/// Keeps everybody from committing to the file, until it is dropped.
fn hold(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(connection)
    };
    open().map_err(|error| cannot_open(path, error))
}

/// The file as it stands now, until it is dropped.
fn view(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_reader(path)?;
    let begin = || {
        connection.execute_batch("BEGIN")?;
        // The view begins with the first read.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    begin().map_err(|error| cannot_open(path, error))?;
    Ok(connection)
}

fn copy(view: &Connection, to: &Path) -> Result<(), StoreError> {
    let mut target = Connection::open(to).map_err(|error| cannot_open(to, error))?;
    let copied = Backup::new(view, &mut target).and_then(|backup| backup.step(-1));
    if copied.map_err(sql)? != StepResult::Done {
        return Err(StoreError::Timeout);
    }
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let found = target
        .query_row("PRAGMA quick_check(1)", [], check)
        .map_err(sql)?;
    if found != "ok" {
        return Err(StoreError::Damaged {
            path: to.to_owned(),
            source: found.into(),
        });
    }
    target.close().map_err(|(_, error)| sql(error))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(BUSY_TIMEOUT).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS n (value INTEGER);")
            .unwrap();
        connection
    }

    fn last(path: &Path) -> i64 {
        let connection = open(path);
        let select = "SELECT coalesce(max(value), 0) FROM n";
        connection.query_row(select, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn copies_made_while_files_are_written_are_of_one_moment() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: String| -> PathBuf { folder.path().join(name) };
        let (one, other) = (file("one.db".to_owned()), file("other.db".to_owned()));
        let writers = (open(&one), open(&other));
        let stop = AtomicBool::new(false);
        let over = &stop;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 1.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // Each number comes into the first file before it comes into the second.
                    for writer in [&writers.0, &writers.1] {
                        writer
                            .execute("INSERT INTO n VALUES (?1)", [number])
                            .unwrap();
                    }
                }
            });
            for round in 0..20 {
                let copies = (file(format!("{round}.1")), file(format!("{round}.2")));
                snapshot(&[
                    (other.clone(), copies.1.clone()),
                    (one.clone(), copies.0.clone()),
                ])
                .unwrap();
                let (first, second) = (last(&copies.0), last(&copies.1));
                assert!(
                    first == second || first == second + 1,
                    "{first} and {second}"
                );
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_file_that_is_none_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
        let missing = snapshot(&[(&from, &to)]);
        assert!(
            matches!(missing, Err(StoreError::Open { .. })),
            "{missing:?}"
        );
        std::fs::write(&from, vec![7; 4096]).unwrap();
        let damaged = snapshot(&[(&from, &to)]);
        assert!(
            matches!(damaged, Err(StoreError::Damaged { .. })),
            "{damaged:?}"
        );
    }
}
