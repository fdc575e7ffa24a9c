//! What can be done to a ledger, and what it answers.

use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{Digest, GrantId, LeaseId, ReservationId};
use oc_trust::Limits;
use serde::{Deserialize, Serialize};

use super::entry::{Demand, EndedState, StopCause};
use crate::domain::attempt::OperationKey;
use crate::domain::resources::Capacity;

/// One change of a ledger.
#[derive(Debug, Clone)]
pub enum Command {
    /// Holds capacity for an attempt for a short time.
    Reserve(Reserve),
    /// Turns a hold into a lease with its job.
    Submit(Submit),
    /// Gives an attempt's capacity back; a running job is stopped first.
    Release {
        /// The operation.
        key: OperationKey,
        /// Digest of the request.
        body: Digest,
    },
    /// The runtime took the job.
    Started {
        /// Whose job.
        lease: LeaseId,
    },
    /// The job must end. Its capacity is given back by `Settle`, once nothing of it is left.
    Stop {
        /// Whose job.
        lease: LeaseId,
        /// Why.
        cause: StopCause,
    },
    /// The job ended and nothing of it is left.
    Settle(Settle),
    /// A grant was changed, revoked or ended: its generation rises and what began before stops.
    Raise {
        /// The grant.
        grant: GrantId,
        /// The new generation.
        generation: u64,
        /// Why running jobs are stopped.
        cause: StopCause,
    },
    /// The offer has another capacity now.
    Resize {
        /// The new one.
        capacity: Capacity,
    },
    /// The offer takes no new holds, or takes them again.
    Close {
        /// True for no more.
        closed: bool,
    },
    /// Drops holds past their end; nothing else.
    Expire,
    /// Settled entries are in documents of their own now.
    Moved {
        /// Operations whose answers moved.
        answers: Vec<OperationKey>,
        /// Leases whose ends moved.
        ended: Vec<LeaseId>,
    },
    /// A grant is over and its books are closed: its account goes.
    Forget {
        /// The grant.
        grant: GrantId,
    },
}

/// A wish for capacity.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The operation.
    pub key: OperationKey,
    /// Digest of the request.
    pub body: Digest,
    /// The id the hold gets when this is the first time.
    pub reservation: ReservationId,
    /// The grant it happens under; none for the organisation's own work.
    pub terms: Option<Terms>,
    /// What is wanted.
    pub demand: Demand,
    /// How long the hold lasts; at most [`super::Ledger::LONGEST_HOLD`].
    pub hold_for: Duration,
}

/// The start of an attempt.
#[derive(Debug, Clone)]
pub struct Submit {
    /// The operation.
    pub key: OperationKey,
    /// Digest of the request.
    pub body: Digest,
    /// The hold it uses up.
    pub reservation: ReservationId,
    /// The id the lease gets when this is the first time.
    pub lease: LeaseId,
    /// Digest of the stored job: fragment, inputs and authority.
    pub payload: Digest,
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Its lease.
    pub lease: LeaseId,
    /// How it ended by itself; a job that was being stopped ends as stopped.
    pub state: EndedState,
    /// Core milliseconds it used.
    pub core_ms: u64,
}

/// The part of a grant the ledger enforces.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The grant.
    pub grant: GrantId,
    /// The generation it was admitted under.
    pub generation: u64,
    /// Its limits for this offer; zero allows nothing.
    pub limits: Limits,
}

/// What a command answered; for operations of a consumer it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Capacity is held.
    Held {
        /// The hold.
        reservation: ReservationId,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// The attempt has its lease and its job.
    Leased {
        /// The lease.
        lease: LeaseId,
    },
    /// The attempt has no capacity any more, or gives it back when its job is stopped.
    Released,
    /// A change without an answer of its own.
    Done,
}
