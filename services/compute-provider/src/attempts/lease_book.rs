//! The watches over all leases of this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oc_kernel::LeaseId;

use crate::domain::lease::{Challenge, LeaseError, LeaseTerms, LeaseWatch};

/// Which lease lives how long. Nothing of it outlives the process: neither does what runs in the leases.
#[derive(Debug, Default)]
pub(crate) struct LeaseBook(Mutex<BTreeMap<LeaseId, LeaseWatch>>);

impl LeaseBook {
    /// Begins to watch a lease, and hands out a challenge. One that is watched already goes on.
    pub(crate) fn begin(&self, lease: LeaseId, terms: LeaseTerms, now: Duration) -> Challenge {
        let mut book = self.lock();
        book.entry(lease)
            .or_insert_with(|| LeaseWatch::begin(terms, now))
            .ask(now)
    }

    /// Takes an answer and hands out the next challenge; none for a lease that is not watched.
    pub(crate) fn renew(
        &self,
        lease: &LeaseId,
        answer: Challenge,
        now: Duration,
    ) -> Option<Result<Challenge, LeaseError>> {
        let mut book = self.lock();
        let watch = book.get_mut(lease)?;
        Some(watch.renew(answer, now).map(|()| watch.ask(now)))
    }

    /// True while a lease is watched and not lost.
    pub(crate) fn alive(&self, lease: &LeaseId, now: Duration) -> bool {
        self.lock().get(lease).is_some_and(|watch| !watch.lost(now))
    }

    /// The leases whose time is over.
    pub(crate) fn lost(&self, now: Duration) -> Vec<LeaseId> {
        let book = self.lock();
        book.iter()
            .filter(|(_, watch)| watch.lost(now))
            .map(|(lease, _)| *lease)
            .collect()
    }

    /// Forgets a lease that has ended.
    pub(crate) fn end(&self, lease: &LeaseId) {
        self.lock().remove(lease);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseId, LeaseWatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
