//! Capacity as one document per compute offer: who holds it, who runs in it, and what was answered.
//!
//! Every change is a [`Command`] applied to the whole document, so that one conditional write makes it
//! durable and no two writers ever give away the same core. A lease carries its job as a field, which is
//! why neither exists without the other. What is settled moves to documents of its own, so the document
//! stays small. It knows no store, no clock and no runtime.

mod command;
mod entry;
mod error;
mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::{Digest, GrantId, LeaseId, Name, ReservationId};
use oc_trust::Limits;
use serde::{Deserialize, Serialize};

pub use command::{Command, Outcome, Reserve, Settle, Submit, Terms};
pub(super) use entry::pairs;
pub use entry::{
    Account, Answer, Demand, Ended, EndedState, Hold, Job, JobState, Lease, StopCause, Under,
};
pub use error::LedgerError;

use super::attempt::{AttemptKey, OperationKey};
use super::resources::{Amount, Capacity};

/// The capacity of one offer. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    offer: Name,
    capacity: Capacity,
    closed: bool,
    #[serde(with = "entry::pairs")]
    holds: BTreeMap<ReservationId, Hold>,
    #[serde(with = "entry::pairs")]
    leases: BTreeMap<LeaseId, Lease>,
    #[serde(with = "entry::pairs")]
    accounts: BTreeMap<GrantId, Account>,
    #[serde(with = "entry::pairs")]
    answers: BTreeMap<OperationKey, Answer>,
    ended: Vec<Ended>,
}

impl Ledger {
    /// The longest a hold may last.
    pub const LONGEST_HOLD: std::time::Duration = std::time::Duration::from_secs(60);
    /// Most fragments side by side in one offer; it bounds the document.
    pub const MOST_FRAGMENTS: u32 = 1024;
    /// Settled entries kept before they must move out.
    pub const MOST_SETTLED: usize = 128;

