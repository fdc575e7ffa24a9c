//! The events of attempts, numbered without gaps, written before anybody sees them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oc_kernel::PageRequest;
use oc_store::{Expect, IndexValue, Query};
use tokio::sync::watch;

use crate::documents::{EventChunk, Recorded, Shelf, event_place};
use crate::domain::attempt::AttemptKey;
use crate::error::Error;

/// Chunks read at a time.
const CHUNKS: u32 = 16;

/// The event logs of all attempts.
pub(crate) struct Logs {
    shelf: Shelf,
    open: Mutex<BTreeMap<AttemptKey, Arc<Log>>>,
}

struct Log {
    /// The number of the next event, once it is known.
    next: tokio::sync::Mutex<Option<u64>>,
    /// Raised after each write.
    written: watch::Sender<u64>,
}

impl Logs {
    /// The logs in `shelf`.
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self {
            shelf,
            open: Mutex::default(),
        }
    }

    /// Writes events; the number of the first.
    pub(crate) async fn append(
        &self,
        attempt: &AttemptKey,
        events: Vec<Recorded>,
    ) -> Result<u64, Error> {
        let log = self.log(attempt);
        let mut next = log.next.lock().await;
        let first = match *next {
            Some(first) => first,
            None => self.last(attempt).await? + 1,
        };
        let chunk = EventChunk {
            attempt: *attempt,
            first,
            events,
        };
        let last = chunk.last();
        self.write(&chunk, Expect::Absent).await?;
        *next = Some(last + 1);
        log.written.send_replace(last);
        Ok(first)
    }

    /// Writes the closing events at a number that was settled before; again, where that was done.
    pub(crate) async fn close(
        &self,
        attempt: &AttemptKey,
        first: u64,
        events: Vec<Recorded>,
    ) -> Result<(), Error> {
        let log = self.log(attempt);
        let mut next = log.next.lock().await;
        let chunk = EventChunk {
            attempt: *attempt,
            first,
            events,
        };
        self.write(&chunk, Expect::Any).await?;
        *next = Some(chunk.last() + 1);
        log.written.send_replace(chunk.last());
        Ok(())
    }

    async fn write(&self, chunk: &EventChunk, expect: Expect) -> Result<(), Error> {
        let key = event_place(&chunk.attempt, chunk.first);
        self.shelf
            .events
            .put(&key, chunk, expect, Vec::new())
            .await?;
        Ok(())
    }

    /// The number the next event gets.
    pub(crate) async fn next_number(&self, attempt: &AttemptKey) -> Result<u64, Error> {
        let log = self.log(attempt);
        let mut next = log.next.lock().await;
        if next.is_none() {
            *next = Some(self.last(attempt).await? + 1);
        }
        Ok(next.unwrap_or(1))
    }

    /// Events after number `after`, each with its number; some of them where there are many.
    pub(crate) async fn read(
        &self,
        attempt: &AttemptKey,
        after: u64,
    ) -> Result<Vec<(u64, Recorded)>, Error> {
        let from = Bound::Included(IndexValue::from(event_place(attempt, after + 1)));
        let to = Bound::Included(IndexValue::from(event_place(attempt, 999_999_999_999)));
        let query = Query::range("last", from, to);
        let page = PageRequest {
            size: CHUNKS,
            token: None,
        };
        let chunks = self.shelf.events.list(&query, &page).await?.items;
        let numbered = chunks.into_iter().flat_map(|chunk| {
            let first = chunk.value.first;
            chunk
                .value
                .events
                .into_iter()
                .zip(first..)
                .map(|(event, number)| (number, event))
        });
        Ok(numbered.filter(|(number, _)| *number > after).collect())
    }

    /// The number of the last event that was written.
    async fn last(&self, attempt: &AttemptKey) -> Result<u64, Error> {
        let from = Bound::Included(IndexValue::from(event_place(attempt, 0)));
        let to = Bound::Included(IndexValue::from(event_place(attempt, 999_999_999_999)));
        let query = Query::range("last", from, to).descending();
        let page = PageRequest {
            size: 1,
            token: None,
        };
        let found = self.shelf.events.list(&query, &page).await?.items;
        Ok(found.first().map_or(0, |chunk| chunk.value.last()))
    }

    /// Tells when something was written.
    pub(crate) fn follow(&self, attempt: &AttemptKey) -> watch::Receiver<u64> {
        self.log(attempt).written.subscribe()
    }

    /// The attempt is gone, or ended: who follows it finds out.
    pub(crate) fn forget(&self, attempt: &AttemptKey) {
        self.lock().remove(attempt);
    }

    fn log(&self, attempt: &AttemptKey) -> Arc<Log> {
        let new = || {
            let (written, _) = watch::channel(0);
            Arc::new(Log {
                next: tokio::sync::Mutex::new(None),
                written,
            })
        };
        self.lock().entry(*attempt).or_insert_with(new).clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, Arc<Log>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
