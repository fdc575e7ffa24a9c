//! Why an object was refused or cannot be had.

use std::path::PathBuf;

use oc_kernel::{Classify, Digest, Kind, ObjectKey, PageTokenError};

/// An error of the object store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("there is no object `{0}`")]
    NotFound(ObjectKey),
    /// Objects are written once.
    #[error("object `{0}` exists already and is not overwritten")]
    AlreadyExists(ObjectKey),
    /// One object's key lies below another's, which a folder cannot hold.
    #[error("object `{0}` and another lie one below the other: choose another key")]
    Nested(ObjectKey),
    /// The bytes are not those that were announced.
    #[error("object `{key}` has SHA-256 {found}, announced was {announced}")]
    WrongDigest {
        /// The key.
        key: ObjectKey,
        /// What was announced.
        announced: Digest,
        /// What came.
        found: Digest,
    },
    /// More or fewer bytes came than were announced.
    #[error("object `{key}` has {found} bytes or more, announced were {announced}")]
    WrongLength {
        /// The key.
        key: ObjectKey,
        /// What was announced.
        announced: u64,
        /// What had come when the difference was seen.
        found: u64,
    },
    /// The sender failed.
    #[error("object `{key}` was cut off while it was sent")]
    CutOff {
        /// The key.
        key: ObjectKey,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The asked-for range lies outside the object.
    #[error("object `{key}` has {length} bytes: the range begins after its end")]
    Range {
        /// The key.
        key: ObjectKey,
        /// The length in bytes.
        length: u64,
    },
    /// The reader takes less than the object has.
    #[error("object `{key}` has more than {limit} bytes")]
    TooLarge {
        /// The key.
        key: ObjectKey,
        /// The limit in bytes.
        limit: u64,
    },
    /// The disk would be too full.
    #[error("{needed} bytes are needed and {free} are free")]
    NoSpace {
        /// Bytes announced.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The page token is not one of ours.
    #[error(transparent)]
    PageToken(#[from] PageTokenError),
    /// The folder cannot be used.
    #[error("cannot use the folder {}: check that it may be written", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The driver failed.
    #[error("the object store failed")]
    Driver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Classify for ObjectError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::Nested(_) => Kind::Conflict,
            Self::WrongDigest { .. }
            | Self::WrongLength { .. }
            | Self::CutOff { .. }
            | Self::Range { .. } => Kind::Invalid,
            Self::PageToken(_) => Kind::Malformed,
            Self::TooLarge { .. } | Self::NoSpace { .. } => Kind::Exhausted,
            Self::Folder { .. } => Kind::Unavailable,
            Self::Driver(_) => Kind::Internal,
        }
    }
}