    /// A ledger with nothing held.
    pub fn new(offer: Name, capacity: Capacity) -> Self {
        Self {
            offer,
            capacity,
            closed: false,
            holds: BTreeMap::new(),
            leases: BTreeMap::new(),
            accounts: BTreeMap::new(),
            answers: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// Applies one command. Holds past their end are dropped first; besides that a refused command
    /// changes nothing.
    ///
    /// # Errors
    /// When a limit is reached or the command does not fit the state.
    pub fn apply(&mut self, command: Command, now: Timestamp) -> Result<Outcome, LedgerError> {
        self.holds.retain(|_, hold| hold.expires_at > now);
        match command {
            Command::Reserve(reserve) => self.reserve(reserve, now),
            Command::Submit(submit) => self.submit(submit, now),
            Command::Release { key, body } => self.release(key, body, now),
            Command::Started { lease } => self.started(lease, now),
            Command::Stop { lease, cause } => Ok(self.stop(lease, cause, now)),
            Command::Settle(settle) => Ok(self.settle(settle, now)),
            Command::Raise {
                grant,
                generation,
                cause,
            } => Ok(self.raise(grant, generation, cause, now)),
            Command::Resize { capacity } => self.resize(capacity, now),
            Command::Close { closed } => {
                self.closed = closed;
                Ok(Outcome::Done)
            }
            Command::Expire => Ok(Outcome::Done),
            Command::Moved { answers, ended } => {
                self.answers.retain(|key, _| !answers.contains(key));
                self.ended.retain(|one| !ended.contains(&one.lease));
                Ok(Outcome::Done)
            }
            Command::Forget { grant } => self.forget(grant),
        }
    }

    fn reserve(&mut self, reserve: Reserve, now: Timestamp) -> Result<Outcome, LedgerError> {
        if let Some(outcome) = self.replayed(&reserve.key, &reserve.body)? {
            return Ok(outcome);
        }
        let attempt = reserve.key.attempt;
        if self.closed {
            return Err(LedgerError::Withdrawn {
                offer: self.offer.clone(),
            });
        }
        if self.has(&attempt) {
            return Err(LedgerError::AttemptTaken { attempt });
        }
        let under = self.check_terms(reserve.terms.as_ref(), &reserve.demand, now)?;
        self.check_capacity(&reserve.demand, now)?;
        let hold_for = reserve.hold_for.min(Self::LONGEST_HOLD);
        let hold = Hold {
            attempt,
            under,
            demand: reserve.demand,
            expires_at: now.checked_add(hold_for).unwrap_or(Timestamp::MAX),
        };
        let outcome = Outcome::Held {
            reservation: reserve.reservation,
            expires_at: hold.expires_at,
        };
        self.keep(reserve.key, reserve.body, under, &outcome);
        self.holds.insert(reserve.reservation, hold);
        Ok(outcome)
    }

    fn submit(&mut self, submit: Submit, now: Timestamp) -> Result<Outcome, LedgerError> {
        if let Some(outcome) = self.replayed(&submit.key, &submit.body)? {
            return Ok(outcome);
        }
        let unknown = || LedgerError::NoReservation {
            reservation: submit.reservation,
        };
        let hold = self
            .holds
            .get(&submit.reservation)
            .filter(|hold| hold.attempt == submit.key.attempt)
            .ok_or_else(unknown)?;
        self.check_generation(&hold.under)?;
        let hold = self.holds.remove(&submit.reservation).ok_or_else(unknown)?;
        let outcome = Outcome::Leased {
            lease: submit.lease,
        };
        self.keep(submit.key, submit.body, hold.under, &outcome);
        self.leases.insert(
            submit.lease,
            Lease {
                attempt: hold.attempt,
                under: hold.under,
                demand: hold.demand,
                submitted_at: now,
                job: Job {
                    payload: submit.payload,
                    state: JobState::Queued,
                },
            },
        );
        Ok(outcome)
    }

    fn release(
        &mut self,
        key: OperationKey,
        body: Digest,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        if let Some(outcome) = self.replayed(&key, &body)? {
            return Ok(outcome);
        }
        let attempt = key.attempt;
        let lease = self
            .lease_of(&attempt)
            .map(|(id, lease)| (*id, lease.under));
        let hold = self.holds.iter().find(|(_, hold)| hold.attempt == attempt);
        let hold = hold.map(|(id, hold)| (*id, hold.under));
        // An attempt that was never here leaves no trace, so that strangers cannot fill the document.
        let Some(under) = lease
            .map(|(_, under)| under)
            .or(hold.map(|(_, under)| under))
        else {
            return Ok(Outcome::Released);
        };
        if let Some((reservation, _)) = hold {
            self.holds.remove(&reservation);
        }
        if let Some((lease, _)) = lease {
            self.stop(lease, StopCause::Released, now);
        }
        self.keep(key, body, under, &Outcome::Released);
        Ok(Outcome::Released)
    }

    fn started(&mut self, lease: LeaseId, now: Timestamp) -> Result<Outcome, LedgerError> {
        let entry = self
            .leases
            .get_mut(&lease)
            .ok_or(LedgerError::NoLease { lease })?;
        match entry.job.state {
            JobState::Queued => entry.job.state = JobState::Running { since: now },
            JobState::Running { .. } => {}
            JobState::Stopping { cause, .. } => return Err(LedgerError::Stopping { lease, cause }),
        }
        Ok(Outcome::Done)
    }

    fn stop(&mut self, lease: LeaseId, cause: StopCause, now: Timestamp) -> Outcome {
        if let Some(entry) = self.leases.get_mut(&lease) {
            let started = match entry.job.state {
                JobState::Queued => None,
                JobState::Running { since } => Some(since),
                JobState::Stopping { .. } => return Outcome::Done,
            };
            entry.job.state = JobState::Stopping {
                cause,
                since: now,
                started,
            };
        }
        Outcome::Done
    }

    /// Ends a lease. A second report of the same end finds no lease and changes nothing.
    fn settle(&mut self, settle: Settle, now: Timestamp) -> Outcome {
        let Some(lease) = self.leases.remove(&settle.lease) else {
            return Outcome::Done;
        };
        if let Under::Grant { grant, .. } = lease.under {
            let account = self.accounts.entry(grant).or_default();
            account.core_ms = account.core_ms.saturating_add(settle.core_ms);
        }
        let (started_at, stopped) = match lease.job.state {
            JobState::Queued => (None, None),
            JobState::Running { since } => (Some(since), None),
            JobState::Stopping { cause, started, .. } => (started, Some(cause)),
        };
        self.ended.push(Ended {
            lease: settle.lease,
            attempt: lease.attempt,
            under: lease.under,
            submitted_at: lease.submitted_at,
            started_at,
            ended_at: now,
            state: stopped.map_or(settle.state, EndedState::Stopped),
            core_ms: settle.core_ms,
        });
        Outcome::Done
    }

    /// Raises a grant's generation: what was held or started under an older one ends.
    fn raise(
        &mut self,
        grant: GrantId,
        generation: u64,
        cause: StopCause,
        now: Timestamp,
    ) -> Outcome {
        let account = self.accounts.entry(grant).or_default();
        account.generation = account.generation.max(generation);
        let older = |under: &Under| under.is(&grant) && under.generation() < generation;
        self.holds.retain(|_, hold| !older(&hold.under));
        let leases: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, l)| older(&l.under))
            .map(|(id, _)| *id)
            .collect();
        for lease in &leases {
            self.stop(*lease, cause, now);
        }
        Outcome::Done
    }

