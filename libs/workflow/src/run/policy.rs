//! How long a run waits for what, and how often it tries.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The limits of a run. They are stored with it: a change of settings does not change runs on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Attempts a fragment gets before it fails; a person's retry gives as many again.
    pub attempts: u32,
    /// Fragments at work at the same time.
    pub parallel: u32,
    /// For all data to be reserved.
    pub reserve_data: SignedDuration,
    /// For capacity, per attempt.
    pub capacity: SignedDuration,
    /// From submission until the site begins.
    pub start: SignedDuration,
    /// Added to a fragment's wall time: staging and clocks.
    pub margin: SignedDuration,
    /// For the results to be published.
    pub publish: SignedDuration,
    /// For the books to be settled; they go on by themselves afterwards.
    pub books: SignedDuration,
    /// Without a word from a site for this long, the run says so.
    pub silence: SignedDuration,
    /// The longest one call may take, until its answer or its failure is there.
    pub call: SignedDuration,
    /// The longest life of a capacity hold.
    pub hold: SignedDuration,
    /// The longest life of a lease without renewal.
    pub lease: SignedDuration,
    /// The life of a data reservation that is asked for.
    pub data_hold: SignedDuration,
    /// How much two clocks may drift apart meanwhile.
    pub drift: SignedDuration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 3,
            parallel: 32,
            reserve_data: SignedDuration::from_secs(60),
            capacity: SignedDuration::from_mins(10),
            start: SignedDuration::from_secs(60),
            margin: SignedDuration::from_mins(5),
            publish: SignedDuration::from_mins(2),
            books: SignedDuration::from_secs(30),
            silence: SignedDuration::from_secs(8),
            call: SignedDuration::from_secs(5),
            hold: SignedDuration::from_secs(30),
            lease: SignedDuration::from_secs(15),
            data_hold: SignedDuration::from_secs(120),
            drift: SignedDuration::from_secs(2),
        }
    }
}

impl Policy {
    /// When nothing that a call made before `now` has started can still run: the call itself, one
    /// life of a lease, and the drift of clocks.
    pub(crate) fn fence(&self, now: Timestamp, life: Option<SignedDuration>) -> Timestamp {
        let life = life.map_or(self.lease, |life| life.max(self.lease));
        after(after(after(now, self.call), life), self.drift)
    }

    /// When a capacity hold that a call before `now` may have made has lapsed by itself.
    pub(crate) fn hold_lapses(&self, now: Timestamp) -> Timestamp {
        after(
            after(after(now, self.call), self.hold.max(self.lease)),
            self.drift,
        )
    }

    /// When a data reservation that a call before `now` may have made or renewed has lapsed by itself.
    pub(crate) fn data_lapses(&self, now: Timestamp) -> Timestamp {
        after(after(after(now, self.call), self.data_hold), self.drift)
    }
}

/// `span` after `at`; the end of time when there is no such moment.
pub(crate) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
