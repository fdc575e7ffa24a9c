//! The trait every driver implements.

use async_trait::async_trait;
use oc_kernel::{Page, PageRequest, Revision};
use tokio::sync::watch;

use crate::{Collection, OutboxEntry, OutboxEvent, OutboxToken, Query, StoreError};

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key within the collection.
    pub key: String,
    /// Raised by every write, also across a deletion and a new creation.
    pub revision: Revision,
    /// JSON.
    pub value: Vec<u8>,
}

/// What a write expects to find. A deleted document counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there; the last writer wins.
    Any,
    /// Nothing.
    Absent,
    /// Exactly this revision.
    Revision(Revision),
}

/// Documents with revisions and an outbox. One document with its outbox is the only atomic unit.
///
/// When a call's future is dropped or times out, its write may still take effect.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// The document, unless it is absent or deleted.
    async fn get(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> Result<Option<Document>, StoreError>;

    /// Writes the document and, in the same act, its index entries and `events`; answers with the new
    /// revision once all of it is durable.
    async fn put(
        &self,
        collection: &'static Collection,
        key: &str,
        expect: Expect,
        value: Vec<u8>,
        events: Vec<OutboxEvent>,
    ) -> Result<Revision, StoreError>;

    /// Replaces the document by a tombstone and, in the same act, removes its index entries and writes
    /// `events`. The tombstone goes with the last event that waits before or of it; the revisions of a
    /// document that is made anew go on from there all the same. Answers with the tombstone's revision, or with none where nothing was there to delete
    /// (then no event leaves either). [`Expect::Revision`] of an absent document is stale.
    async fn delete(
        &self,
        collection: &'static Collection,
        key: &str,
        expect: Expect,
        events: Vec<OutboxEvent>,
    ) -> Result<Option<Revision>, StoreError>;

    /// One page. Walking the pages shows every document that was there all the time exactly once,
    /// whatever is written meanwhile.
    async fn list(
        &self,
        collection: &'static Collection,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<Document>, StoreError>;

    /// The oldest events that were not acknowledged, at most `limit`; those of one document in the
    /// order of its writes.
    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Removes events that are out, and the tombstones that waited for them. Unknown tokens are ignored.
    async fn acknowledge(&self, tokens: &[OutboxToken]) -> Result<(), StoreError>;

    /// Changes whenever events were added to the outbox.
    fn outbox_changes(&self) -> watch::Receiver<u64>;

    /// Succeeds while the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
