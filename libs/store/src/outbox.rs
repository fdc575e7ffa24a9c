//! Events that leave with a write, and their way to the bus.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use oc_bus::{CloudEvent, OutboxSource, PendingEvent, SourceError};
use oc_kernel::Revision;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use crate::Store;

/// An event that is to leave with a write.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEvent {
    /// The CloudEvents type, for example `oc.run.state-changed.v1`.
    pub kind: String,
    /// What it is about, usually the document's key; events of one subject are delivered in order.
    pub subject: String,
    /// The content.
    pub data: Value,
}

impl OutboxEvent {
    /// An event of a type about a subject.
    pub fn new(kind: impl Into<String>, subject: impl Into<String>, data: Value) -> Self {
        Self {
            kind: kind.into(),
            subject: subject.into(),
            data,
        }
    }
}

/// Names an entry of the outbox; opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutboxToken(pub String);

/// An event that waits in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// To acknowledge it by.
    pub token: OutboxToken,
    /// The document's collection.
    pub collection: String,
    /// The document's key.
    pub key: String,
    /// The revision that the event left with.
    pub revision: Revision,
    /// Its place among the events of that revision.
    pub place: u32,
    /// When it was written.
    pub time: Timestamp,
    /// The event.
    pub event: OutboxEvent,
}

impl OutboxEntry {
    /// The same event has the same id however often it is published.
    pub fn id(&self) -> String {
        let Self {
            collection,
            key,
            revision,
            place,
            ..
        } = self;
        format!("{collection}/{key}@{revision}.{place}")
    }
}

/// A store's outbox as the bus's [`Relay`](oc_bus::Relay) reads it.
#[derive(Debug)]
pub struct StoreOutbox {
    store: Arc<dyn Store>,
    source: String,
    changes: Mutex<watch::Receiver<u64>>,
}

impl StoreOutbox {
    /// `source` is the CloudEvents source, for example `/north/catalog`.
    pub fn new(store: Arc<dyn Store>, source: impl Into<String>) -> Self {
        Self {
            changes: Mutex::new(store.outbox_changes()),
            source: source.into(),
            store,
        }
    }
}

#[async_trait]
impl OutboxSource for StoreOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<PendingEvent>, SourceError> {
        let entries = self.store.outbox(limit).await.map_err(SourceError::new)?;
        let pending = entries.into_iter().map(|entry| {
            let id = entry.id();
            let OutboxEvent {
                kind,
                subject,
                data,
            } = entry.event;
            let event = CloudEvent::new(id, self.source.clone(), kind)
                .with_subject(subject)
                .with_time(entry.time)
                .with_data(data)
                .with_extension("dockey", entry.key)
                .with_extension("revision", entry.revision.0);
            PendingEvent {
                token: entry.token.0,
                event,
            }
        });
        Ok(pending.collect())
    }

    async fn acknowledge(&self, tokens: Vec<String>) -> Result<(), SourceError> {
        let tokens: Vec<_> = tokens.into_iter().map(OutboxToken).collect();
        self.store
            .acknowledge(&tokens)
            .await
            .map_err(SourceError::new)
    }

    async fn changed(&self, at_most: Duration) {
        let mut changes = self.changes.lock().await;
        // Either way the relay reads next: after a change, after the time, or at the store's end.
        let _ = tokio::time::timeout(at_most, changes.changed()).await;
    }
}
