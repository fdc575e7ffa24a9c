//! Why the store refused or failed.

use std::path::PathBuf;

use oc_kernel::{Classify, Kind, Revision};

/// An error of the store or of a document in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// [`Expect::Revision`](crate::Expect::Revision) was not met.
    #[error(
        "`{key}` in {collection} was changed meanwhile: expected revision {expected}, found {found}"
    )]
    Stale {
        /// The collection.
        collection: &'static str,
        /// The key.
        key: String,
        /// The revision the caller saw.
        expected: Revision,
        /// The current revision; zero where there is no document.
        found: Revision,
    },
    /// [`Expect::Absent`](crate::Expect::Absent) was not met.
    #[error("`{key}` in {collection} exists already")]
    AlreadyExists {
        /// The collection.
        collection: &'static str,
        /// The key.
        key: String,
    },
    /// There is no such document.
    #[error("there is no `{key}` in {collection}")]
    NotFound {
        /// The collection.
        collection: &'static str,
        /// The key.
        key: String,
    },
    /// Other writers won every time; the caller may try again.
    #[error("`{key}` in {collection} is being changed by too many at once: try again")]
    Contended {
        /// The collection.
        collection: &'static str,
        /// The key.
        key: String,
    },
    /// A newer version of the software wrote the document.
    #[error(
        "`{key}` in {collection} has schema {found}, this version knows up to {known}: upgrade"
    )]
    NewerSchema {
        /// The collection.
        collection: &'static str,
        /// The key.
        key: String,
        /// The document's schema.
        found: u64,
        /// The newest schema this version reads.
        known: u32,
    },
    /// The stored or given bytes are not the JSON they should be.
    #[error("`{key}` in {collection} cannot be read as a document")]
    Unreadable {
        /// The collection.
        collection: &'static str,
        /// The key.
        key: String,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The key is empty, too long or holds a NUL.
    #[error("a key must have 1 to {limit} bytes and no NUL")]
    Key {
        /// The limit in bytes.
        limit: usize,
    },
    /// The document is larger than a store takes.
    #[error("a document may have {limit} bytes, this one has {length}")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// The length in bytes.
        length: usize,
    },
    /// The query names an index that the collection does not declare.
    #[error("{collection} has no index `{index}`")]
    UnknownIndex {
        /// The collection.
        collection: &'static str,
        /// The index asked for.
        index: &'static str,
    },
    /// The page token is not from a list like this one.
    #[error("the page token is damaged or from another list: start again without one")]
    PageToken,
    /// The file cannot be opened.
    #[error("cannot open the store {}: check that its folder exists and may be written", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is no store, or parts of it are lost.
    #[error(
        "the store {} is damaged: stop the node and restore its folder from a backup", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer version of the software made the file.
    #[error("the store {} has format {found}, this version knows {known}: upgrade", path.display())]
    NewerFile {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The format this version reads.
        known: i64,
    },
    /// The queue of writes stayed full.
    #[error("the store has too many writes waiting")]
    Busy,
    /// No answer in time. A write may still take effect.
    #[error("the store did not answer in time")]
    Timeout,
    /// The store cannot be reached, or its disk is full.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A defect, or a damaged file.
    #[error("the store failed")]
    Driver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// True where the same call may succeed later without any change.
    pub fn retryable(&self) -> bool {
        self.kind().retryable()
    }
}

impl Classify for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Stale { .. } => Kind::Stale,
            Self::AlreadyExists { .. } => Kind::AlreadyExists,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Key { .. } | Self::TooLarge { .. } => Kind::Invalid,
            Self::PageToken => Kind::Malformed,
            Self::Busy | Self::Contended { .. } => Kind::Exhausted,
            Self::Timeout => Kind::Timeout,
            Self::Open { .. } | Self::Unavailable(_) => Kind::Unavailable,
            Self::NewerSchema { .. } | Self::NewerFile { .. } => Kind::Unsupported,
            Self::Damaged { .. }
            | Self::Unreadable { .. }
            | Self::UnknownIndex { .. }
            | Self::Driver(_) => Kind::Internal,
        }
    }
}
