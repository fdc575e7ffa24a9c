//! Why something cannot be done with the books.

use oc_kernel::{Classify, Code, GrantId, Kind, OrgId};
use oc_store::StoreError;
use oc_trust::{OpenError, SignError};

use super::ledger::LedgerError;
use crate::ports::PortError;

/// Why something cannot be done with the books.
#[derive(Debug, thiserror::Error)]
pub enum AccountingError {
    /// No books of that grant, or none that the caller may know of.
    #[error("no books of grant {0} here")]
    UnknownGrant(GrantId),
    /// No such record.
    #[error("no record `{0}` here")]
    UnknownRecord(String),
    /// Only the provider does this.
    #[error("the log of grant {grant} is written by {provider}, not here")]
    NotProvider {
        /// The grant.
        grant: GrantId,
        /// Who provides.
        provider: OrgId,
    },
    /// Its log may lack records that both sides signed.
    #[error(
        "the books of grant {0} were restored from a backup: they go on when its consumer has shown what it holds"
    )]
    Restored(GrantId),
    /// What a service reported makes no record.
    #[error("the report makes no record: {0}")]
    Draft(String),
    /// A report of an attempt that is recorded with other figures.
    #[error("attempt {0} was reported twice with different figures: the first report stands")]
    Contradiction(String),
    /// Somebody corrected the same record at the same time.
    #[error("record `{0}` was corrected by someone else: look at it again")]
    Corrected(String),
    /// A page token of something else.
    #[error("the page token is damaged: start again without one")]
    PageToken,
    /// The partner's head or records do not hold.
    #[error("the provider's log does not hold: {0}")]
    Log(String),
    /// A countersignature that is not of our log.
    #[error("the countersigned head is not of our log: {0}")]
    Countersignature(String),
    /// A signed statement that does not hold.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing was signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A partner or discovery.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Classify for AccountingError {
    fn kind(&self) -> Kind {
        match self {
            AccountingError::UnknownGrant(_) | AccountingError::UnknownRecord(_) => Kind::NotFound,
            AccountingError::NotProvider { .. } | AccountingError::Log(_) => Kind::Precondition,
            AccountingError::Draft(_) | AccountingError::Countersignature(_) => Kind::Invalid,
            AccountingError::Contradiction(_) | AccountingError::Corrected(_) => Kind::Conflict,
            AccountingError::PageToken => Kind::Malformed,
            AccountingError::Restored(_) => Kind::Unavailable,
            AccountingError::Open(error) => error.kind(),
            AccountingError::Sign(error) => error.kind(),
            AccountingError::Port(error) => error.kind,
            AccountingError::Store(error) => error.kind(),
            AccountingError::Ledger(error) => error.kind(),
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            AccountingError::Open(error) => error.code(),
            AccountingError::Port(error) => error.code,
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            AccountingError::Port(error) => error.advice.clone(),
            AccountingError::Log(_) => {
                Some("ask the provider; nothing was countersigned".to_owned())
            }
            _ => None,
        }
    }
}
