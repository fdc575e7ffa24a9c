//! Why a ledger refuses.

use oc_kernel::{Classify, Code, GrantId, Kind, LeaseId, Name, ReservationId};

use super::entry::StopCause;
use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::resources::Amount;

/// Why a command was refused; every limit comes with its numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The offer has not enough left now.
    #[error(
        "offer `{offer}` is full: {asked} {amount} asked, {taken} of {limit} taken; try again when others end"
    )]
    Full {
        /// The offer.
        offer: Name,
        /// What is short.
        amount: Amount,
        /// How much was asked.
        asked: u64,
        /// How much is taken.
        taken: u64,
        /// How much there is.
        limit: u64,
    },
    /// The grant's limit is reached.
    #[error(
        "grant {grant} allows {limit} {amount}: {used} are used or set aside, {asked} more were asked"
    )]
    OverLimit {
        /// The grant.
        grant: GrantId,
        /// Which limit.
        amount: Amount,
        /// How much was asked.
        asked: u64,
        /// How much is used or set aside.
        used: u64,
        /// How much of that is used up and never comes back.
        spent: u64,
        /// The limit.
        limit: u64,
    },
    /// More is in use than the new capacity has.
    #[error("{taken} {amount} are in use: the offer cannot shrink to {limit} before they end")]
    InUse {
        /// What is short.
        amount: Amount,
        /// How much is taken.
        taken: u64,
        /// How much there would be.
        limit: u64,
    },
    /// The offer is withdrawn.
    #[error("offer `{offer}` is withdrawn")]
    Withdrawn {
        /// The offer.
        offer: Name,
    },
    /// The same key came before with another request.
    #[error("operation {key} was sent before with another body: use a new operation")]
    OtherBody {
        /// The operation.
        key: OperationKey,
    },
    /// The attempt holds or has capacity already.
    #[error("attempt {attempt} has capacity already")]
    AttemptTaken {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// The hold is unknown, expired, used, or someone else's.
    #[error("no reservation {reservation}: it expired, was used, or is not yours; reserve again")]
    NoReservation {
        /// What was named.
        reservation: ReservationId,
    },
    /// The lease is unknown or ended.
    #[error("no lease {lease}: it ended or is not yours")]
    NoLease {
        /// What was named.
        lease: LeaseId,
    },
    /// The job is being stopped.
    #[error("lease {lease} is being stopped: {cause}")]
    Stopping {
        /// The lease.
        lease: LeaseId,
        /// Why.
        cause: StopCause,
    },
    /// The grant was changed or revoked since.
    #[error("grant {grant} is at generation {current}, not {presented}: it was changed or revoked")]
    OldGeneration {
        /// The grant.
        grant: GrantId,
        /// What was presented.
        presented: u64,
        /// What holds.
        current: u64,
    },
    /// The grant's account cannot go while something of it is here.
    #[error("grant {grant} still has entries in the ledger")]
    GrantInUse {
        /// The grant.
        grant: GrantId,
    },
}

impl Classify for LedgerError {
    fn kind(&self) -> Kind {
        match self {
            LedgerError::Full { .. } => Kind::Exhausted,
            // What is set aside may come back; what was used up does not.
            LedgerError::OverLimit {
                asked,
                spent,
                limit,
                ..
            } => match spent.saturating_add(*asked) > *limit {
                true => Kind::Forbidden,
                false => Kind::Exhausted,
            },
            LedgerError::OtherBody { .. } | LedgerError::AttemptTaken { .. } => Kind::Conflict,
            LedgerError::NoReservation { .. } | LedgerError::NoLease { .. } => Kind::NotFound,
            LedgerError::OldGeneration { .. } => Kind::Forbidden,
            LedgerError::InUse { .. }
            | LedgerError::Withdrawn { .. }
            | LedgerError::Stopping { .. }
            | LedgerError::GrantInUse { .. } => Kind::Precondition,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            LedgerError::OverLimit { .. } if self.kind() == Kind::Forbidden => {
                Some(Code::OverLimit)
            }
            LedgerError::Withdrawn { .. } => Some(Code::OfferWithdrawn),
            LedgerError::NoReservation { .. } => Some(Code::HoldLapsed),
            LedgerError::NoLease { .. } => Some(Code::LeaseLost),
            LedgerError::OldGeneration { .. } => Some(Code::GrantChanged),
            _ => None,
        }
    }
}
