//! Reads, each on one consistent view of the file.

use std::ops::Bound;

use jiff::Timestamp;
use oc_kernel::{Page, Revision};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::query::{Cursor, Select};
use crate::{Collection, Document, IndexValue, OutboxEntry, OutboxEvent, OutboxToken, Query};

pub(super) fn ping(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("SELECT count(*) FROM collections")?
        .query_row([], |_| Ok(()))
}

pub(super) fn get(
    connection: &Connection,
    collection: &'static Collection,
    key: String,
) -> rusqlite::Result<Option<Document>> {
    connection
        .prepare_cached(
            "SELECT revision, value FROM documents
             WHERE collection = ?1 AND key = ?2 AND value IS NOT NULL",
        )?
        .query_row(params![collection.name, key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map(|found| {
            found.map(|(revision, value)| Document {
                key,
                revision: Revision(revision),
                value,
            })
        })
}

pub(super) fn list(
    connection: &Connection,
    collection: &'static Collection,
    query: &Query,
    cursor: Option<&Cursor>,
    limit: usize,
) -> rusqlite::Result<Page<Document>> {
    let mut statement = Statement::of(collection, query);
    statement.go_on_from(query, cursor);
    let sql = statement.finish(query, limit + 1);

    let mut prepared = connection.prepare_cached(&sql)?;
    let rows = prepared.query_map(params_from_iter(statement.values), listed)?;
    let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = match found.last() {
        Some((cursor, _)) if more => Some(cursor.token()),
        _ => None,
    };
    Ok(Page {
        items: found.into_iter().map(|(_, document)| document).collect(),
        next,
    })
}

/// A SELECT that is put together from conditions, with the values for its parameters.
struct Statement {
    sql: String,
    values: Vec<SqlValue>,
}

impl Statement {
    fn of(collection: &'static Collection, query: &Query) -> Self {
        let values = vec![SqlValue::Text(collection.name.to_owned())];
        match &query.select {
            Select::Prefix(prefix) => {
                let sql = "SELECT d.key, d.revision, d.value, NULL FROM documents d
                           WHERE d.collection = ? AND d.value IS NOT NULL";
                let mut statement = Self {
                    sql: sql.to_owned(),
                    values,
                };
                statement.and("d.key >= ?", prefix.clone().into());
                if let Some(end) = end_of_prefix(prefix) {
                    statement.and("d.key < ?", end.into());
                }
                statement
            }
            Select::Index { index, from, to } => {
                let sql = "SELECT d.key, d.revision, d.value, e.value FROM entries e
                           CROSS JOIN documents d ON d.collection = e.collection AND d.key = e.key
                           WHERE e.collection = ?";
                let mut statement = Self {
                    sql: sql.to_owned(),
                    values,
                };
                statement.and("e.name = ?", (*index).to_owned().into());
                match from {
                    Bound::Included(value) => statement.and("e.value >= ?", parameter(value)),
                    Bound::Excluded(value) => statement.and("e.value > ?", parameter(value)),
                    Bound::Unbounded => {}
                }
                match to {
                    Bound::Included(value) => statement.and("e.value <= ?", parameter(value)),
                    Bound::Excluded(value) => statement.and("e.value < ?", parameter(value)),
                    Bound::Unbounded => {}
                }
                statement
            }
        }
    }

    fn go_on_from(&mut self, query: &Query, cursor: Option<&Cursor>) {
        let Some(cursor) = cursor else { return };
        let key = SqlValue::Text(cursor.key.clone());
        match (&cursor.value, query.descending) {
            (None, false) => self.and("d.key > ?", key),
            (None, true) => self.and("d.key < ?", key),
            (Some(value), descending) => {
                let beyond = if descending { "<" } else { ">" };
                self.and(
                    &format!("(e.value, e.key) {beyond} (?, ?)"),
                    parameter(value),
                );
                self.values.push(key);
            }
        }
    }

    fn finish(&mut self, query: &Query, limit: usize) -> String {
        let direction = if query.descending { "DESC" } else { "ASC" };
        let order = match query.select {
            Select::Prefix(_) => format!("d.key {direction}"),
            Select::Index { .. } => format!("e.value {direction}, e.key {direction}"),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.values.push(SqlValue::Integer(limit));
        format!("{} ORDER BY {order} LIMIT ?", self.sql)
    }

    fn and(&mut self, condition: &str, value: SqlValue) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value);
    }
}

fn parameter(value: &IndexValue) -> SqlValue {
    match value {
        IndexValue::Number(number) => SqlValue::Integer(*number),
        IndexValue::Text(text) => SqlValue::Text(text.clone()),
    }
}

fn listed(row: &Row<'_>) -> rusqlite::Result<(Cursor, Document)> {
    let document = Document {
        key: row.get(0)?,
        revision: Revision(row.get(1)?),
        value: row.get(2)?,
    };
    let value = match row.get_ref(3)? {
        ValueRef::Integer(number) => Some(IndexValue::Number(number)),
        ValueRef::Text(text) => Some(IndexValue::Text(String::from_utf8_lossy(text).into())),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    };
    let key = document.key.clone();
    Ok((Cursor { value, key }, document))
}

/// The least text after every text that begins with `prefix`. SQLite compares text by its UTF-8 bytes,
/// which is the order of code points.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The step over the surrogates, which are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

pub(super) fn outbox(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<OutboxEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT place, collection, key, revision, nth, time_us, kind, subject, data
         FROM outbox ORDER BY place LIMIT ?1",
    )?;
    let rows = statement.query_map([limit], |row| {
        let place: i64 = row.get(0)?;
        let data: Vec<u8> = row.get(8)?;
        let unreadable = |error| {
            rusqlite::Error::FromSqlConversionFailure(8, rusqlite::types::Type::Blob, error)
        };
        Ok(OutboxEntry {
            token: OutboxToken(place.to_string()),
            collection: row.get(1)?,
            key: row.get(2)?,
            revision: Revision(row.get(3)?),
            place: row.get(4)?,
            time: Timestamp::from_microsecond(row.get(5)?).unwrap_or(Timestamp::UNIX_EPOCH),
            event: OutboxEvent {
                kind: row.get(6)?,
                subject: row.get(7)?,
                data: serde_json::from_slice(&data).map_err(|e| unreadable(e.into()))?,
            },
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::end_of_prefix;

    #[test]
    fn the_end_of_a_prefix_is_after_all_it_begins() {
        assert_eq!(end_of_prefix("a/").as_deref(), Some("a0"));
        assert_eq!(end_of_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(end_of_prefix(""), None);
    }
}
