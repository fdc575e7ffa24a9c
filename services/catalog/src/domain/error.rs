//! Why the catalogue refuses something.

use oc_kernel::{Classify, Code, Kind, NameError, OrgId, PageTokenError};
use oc_store::StoreError;
use oc_trust::SignError;

use crate::ports::PortError;

/// Why the catalogue refuses something.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// An offer that breaks a rule.
    #[error("{0}")]
    Offer(String),
    /// A listing id that is no name.
    #[error("`{id}` is no listing id: {reason}")]
    Id {
        /// What came.
        id: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// Something in a request that cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// No such listing, or none that is known here.
    #[error("{owner} lists no `{id}`")]
    Unknown {
        /// The organisation that was asked about.
        owner: String,
        /// The listing.
        id: String,
    },
    /// A person may list workflows only.
    #[error("a {0} is listed by the service that offers it")]
    NotByHand(oc_trust::ListingKind),
    /// A damaged page token.
    #[error(transparent)]
    Page(#[from] PageTokenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was signed.
    #[error("the listing cannot be signed now")]
    Sign(#[from] SignError),
    /// discovery or a partner does not answer.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A partner lists more at once than is read of one.
    #[error("{org} lists more than is read at once: {bytes} bytes on {pages} pages so far")]
    TooMuch {
        /// The partner.
        org: OrgId,
        /// Answers that were read.
        pages: usize,
        /// Bytes of listings in them.
        bytes: usize,
    },
    /// The index failed.
    #[error("the index of the catalogue failed")]
    Index(#[from] tantivy::TantivyError),
}

impl Classify for CatalogError {
    fn kind(&self) -> Kind {
        match self {
            CatalogError::Offer(_) | CatalogError::NotByHand(_) => Kind::Invalid,
            CatalogError::Id { .. } | CatalogError::Malformed(_) | CatalogError::Page(_) => {
                Kind::Malformed
            }
            CatalogError::Unknown { .. } => Kind::NotFound,
            CatalogError::Store(error) => error.kind(),
            CatalogError::Sign(error) => error.kind(),
            CatalogError::Port(error) => error.kind(),
            CatalogError::TooMuch { .. } => Kind::Exhausted,
            CatalogError::Index(_) => Kind::Internal,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            CatalogError::Port(error) => error.code(),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            CatalogError::NotByHand(kind) => {
                Some(format!("create the {kind} at its provider, which lists it"))
            }
            CatalogError::Unknown { .. } => {
                Some("search for it: it may have been withdrawn".to_owned())
            }
            CatalogError::Store(error) => error.advice(),
            CatalogError::Sign(error) => error.advice(),
            CatalogError::Port(error) => error.advice(),
            CatalogError::Offer(_)
            | CatalogError::Id { .. }
            | CatalogError::Malformed(_)
            | CatalogError::Page(_)
            | CatalogError::TooMuch { .. }
            | CatalogError::Index(_) => None,
        }
    }
}
