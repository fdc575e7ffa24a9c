//! What is kept in memory of the ledger: the Merkle leaves of each log and the sums. It is a fold over the
//! ledger, so it can always be made again, and another replica's records are found by reading on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oc_kernel::Digest;
use oc_trust::{BooksKey, Frontier, merkle};

use super::ledger::{Ledger, LedgerError};
use super::sums::Sums;

/// Records that are read at once.
const BATCH: usize = 1000;

#[derive(Debug, Default)]
struct State {
    logs: BTreeMap<BooksKey, Log>,
    sums: Sums,
}

#[derive(Debug, Default)]
struct Log {
    leaves: Vec<Digest>,
    frontier: Frontier,
}

/// The read model.
#[derive(Debug)]
pub(crate) struct Model {
    ledger: Arc<dyn Ledger>,
    // One reader at a time, so that each record is counted once.
    reading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl Model {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            reading: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Reads everything that is new in all books.
    pub(crate) async fn catch_up_all(&self) -> Result<(), LedgerError> {
        for (books, size) in self.ledger.books().await? {
            if self.size(books) < size {
                self.catch_up(books).await?;
            }
        }
        Ok(())
    }

    /// Reads what is new in these books; the number of their records.
    pub(crate) async fn catch_up(&self, books: BooksKey) -> Result<u64, LedgerError> {
        let _reading = self.reading.lock().await;
        loop {
            let size = self.size(books);
            let records = self.ledger.read(books, size, BATCH).await?;
            for record in &records {
                let corrected = match &record.corrects {
                    Some(id) => self.ledger.find(id).await?,
                    None => None,
                };
                let mut state = self.lock();
                state.sums.count(record, corrected.as_ref());
                let log = state.logs.entry(books).or_default();
                let leaf = record.leaf();
                log.leaves.push(leaf);
                log.frontier.append(leaf);
            }
            if records.len() < BATCH {
                return Ok(self.size(books));
            }
        }
    }

    /// The number of records that were read of these books.
    pub(crate) fn size(&self, books: BooksKey) -> u64 {
        let state = self.lock();
        state.logs.get(&books).map_or(0, |log| log.frontier.size())
    }

    /// The right edge of the whole log.
    pub(crate) fn frontier(&self, books: BooksKey) -> Frontier {
        let state = self.lock();
        let log = state.logs.get(&books);
        log.map(|log| log.frontier.clone()).unwrap_or_default()
    }

    /// The root over the first `size` records; none when there are fewer.
    pub(crate) fn root(&self, books: BooksKey, size: u64) -> Option<Digest> {
        let state = self.lock();
        match state.logs.get(&books) {
            Some(log) if log.frontier.size() == size => Some(log.frontier.root()),
            Some(log) => {
                let leaves = log.leaves.get(..usize::try_from(size).ok()?)?;
                Some(merkle::root(leaves))
            }
            None => (size == 0).then(|| merkle::root(&[])),
        }
    }

    /// The proof that the first `old` records begin the first `new`; none when there are fewer.
    pub(crate) fn consistency(&self, books: BooksKey, old: u64, new: u64) -> Option<Vec<Digest>> {
        let state = self.lock();
        let (old, new) = (usize::try_from(old).ok()?, usize::try_from(new).ok()?);
        let empty = Vec::new();
        let leaves = state.logs.get(&books).map_or(&empty, |log| &log.leaves);
        merkle::consistency_proof(leaves.get(..new)?, old)
    }

    /// Asks the sums.
    pub(crate) fn with_sums<T>(&self, f: impl FnOnce(&Sums) -> T) -> T {
        f(&self.lock().sums)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
