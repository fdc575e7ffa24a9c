//! A run as a state machine: events in, actions out.
//!
//! [`Run::apply`] takes what happened and answers what changed; [`Run::outstanding`] says what should
//! be under way now. Actions follow from the state alone, so after a crash the stored run is read,
//! told [`Event::Resumed`], and asked again: nothing else is to be remembered. Every action names its
//! operation (run, fragment, attempt; input and serial), so doing it twice has no effect twice.
//!
//! Fencing: an attempt that may have been submitted is over only when its site says so, or when a
//! lease's whole life has passed since we stopped renewing it. Only then comes the next attempt.
//!
//! Time is told with each event and must not run backwards; the driver derives it from a monotonic clock.

mod advance;
mod apply;
mod cause;
mod event;
mod fragment;
mod ids;
mod outstanding;
mod policy;
mod reservation;
mod turn;
mod wait;

use jiff::Timestamp;
use oc_kernel::{GrantId, OrgId, RunId};
use serde::{Deserialize, Serialize};

use crate::plan::{FragmentPlan, Plan, Source};
pub use cause::{Cause, Remedy, code};
pub use event::{Action, Applied, AttemptRef, Change, End, Event, Phase, Transition};
pub use fragment::{Attempt, AttemptResult, Fragment, FragmentState, Hold, Lease, Outcome};
pub use ids::{attempt_id, fragment_id};
pub use policy::Policy;
pub use reservation::DataHold;
use turn::Turn;
pub use wait::Wait;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Checked and planned.
    Planned,
    /// Its data are being reserved.
    Reserving,
    /// Its fragments run.
    Running,
    /// Its results are being published.
    Publishing,
    /// What it holds is being given back, then the books are settled.
    Releasing,
    /// Done.
    Succeeded,
    /// Ended without results.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

impl RunState {
    /// True when it will not change by itself any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// As a person reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Reserving => "reserving",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Releasing => "releasing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A run, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    id: RunId,
    org: OrgId,
    plan: Plan,
    policy: Policy,
    state: RunState,
    since: Timestamp,
    cause: Cause,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    fragments: Vec<Fragment>,
    data: Vec<DataHold>,
    ending: Option<Ending>,
    published: bool,
    books: Vec<Books>,
    /// Since when only the books are waited for.
    books_since: Option<Timestamp>,
}

/// How a run will end, once that is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ending {
    state: RunState,
    cause: Cause,
}

/// The books of a grant the run has used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Books {
    grant: GrantId,
    /// Countersigned, disputed, or left to the services that keep them.
    closed: bool,
    /// Why they are not countersigned, in words.
    open: Option<String>,
}

/// An input of the run whose data must be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataNeed {
    /// The workflow's input.
    pub input: String,
    /// Who holds the data.
    pub provider: OrgId,
    /// What people call the holder.
    pub name: String,
}

impl Run {
    /// A new run of a plan for organisation `org`. Nothing is held yet.
    pub fn new(
        id: RunId,
        org: OrgId,
        plan: Plan,
        data: Vec<DataNeed>,
        policy: Policy,
        now: Timestamp,
    ) -> Self {
        let waiting = Cause::new(code::UPSTREAM, "waits for what it reads", org, now);
        let fragment = |plan: &FragmentPlan| Fragment::new(plan.site.clone(), waiting.clone());
        let hold = |need: DataNeed| DataHold::new(&need.input, need.provider, &need.name, 1, now);
        Self {
            id,
            org,
            state: RunState::Planned,
            since: now,
            cause: Cause::new(code::PLANNED, "checked and planned", org, now),
            started_at: now,
            ended_at: None,
            fragments: plan.fragments.iter().map(fragment).collect(),
            data: data.into_iter().map(hold).collect(),
            plan,
            policy,
            ending: None,
            published: false,
            books: Vec::new(),
            books_since: None,
        }
    }

    /// Takes an event that happened by `now`.
    ///
    /// An event that is not news changes nothing. Where `durable` comes back, the run must be stored
    /// before any of its outstanding actions is carried out.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Applied {
        let mut turn = Turn::new(self, now);
        turn.take(event);
        turn.advance();
        turn.finish()
    }

    /// Its id.
    pub const fn id(&self) -> RunId {
        self.id
    }

    /// Whose run it is.
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// Where it stands.
    pub const fn state(&self) -> RunState {
        self.state
    }

    /// Since when it stands there.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Why it stands there.
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// When it was started.
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// When it was over.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// The plan it follows.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its limits.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its fragments, by their index in the plan.
    pub fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// Its reservations of data, older ones of the same input first.
    pub fn data(&self) -> &[DataHold] {
        &self.data
    }

    /// The attempt a reference names.
    pub fn attempt(&self, at: AttemptRef) -> Option<&Attempt> {
        let fragment = self.fragments.get(at.fragment as usize)?;
        let attempts = fragment.attempts.iter();
        attempts.rev().find(|attempt| attempt.number == at.attempt)
    }

    /// Why a fragment is where it is, in a sentence.
    pub fn why_there(&self, fragment: usize) -> String {
        let (plan, fragment) = (&self.plan.fragments[fragment], &self.fragments[fragment]);
        let place = fragment.place();
        if (place.org, &place.listing) == (plan.site.org, &plan.site.listing) {
            return plan.reason.clone();
        }
        let elsewhere = |attempt: &&Attempt| attempt.place != *place;
        let earlier = fragment.attempts.iter().filter(elsewhere).count();
        format!(
            "it was planned at {}, where {earlier} of its attempts did not succeed",
            plan.site.name
        )
    }

    /// True while a partner may hold something for the run. A final run holds nothing.
    pub fn holds_anything(&self) -> bool {
        let mut attempts = self
            .fragments
            .iter()
            .flat_map(|fragment| &fragment.attempts);
        attempts.any(|attempt| attempt.outcome.is_none() || attempt.hold != Hold::Released)
            || self.data.iter().any(|data| data.hold != Hold::Released)
    }

    fn reads(&self, fragment: usize, input: &str) -> bool {
        let inputs = &self.plan.fragments[fragment].inputs;
        let named =
            |source: &Source| matches!(source, Source::Run { input: name } if name == input);
        inputs.iter().any(|read| named(&read.from))
    }
}
