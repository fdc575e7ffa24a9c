//! What a run is told, what it wants done, and what it reports.

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{GrantId, OrgId};
use serde::{Deserialize, Serialize};

use super::{AttemptResult, Cause, FragmentState, RunState};

/// One attempt of one fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptRef {
    /// The fragment's index in the plan.
    pub fragment: u32,
    /// The attempt's number, from 1.
    pub attempt: u32,
}

/// Something that happened. Telling it twice, late, or out of order does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A data provider reserved an input, or renewed its reservation.
    DataReserved {
        /// The workflow's input.
        input: String,
        /// The reservation's serial, as in the action.
        serial: u32,
        /// Its id at the provider.
        reservation: String,
        /// When it lapses.
        until: Timestamp,
    },
    /// A site holds capacity.
    CapacityReserved {
        /// For which attempt.
        at: AttemptRef,
        /// The hold's id at the site.
        reservation: String,
        /// When it lapses.
        until: Timestamp,
    },
    /// A site took an attempt.
    Submitted {
        /// Which.
        at: AttemptRef,
        /// The lease's id at the site.
        lease: String,
        /// How long the lease lives without renewal.
        life: SignedDuration,
    },
    /// A site answered a renewal.
    Renewed {
        /// For which attempt.
        at: AttemptRef,
    },
    /// An attempt goes on.
    Progress {
        /// Which.
        at: AttemptRef,
        /// How far it is.
        phase: Phase,
    },
    /// A site says that an attempt is over and nothing of it runs any more.
    Ended {
        /// Which.
        at: AttemptRef,
        /// How.
        end: End,
    },
    /// A site gave up an attempt's capacity and all that was left of it.
    CapacityReleased {
        /// Which attempt.
        at: AttemptRef,
    },
    /// A data provider ended a reservation.
    DataReleased {
        /// The workflow's input.
        input: String,
        /// The reservation's serial.
        serial: u32,
    },
    /// The signed manifest is stored.
    Published,
    /// The books of a grant are countersigned, or disputed.
    Settled {
        /// The grant.
        grant: GrantId,
        /// What was disputed, in words; nothing when the books agree.
        dispute: Option<String>,
    },
    /// An action did not succeed.
    Trouble {
        /// Which.
        action: Action,
        /// Why.
        cause: Cause,
        /// It would fail again: do not try further.
        lasting: bool,
    },
    /// A person stops the run.
    Cancel {
        /// Of which organisation.
        by: OrgId,
        /// Why, or who.
        text: String,
    },
    /// A person starts the failed parts again.
    Retry {
        /// Of which organisation.
        by: OrgId,
        /// Why, or who.
        text: String,
    },
    /// The program that drives the run was started again: what it heard before may be older than stored.
    Resumed,
    /// Time has passed.
    Tick,
}

/// How far a running attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Its inputs are being fetched.
    Staging,
    /// Its tools run.
    Running,
    /// Its outputs are being stored.
    Storing,
}

/// How a site says that an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// With outputs.
    Succeeded(AttemptResult),
    /// Without.
    Failed(Cause),
    /// On our word.
    Cancelled(Cause),
    /// Because its lease or its authority ended.
    Lost(Cause),
}

/// Something to be done. The same action stays outstanding until an event answers it or the run no
/// longer wants it, so a driver may start again at any time from [`super::Run::outstanding`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reserve the data of an input.
    ReserveData {
        /// The workflow's input.
        input: String,
        /// Names the operation: the same serial gets the same reservation.
        serial: u32,
    },
    /// Extend a reservation of data.
    RenewData {
        /// The workflow's input.
        input: String,
        /// The reservation's serial.
        serial: u32,
        /// The reservation.
        reservation: String,
    },
    /// Hold capacity for an attempt.
    ReserveCapacity {
        /// For which attempt.
        at: AttemptRef,
    },
    /// Sign the delegation and hand the fragment over.
    Submit {
        /// Which attempt.
        at: AttemptRef,
        /// The hold to use.
        reservation: String,
    },
    /// Follow an attempt until it ends.
    Watch {
        /// Which attempt.
        at: AttemptRef,
    },
    /// Renew a lease.
    RenewLease {
        /// Of which attempt.
        at: AttemptRef,
        /// The lease.
        lease: String,
    },
    /// Stop an attempt and find out how it ended.
    Cancel {
        /// Which attempt.
        at: AttemptRef,
    },
    /// Give capacity back, with what is left of the attempt.
    ReleaseCapacity {
        /// Of which attempt.
        at: AttemptRef,
        /// The hold, where its id is known.
        reservation: Option<String>,
    },
    /// End a reservation of data.
    ReleaseData {
        /// The workflow's input.
        input: String,
        /// The reservation's serial.
        serial: u32,
        /// Its id, where known.
        reservation: Option<String>,
    },
    /// Sign and store the manifest of the attempts that count.
    Publish,
    /// Have the books of a grant countersigned.
    SettleBooks {
        /// The grant.
        grant: GrantId,
    },
}

impl Action {
    /// The attempt it is about.
    pub fn attempt(&self) -> Option<AttemptRef> {
        match self {
            Self::ReserveCapacity { at }
            | Self::Submit { at, .. }
            | Self::Watch { at }
            | Self::RenewLease { at, .. }
            | Self::Cancel { at }
            | Self::ReleaseCapacity { at, .. } => Some(*at),
            Self::ReserveData { .. }
            | Self::RenewData { .. }
            | Self::ReleaseData { .. }
            | Self::Publish
            | Self::SettleBooks { .. } => None,
        }
    }
}

/// A change of state or of cause, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// What changed.
    pub change: Change,
    /// Why; its time is the time of the change.
    pub cause: Cause,
}

/// What a transition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The run is in this state.
    Run(RunState),
    /// A fragment is in this state.
    Fragment {
        /// Its index in the plan.
        index: u32,
        /// Its state.
        state: FragmentState,
    },
}

/// What came of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The run differs from what is stored and must be stored before anything is done.
    pub durable: bool,
    /// What people should see of it, in order.
    pub transitions: Vec<Transition>,
}
