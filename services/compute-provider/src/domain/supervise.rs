//! Keeps jobs and processes the same: what must be done so that every lease has its job running and
//! nothing runs without a lease. Called again and again, after every change and after a restart; it
//! remembers nothing itself.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oc_kernel::LeaseId;

use super::attempt::AttemptKey;
use super::ledger::{JobState, Ledger, StopCause};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hand the job to the runtime.
    Start {
        /// Its lease.
        lease: LeaseId,
        /// Its attempt.
        attempt: AttemptKey,
    },
    /// Mark the lease as stopping; the kill follows from that.
    Mark {
        /// The lease.
        lease: LeaseId,
        /// Why.
        cause: StopCause,
    },
    /// Kill what runs.
    Kill {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// Nothing of the job is left: settle its lease.
    Settle {
        /// Its lease.
        lease: LeaseId,
        /// Its attempt.
        attempt: AttemptKey,
    },
}

/// What must be done now, given what `running` says about attempts that run for any offer.
/// `orphans` are killed too: attempts that run while no ledger of this node has a lease for them.
pub fn supervise(ledger: &Ledger, running: &BTreeSet<AttemptKey>, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    for (id, lease) in ledger.leases() {
        let (lease_id, attempt) = (*id, lease.attempt);
        match (lease.job.state, running.contains(&attempt)) {
            (JobState::Queued, _) => actions.push(Action::Start {
                lease: lease_id,
                attempt,
            }),
            (JobState::Running { since }, true) => {
                let ran = now.duration_since(since).as_millis();
                if ran > i128::from(lease.demand.wall_ms) {
                    actions.push(Action::Mark {
                        lease: lease_id,
                        cause: StopCause::WallLimit,
                    });
                }
            }
            (JobState::Stopping { .. }, true) => actions.push(Action::Kill { attempt }),
            (JobState::Running { .. } | JobState::Stopping { .. }, false) => {
                actions.push(Action::Settle {
                    lease: lease_id,
                    attempt,
                });
            }
        }
    }
    actions
}

/// The attempts that run although none of `ledgers` has a lease for them.
pub fn orphans<'a>(
    ledgers: impl IntoIterator<Item = &'a Ledger>,
    running: &BTreeSet<AttemptKey>,
) -> Vec<AttemptKey> {
    let mut left = running.clone();
    for ledger in ledgers {
        for (_, lease) in ledger.leases() {
            left.remove(&lease.attempt);
        }
    }
    left.into_iter().collect()
}
