//! What we as a consumer saw of our attempts at partners: the other side of each usage record.

use oc_kernel::{AttemptId, FragmentId, GrantId, Name, RunId};
use oc_store::{Collection, Index, IndexValue};
use oc_trust::{Observed, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Observations by the id of their attempt.
pub(crate) static OBSERVATIONS: Collection = Collection::new(
    "observations",
    &[Index::computed("unrecorded", 1, unrecorded)],
);

/// The end of an attempt whose record is not in the agreed books yet.
fn unrecorded(document: &Value) -> Vec<IndexValue> {
    let ended = document["ended_ms"].as_i64();
    ended
        .filter(|_| document["recorded"] == false)
        .map(IndexValue::from)
        .into_iter()
        .collect()
}

/// One attempt as we saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The grant it ran under.
    pub grant: GrantId,
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The pseudonym it was submitted under, where the event said it.
    pub pseudonym: Option<Name>,
    /// When it was submitted, in ms since the epoch.
    pub submitted_ms: u64,
    /// When its end was seen, in ms since the epoch.
    pub ended_ms: Option<u64>,
    /// How it ended, where the end itself was seen and not only its absence.
    pub outcome: Option<Outcome>,
    /// What arrived of it here, in bytes, where the event said it.
    pub bytes_out: Option<u64>,
    /// True once its record is in the agreed books.
    pub recorded: bool,
}

/// What an event says about an attempt of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSeen {
    /// The grant.
    pub grant: GrantId,
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The pseudonym.
    pub pseudonym: Option<Name>,
    /// When, in ms since the epoch.
    pub at_ms: u64,
    /// None for its submission, else how it ended.
    pub ended: Option<Outcome>,
    /// What arrived of it here, in bytes.
    pub bytes_out: Option<u64>,
}

impl AttemptSeen {
    pub(crate) fn first(&self) -> Observation {
        Observation {
            grant: self.grant,
            run: self.run,
            fragment: self.fragment,
            attempt: self.attempt,
            pseudonym: self.pseudonym.clone(),
            submitted_ms: self.at_ms,
            ended_ms: None,
            outcome: None,
            bytes_out: None,
            recorded: false,
        }
    }

    pub(crate) fn apply(&self, to: &mut Observation) {
        to.submitted_ms = to.submitted_ms.min(self.at_ms);
        if to.pseudonym.is_none() {
            to.pseudonym.clone_from(&self.pseudonym);
        }
        if let Some(outcome) = self.ended {
            to.ended_ms = Some(self.at_ms.max(to.ended_ms.unwrap_or(0)));
            // A lost attempt is one whose end we did not see; the provider may have seen it.
            to.outcome = Some(outcome).filter(|outcome| *outcome != Outcome::Lost);
            to.bytes_out = self.bytes_out;
        }
    }
}

impl Observation {
    /// For the audit: an attempt whose end was not seen may have run until now.
    pub(crate) fn observed(&self, now_ms: u64) -> Observed {
        Observed {
            run: self.run,
            fragment: self.fragment,
            attempt: self.attempt,
            pseudonym: self.pseudonym.clone(),
            submitted_ms: self.submitted_ms,
            ended_ms: self.ended_ms.unwrap_or(now_ms),
            outcome: self.outcome,
            bytes_out: self.bytes_out,
        }
    }
}
