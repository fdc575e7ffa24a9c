//! Writes within the transaction of a batch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use oc_kernel::{Clock, Revision};
use rusqlite::types::{ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use crate::{Collection, Expect, IndexValue, OutboxEvent, StoreError};

/// What a write answers: the outer error is SQLite's and rolls the whole batch back, the inner one is a
/// refusal before anything was written.
pub(super) type Outcome<T> = rusqlite::Result<Result<T, StoreError>>;

/// Tombstones removed along with one write; more wait for the next.
const SWEEP_BATCH: usize = 256;

/// The writing connection with what is known about the file.
pub(super) struct Session<'c> {
    connection: &'c Connection,
    clock: Arc<dyn Clock>,
    /// Collections whose index entries were checked against their declaration.
    prepared: HashSet<&'static str>,
    /// The highest revision of swept tombstones, by collection.
    swept: HashMap<&'static str, u64>,
    events: usize,
}

/// A document to write.
pub(super) struct Put {
    pub(super) collection: &'static Collection,
    pub(super) key: String,
    pub(super) expect: Expect,
    pub(super) value: Vec<u8>,
    pub(super) entries: Vec<(&'static str, IndexValue)>,
    pub(super) events: Vec<OutboxEvent>,
}

struct Current {
    revision: u64,
    value: Option<Vec<u8>>,
}

impl<'c> Session<'c> {
    pub(super) fn new(connection: &'c Connection, clock: Arc<dyn Clock>) -> Self {
        Self {
            connection,
            clock,
            prepared: HashSet::new(),
            swept: HashMap::new(),
            events: 0,
        }
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE", [])
    }

    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.execute("COMMIT", [])
    }

    pub(super) fn roll_back(&mut self) {
        if let Err(error) = self.execute("ROLLBACK", []) {
            tracing::warn!(%error, "the store could not roll back");
        }
        self.prepared.clear();
        self.swept.clear();
    }

    /// How many events were written since the last call.
    pub(super) fn take_events(&mut self) -> usize {
        std::mem::take(&mut self.events)
    }

    pub(super) fn put(&mut self, put: Put) -> Outcome<Revision> {
        self.prepare(put.collection)?;
        let current = self.current(put.collection, &put.key)?;
        if let Err(refused) = check(put.collection, &put.key, put.expect, current.as_ref()) {
            return Ok(Err(refused));
        }
        let revision = self.next_revision(put.collection, current.as_ref())?;
        self.write(
            put.collection,
            &put.key,
            revision,
            Some(&put.value),
            &put.events,
        )?;
        let old = entries_of(put.collection, current.as_ref());
        self.change_entries(put.collection, &put.key, &old, &put.entries)?;
        Ok(Ok(Revision(revision)))
    }

    pub(super) fn delete(
        &mut self,
        collection: &'static Collection,
        key: String,
        expect: Expect,
        events: Vec<OutboxEvent>,
    ) -> Outcome<Option<Revision>> {
        self.prepare(collection)?;
        let current = self.current(collection, &key)?;
        if let Err(refused) = check(collection, &key, expect, current.as_ref()) {
            return Ok(Err(refused));
        }
        let Some(Current { value: Some(_), .. }) = current else {
            return Ok(Ok(None));
        };
        let revision = self.next_revision(collection, current.as_ref())?;
        self.write(collection, &key, revision, None, &events)?;
        let old = entries_of(collection, current.as_ref());
        self.change_entries(collection, &key, &old, &[])?;
        self.sweep()?;
        Ok(Ok(Some(Revision(revision))))
    }

    pub(super) fn acknowledge(&mut self, places: &[i64]) -> rusqlite::Result<()> {
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM outbox WHERE place = ?1")?;
        places
            .iter()
            .try_for_each(|place| delete.execute([place]).map(drop))?;
        self.sweep()
    }

