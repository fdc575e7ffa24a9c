//! Where records lie: append-only, in the order of each grant's log. A record is written once and never changed.

use std::path::PathBuf;

use async_trait::async_trait;
use oc_kernel::{Classify, Kind};
use oc_trust::{BooksKey, RecordId, UsageRecord};

/// Why the ledger does not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Records cannot be put there: the log has another length.
    #[error("the log has {size} records, not {expected}")]
    Moved {
        /// The length that was expected.
        expected: u64,
        /// The length it has.
        size: u64,
    },
    /// The file is no ledger, or not whole.
    #[error(
        "the ledger of usage {} is damaged: stop the node and restore its folder from a backup", path.display()
    )]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// What the driver found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The driver's.
    #[error("the ledger of usage cannot be read or written")]
    Driver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too much waits to be written.
    #[error("too many usage records wait to be written")]
    Busy,
}

impl Classify for LedgerError {
    fn kind(&self) -> Kind {
        match self {
            LedgerError::Moved { .. } => Kind::Conflict,
            LedgerError::Damaged { .. } | LedgerError::Driver(_) => Kind::Internal,
            LedgerError::Busy => Kind::Exhausted,
        }
    }
}

/// An append-only log of records for each grant, safe on disk before it answers.
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug + 'static {
    /// Appends records at the end and numbers them. One whose id is there already is not written again. Answers
    /// with the records as they stand in the ledger, in the order given.
    async fn append(
        &self,
        books: BooksKey,
        records: Vec<UsageRecord>,
    ) -> Result<Vec<UsageRecord>, LedgerError>;

    /// Appends records that carry their numbers, from `first` on, all or none.
    async fn copy(
        &self,
        books: BooksKey,
        first: u64,
        records: Vec<UsageRecord>,
    ) -> Result<(), LedgerError>;

    /// Records from a position on, at most `limit`.
    async fn read(
        &self,
        books: BooksKey,
        from: u64,
        limit: usize,
    ) -> Result<Vec<UsageRecord>, LedgerError>;

    /// The record of that id.
    async fn find(&self, id: &RecordId) -> Result<Option<UsageRecord>, LedgerError>;

    /// All books with the number of their records, in the order of their keys.
    async fn books(&self) -> Result<Vec<(BooksKey, u64)>, LedgerError>;
}
