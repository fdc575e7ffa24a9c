//! One fragment of a run with its attempts, and what each of them holds at its site.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Cause;
use crate::data::ObjectRef;
use crate::plan::Place;

/// Where a fragment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FragmentState {
    /// Waits for other fragments or for data.
    Waiting,
    /// Could start; waits for one of the run's slots.
    Ready,
    /// Asks for capacity, then hands the fragment over.
    Reserving,
    /// The site has it.
    Submitted,
    /// The site fetches its inputs.
    Staging,
    /// Its tools run.
    Running,
    /// The site stores its outputs.
    Storing,
    /// Its attempt is being stopped.
    Stopping,
    /// Its site fell silent; the attempt may still run until its lease has surely ended.
    Lost,
    /// Done.
    Succeeded,
    /// No attempt is left.
    Failed,
    /// Given up because the run ends.
    Cancelled,
}

impl FragmentState {
    /// True when it will not change by itself any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// True while an attempt is under way or may still be.
    pub const fn is_active(self) -> bool {
        !self.is_final() && !matches!(self, Self::Waiting | Self::Ready)
    }

    /// As a person reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Reserving => "reserving",
            Self::Submitted => "submitted",
            Self::Staging => "staging",
            Self::Running => "running",
            Self::Storing => "storing",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A fragment of a run. Its steps and reasons are in the plan, at the same index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Where it stands.
    pub state: FragmentState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Oldest first; at most the last one is not over.
    pub attempts: Vec<Attempt>,
    /// Attempts of earlier rounds: a person's retry starts a new one.
    pub(super) earlier: usize,
    /// Where the next attempt goes, when one is due.
    pub(super) next: Place,
}

impl Fragment {
    pub(super) fn new(place: Place, cause: Cause) -> Self {
        Self {
            state: FragmentState::Waiting,
            since: cause.at,
            cause,
            attempts: Vec::new(),
            earlier: 0,
            next: place,
        }
    }

    /// The attempt that is not over.
    pub fn live(&self) -> Option<&Attempt> {
        self.attempts
            .last()
            .filter(|attempt| attempt.outcome.is_none())
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Attempt> {
        self.attempts
            .last_mut()
            .filter(|attempt| attempt.outcome.is_none())
    }

    /// The attempt whose outputs count.
    pub fn counting(&self) -> Option<&Attempt> {
        let succeeded = |attempt: &&Attempt| attempt.outcome == Some(Outcome::Succeeded);
        self.attempts.last().filter(succeeded)
    }

    /// Where it runs, ran last, or will run.
    pub fn place(&self) -> &Place {
        match self.state {
            FragmentState::Waiting | FragmentState::Ready => &self.next,
            _ => self
                .attempts
                .last()
                .map_or(&self.next, |attempt| &attempt.place),
        }
    }

    /// Attempts since the run began or was last retried.
    pub(super) fn this_round(&self) -> &[Attempt] {
        self.attempts.get(self.earlier..).unwrap_or_default()
    }
}

/// One try of a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Where.
    pub place: Place,
    /// Its capacity at the site.
    pub hold: Hold,
    /// Its lease, once submitted.
    pub lease: Option<Lease>,
    /// When its capacity was asked for.
    pub asked_at: Timestamp,
    /// When the site had it.
    pub submitted_at: Option<Timestamp>,
    /// When it was over, or known to be.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The site itself said that it lost it, for a reason of its own.
    #[serde(default)]
    pub lost_by_site: bool,
    /// A submission may have reached the site though no answer came back.
    pub unsure: bool,
    /// Why it is being stopped, where it is.
    pub stop: Option<Cause>,
    /// Why it ended without a result, where it did.
    #[serde(default)]
    pub why: Option<Cause>,
    /// Until when it may still run though nobody renews it.
    pub fence: Option<Timestamp>,
    /// When its hold has lapsed even if the site never answers.
    pub lapses: Option<Timestamp>,
    /// What it made.
    pub result: Option<AttemptResult>,
}

/// A right to something at another place, held for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Hold {
    /// Asked for; it may exist without our knowing.
    Wanted,
    /// It exists.
    Held {
        /// Its id at the owner.
        reservation: String,
        /// When it lapses.
        until: Timestamp,
    },
    /// It was given back, has lapsed, or never was.
    Released,
}

impl Hold {
    /// Its id at the owner, where known.
    pub fn reservation(&self) -> Option<&str> {
        match self {
            Self::Held { reservation, .. } => Some(reservation),
            Self::Wanted | Self::Released => None,
        }
    }
}

/// An attempt's right to run, which lives by renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its id at the site.
    pub id: String,
    /// How long it lives without renewal.
    pub life: SignedDuration,
    /// When the site last answered a renewal.
    pub heard_at: Timestamp,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It made its outputs.
    Succeeded,
    /// The site said that it failed, or refused it.
    Failed,
    /// It was stopped on our word.
    Cancelled,
    /// Its lease ended.
    Lost,
}

/// What an attempt made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// The CWL output object; a File's location is `oc:<owner>/<role>/<key>`.
    pub outputs: Value,
    /// The objects it wrote.
    pub objects: Vec<ObjectRef>,
}