    fn resize(&mut self, capacity: Capacity, now: Timestamp) -> Result<Outcome, LedgerError> {
        if let Some((amount, taken, limit)) = self.taken(now).shortage(&capacity) {
            return Err(LedgerError::InUse {
                amount,
                taken,
                limit,
            });
        }
        self.capacity = capacity;
        Ok(Outcome::Done)
    }

    fn forget(&mut self, grant: GrantId) -> Result<Outcome, LedgerError> {
        let used = self.holds.values().any(|hold| hold.under.is(&grant))
            || self.leases.values().any(|lease| lease.under.is(&grant))
            || self.answers.values().any(|answer| answer.under.is(&grant))
            || self.ended.iter().any(|ended| ended.under.is(&grant));
        if used {
            return Err(LedgerError::GrantInUse { grant });
        }
        self.accounts.remove(&grant);
        Ok(Outcome::Done)
    }

    /// The answer given before, when the same request comes again.
    fn replayed(&self, key: &OperationKey, body: &Digest) -> Result<Option<Outcome>, LedgerError> {
        match self.answers.get(key) {
            None => Ok(None),
            Some(answer) => answer.repeat(key, body).map(Some),
        }
    }

    fn has(&self, attempt: &AttemptKey) -> bool {
        self.lease_of(attempt).is_some() || self.holds.values().any(|h| h.attempt == *attempt)
    }

    fn check_generation(&self, under: &Under) -> Result<(), LedgerError> {
        let Under::Grant { grant, generation } = *under else {
            return Ok(());
        };
        let current = self
            .accounts
            .get(&grant)
            .map_or(0, |account| account.generation);
        if generation < current {
            return Err(LedgerError::OldGeneration {
                grant,
                presented: generation,
                current,
            });
        }
        Ok(())
    }

    fn check_terms(
        &self,
        terms: Option<&Terms>,
        demand: &Demand,
        now: Timestamp,
    ) -> Result<Under, LedgerError> {
        let Some(terms) = terms else {
            return Ok(Under::Own);
        };
        let grant = terms.grant;
        let under = Under::Grant {
            grant,
            generation: terms.generation,
        };
        self.check_generation(&under)?;
        let used = self.committed(&grant, now);
        let spent = self.accounts.get(&grant);
        let spent_ms = spent.map_or(0, |account| account.core_ms);
        let limits: &Limits = &terms.limits;
        let core_ms = limits.core_seconds.saturating_mul(1000);
        let totals = [
            (
                Amount::Fragments,
                1,
                u64::from(used.fragments),
                0,
                u64::from(limits.fragments),
            ),
            (
                Amount::CoreMs,
                demand.core_ms(),
                used.core_ms,
                spent_ms,
                core_ms,
            ),
        ];
        for (amount, asked, used, spent, limit) in totals {
            if used.saturating_add(asked) > limit {
                return Err(LedgerError::OverLimit {
                    grant,
                    amount,
                    asked,
                    used,
                    spent,
                    limit,
                });
            }
        }
        Ok(under)
    }

    fn check_capacity(&self, demand: &Demand, now: Timestamp) -> Result<(), LedgerError> {
        let taken = self.taken(now);
        let mut with = taken;
        with.cores += u64::from(demand.resources.cores);
        with.memory_bytes = with
            .memory_bytes
            .saturating_add(demand.resources.memory_bytes);
        with.fragments += 1;
        let Some((amount, wanted, limit)) = with.shortage(&self.capacity) else {
            return Ok(());
        };
        let taken = taken.of(amount);
        Err(LedgerError::Full {
            offer: self.offer.clone(),
            amount,
            asked: wanted - taken,
            taken,
            limit,
        })
    }

    fn keep(&mut self, key: OperationKey, body: Digest, under: Under, outcome: &Outcome) {
        self.answers.insert(
            key,
            Answer {
                body,
                under,
                outcome: outcome.clone(),
            },
        );
    }
}
