//! Documents with revisions, and the events that leave with them.
//!
//! A [`Store`] holds JSON documents by collection and key. One document together with its outbox is the
//! only atomic unit: whatever spans two documents is a chain of idempotent steps, so that the same code
//! runs on SQLite and on a MongoDB without transactions. Every write states the revision it saw. A
//! deletion leaves a tombstone until its events are out, and then nothing.
//!
//! It knows no service, no transport and no domain. A driver proves itself with `testsuite!`.

mod collection;
mod documents;
mod error;
mod outbox;
mod query;
mod sqlite;
mod store;
#[cfg(any(test, feature = "testsuite"))]
#[expect(clippy::unwrap_used, reason = "test code: a panic is its verdict")]
pub mod testsuite;
mod unknown;

pub use collection::{Collection, Index, IndexValue};
pub use documents::{Documents, Versioned};
pub use error::StoreError;
pub use outbox::{OutboxEntry, OutboxEvent, OutboxToken, StoreOutbox};
pub use query::Query;
pub use sqlite::{SqliteOptions, SqliteStore, inspect, snapshot};
pub use store::{Document, Expect, Store};
