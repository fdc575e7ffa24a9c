//! What stands in a ledger, for those who ask.

use jiff::Timestamp;
use oc_kernel::{GrantId, LeaseId, Name, ReservationId};

use super::{Account, Answer, Ended, Hold, Lease, Ledger};
use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::resources::{Capacity, Taken};

impl Ledger {
    /// The offer this is the ledger of.
    pub fn offer(&self) -> &Name {
        &self.offer
    }

    /// What the offer has.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// What is held or running at `now`.
    pub fn taken(&self, now: Timestamp) -> Taken {
        let held = self.holds.values().filter(|hold| hold.expires_at > now);
        Taken::sum(
            held.map(|hold| &hold.demand.resources)
                .chain(self.leases.values().map(|lease| &lease.demand.resources)),
        )
    }

    /// The leases, oldest first.
    pub fn leases(&self) -> impl Iterator<Item = (&LeaseId, &Lease)> {
        self.leases.iter()
    }

    /// The holds, oldest first; some may be past their end.
    pub fn holds(&self) -> impl Iterator<Item = (&ReservationId, &Hold)> {
        self.holds.iter()
    }

    /// One lease.
    pub fn lease(&self, id: &LeaseId) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// The lease of an attempt.
    pub fn lease_of(&self, attempt: &AttemptKey) -> Option<(&LeaseId, &Lease)> {
        self.leases
            .iter()
            .find(|(_, lease)| lease.attempt == *attempt)
    }

    /// What a grant has used of this offer.
    pub fn account(&self, grant: &GrantId) -> Option<&Account> {
        self.accounts.get(grant)
    }

    /// What a grant has used and what its holds and leases may still use.
    pub fn committed(&self, grant: &GrantId, now: Timestamp) -> Account {
        let mut sum = self.accounts.get(grant).cloned().unwrap_or_default();
        let held = self.holds.values().filter(|hold| hold.expires_at > now);
        let demands = held
            .filter(|hold| hold.under.is(grant))
            .map(|hold| &hold.demand)
            .chain(
                self.leases
                    .values()
                    .filter(|lease| lease.under.is(grant))
                    .map(|lease| &lease.demand),
            );
        for demand in demands {
            sum.core_ms = sum.core_ms.saturating_add(demand.core_ms());
            sum.fragments += 1;
        }
        sum
    }

    /// The answer an operation got, where it is still kept here.
    pub fn answer(&self, key: &OperationKey) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// Attempts that ended and were not moved out yet.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Answers that were not moved out yet.
    pub fn answers(&self) -> impl Iterator<Item = (&OperationKey, &Answer)> {
        self.answers.iter()
    }

    /// True when settled entries must move out before anything else is taken in.
    pub fn must_move(&self) -> bool {
        self.answers.len() + self.ended.len() >= Self::MOST_SETTLED
    }
}
