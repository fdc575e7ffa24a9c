//! What we as a consumer saw of our attempts at partners: the other side of each usage record.

use oc_kernel::{AttemptId, FragmentId, GrantId, Name, RunId};
use oc_store::{Collection, Index, IndexValue};
use oc_trust::event::{AttemptEvent, AttemptState};
use oc_trust::{Observed, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Observations by the id of their attempt.
pub(crate) static OBSERVATIONS: Collection = Collection::new(
    "observations",
    &[
        Index::computed("unrecorded", 1, unrecorded),
        Index::pointer("run", "/run"),
    ],
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
    /// How it ended, where its provider told the end.
    pub outcome: Option<Outcome>,
    /// What arrived of it here, in bytes, where the event said it.
    pub bytes_out: Option<u64>,
    /// True once its record is in the agreed books.
    pub recorded: bool,
}

impl Observation {
    /// What the first event of an attempt under a grant says of it.
    pub(crate) fn first(grant: GrantId, event: &AttemptEvent) -> Self {
        Self {
            grant,
            run: event.run_id,
            fragment: event.fragment_id,
            attempt: event.attempt_id,
            pseudonym: event.pseudonym.clone(),
            submitted_ms: event.at_ms,
            ended_ms: None,
            outcome: None,
            bytes_out: None,
            recorded: false,
        }
    }

    /// Takes in another event of the same attempt; they may come in any order, and more than once.
    pub(crate) fn take(&mut self, event: &AttemptEvent) {
        self.submitted_ms = self.submitted_ms.min(event.at_ms);
        if self.pseudonym.is_none() {
            self.pseudonym.clone_from(&event.pseudonym);
        }
        if event.state == AttemptState::Ended {
            self.ended_ms = Some(event.at_ms.max(self.ended_ms.unwrap_or(0)));
            self.outcome = event.outcome;
            self.bytes_out = event.bytes_out;
        }
    }

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