    /// Removes tombstones older than every event that still waits.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        let mut find = self.connection.prepare_cached(
            "SELECT rowid, collection, revision FROM documents WHERE value IS NULL
             AND last_event < (SELECT ifnull(min(place), 9223372036854775807) FROM outbox)
             ORDER BY last_event LIMIT ?1",
        )?;
        let found = find
            .query_map([SWEEP_BATCH], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<Vec<(i64, String, u64)>>>()?;
        for (row, collection, revision) in &found {
            self.execute(
                "INSERT INTO swept (collection, revision) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET revision = max(revision, excluded.revision)",
                params![collection, revision],
            )?;
            self.execute("DELETE FROM documents WHERE rowid = ?1", [row])?;
        }
        if !found.is_empty() {
            self.swept.clear();
        }
        Ok(())
    }

    /// Builds the index entries afresh where the collection was declared otherwise before.
    pub(super) fn prepare(&mut self, collection: &'static Collection) -> rusqlite::Result<()> {
        if self.prepared.contains(collection.name) {
            return Ok(());
        }
        let declared = collection.fingerprint();
        let known: Option<String> = self
            .connection
            .prepare_cached("SELECT fingerprint FROM collections WHERE name = ?1")?
            .query_row([collection.name], |row| row.get(0))
            .optional()?;
        if known.as_deref() != Some(&declared) {
            self.rebuild(collection)?;
            self.execute(
                "INSERT INTO collections (name, fingerprint) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint",
                params![collection.name, declared],
            )?;
        }
        self.prepared.insert(collection.name);
        Ok(())
    }

    fn rebuild(&self, collection: &'static Collection) -> rusqlite::Result<()> {
        self.execute(
            "DELETE FROM entries WHERE collection = ?1",
            [collection.name],
        )?;
        let mut documents = self.connection.prepare(
            "SELECT key, revision, value FROM documents WHERE collection = ?1 AND value IS NOT NULL",
        )?;
        let mut rows = documents.query([collection.name])?;
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            let current = current_of(row)?;
            let entries = entries_of(collection, Some(&current));
            self.change_entries(collection, &key, &[], &entries)?;
        }
        Ok(())
    }

    fn current(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> rusqlite::Result<Option<Current>> {
        self.connection
            .prepare_cached(
                "SELECT key, revision, value FROM documents WHERE collection = ?1 AND key = ?2",
            )?
            .query_row(params![collection.name, key], current_of)
            .optional()
    }

    fn next_revision(
        &mut self,
        collection: &'static Collection,
        current: Option<&Current>,
    ) -> rusqlite::Result<u64> {
        if let Some(current) = current {
            return Ok(current.revision + 1);
        }
        if let Some(swept) = self.swept.get(collection.name) {
            return Ok(swept + 1);
        }
        let swept: Option<u64> = self
            .connection
            .prepare_cached("SELECT revision FROM swept WHERE collection = ?1")?
            .query_row([collection.name], |row| row.get(0))
            .optional()?;
        let swept = swept.unwrap_or(0);
        self.swept.insert(collection.name, swept);
        Ok(swept + 1)
    }

    fn write(
        &mut self,
        collection: &'static Collection,
        key: &str,
        revision: u64,
        value: Option<&[u8]>,
        events: &[OutboxEvent],
    ) -> rusqlite::Result<()> {
        let time = self.clock.now().as_microsecond();
        for (nth, event) in events.iter().enumerate() {
            let data = event.data.to_string().into_bytes();
            self.execute(
                "INSERT INTO outbox (collection, key, revision, nth, time_us, kind, subject, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    collection.name,
                    key,
                    revision,
                    nth,
                    time,
                    event.kind,
                    event.subject,
                    data
                ],
            )?;
        }
        self.events += events.len();
        // Without an event of its own, a document keeps the place of its last one.
        let last_event = match events {
            [] => 0,
            _ => self.connection.last_insert_rowid(),
        };
        self.execute(
            "INSERT INTO documents (collection, key, revision, value, last_event)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET revision = excluded.revision, value = excluded.value,
             last_event = max(last_event, excluded.last_event)",
            params![collection.name, key, revision, value, last_event],
        )
    }

    fn change_entries(
        &self,
        collection: &'static Collection,
        key: &str,
        old: &[(&'static str, IndexValue)],
        new: &[(&'static str, IndexValue)],
    ) -> rusqlite::Result<()> {
        for (name, value) in old.iter().filter(|entry| !new.contains(entry)) {
            self.execute(
                "DELETE FROM entries WHERE collection = ?1 AND name = ?2 AND value = ?3 AND key = ?4",
                params![collection.name, name, value, key],
            )?;
        }
        for (name, value) in new.iter().filter(|entry| !old.contains(entry)) {
            self.execute(
                "INSERT OR IGNORE INTO entries (collection, name, value, key) VALUES (?1, ?2, ?3, ?4)",
                params![collection.name, name, value, key],
            )?;
        }
        Ok(())
    }

    fn execute(&self, statement: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(statement)?
            .execute(values)
            .map(drop)
    }
}

fn current_of(row: &Row<'_>) -> rusqlite::Result<Current> {
    Ok(Current {
        revision: row.get(1)?,
        value: row.get(2)?,
    })
}

fn entries_of(
    collection: &'static Collection,
    current: Option<&Current>,
) -> Vec<(&'static str, IndexValue)> {
    let value = current.and_then(|current| current.value.as_deref());
    let document = value.and_then(|value| serde_json::from_slice(value).ok());
    document.map_or_else(Vec::new, |document| collection.entries(&document))
}

fn check(
    collection: &'static Collection,
    key: &str,
    expect: Expect,
    current: Option<&Current>,
) -> Result<(), StoreError> {
    let found = match current {
        Some(Current {
            revision,
            value: Some(_),
        }) => Revision(*revision),
        _ => Revision(0),
    };
    match expect {
        Expect::Any => Ok(()),
        Expect::Absent if found == Revision(0) => Ok(()),
        Expect::Absent => Err(StoreError::AlreadyExists {
            collection: collection.name,
            key: key.to_owned(),
        }),
        Expect::Revision(expected) if expected == found && found != Revision(0) => Ok(()),
        Expect::Revision(expected) => Err(StoreError::Stale {
            collection: collection.name,
            key: key.to_owned(),
            expected,
            found,
        }),
    }
}

impl ToSql for IndexValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Number(number) => ToSqlOutput::Owned(SqlValue::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(text.as_str().into()),
        })
    }
}
