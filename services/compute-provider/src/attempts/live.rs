//! What this process knows of the attempts it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use oc_kernel::AttemptId;

use crate::domain::attempt::AttemptKey;
use crate::domain::runtime::Phase;

/// The attempts whose events are being taken down.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<BTreeMap<AttemptKey, Running>>);

#[derive(Debug)]
struct Running {
    /// When its cores were taken.
    since: Instant,
    /// When nothing of it was left, once that is so.
    until: Option<Instant>,
    phase: Phase,
    /// One output at a time is announced.
    announcing: Arc<tokio::sync::Mutex<()>>,
}

impl Live {
    /// An attempt is being started.
    pub(crate) fn begin(&self, attempt: AttemptKey) {
        let running = Running {
            since: Instant::now(),
            until: None,
            phase: Phase::Staging,
            announcing: Arc::default(),
        };
        self.lock().insert(attempt, running);
    }

    /// Its runner went on.
    pub(crate) fn enter(&self, attempt: &AttemptKey, phase: Phase) {
        if let Some(running) = self.lock().get_mut(attempt) {
            running.phase = phase;
        }
    }

    /// Its last event was taken down.
    pub(crate) fn stop(&self, attempt: &AttemptKey) {
        if let Some(running) = self.lock().get_mut(attempt) {
            running.until.get_or_insert_with(Instant::now);
        }
    }

    /// It is settled.
    pub(crate) fn forget(&self, attempt: &AttemptKey) {
        self.lock().remove(attempt);
    }

    /// Its part, while it runs.
    pub(crate) fn phase(&self, attempt: &AttemptKey) -> Option<Phase> {
        self.lock().get(attempt).map(|running| running.phase)
    }

    /// How long its cores were held, in ms; none where another process held them.
    pub(crate) fn held_ms(&self, attempt: &AttemptKey) -> Option<u64> {
        let live = self.lock();
        let running = live.get(attempt)?;
        let until = running.until.unwrap_or_else(Instant::now);
        u64::try_from(until.duration_since(running.since).as_millis()).ok()
    }

    /// The attempts whose events still come.
    pub(crate) fn heard(&self) -> BTreeSet<AttemptKey> {
        let live = self.lock();
        live.iter()
            .filter(|(_, running)| running.until.is_none())
            .map(|(key, _)| *key)
            .collect()
    }

    /// The full key of an attempt that runs.
    pub(crate) fn find(&self, attempt: &AttemptId) -> Option<AttemptKey> {
        self.lock()
            .keys()
            .find(|key| key.attempt == *attempt)
            .copied()
    }

    /// What keeps announcements of one attempt apart.
    pub(crate) fn announcing(&self, attempt: &AttemptKey) -> Option<Arc<tokio::sync::Mutex<()>>> {
        self.lock()
            .get(attempt)
            .map(|running| running.announcing.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
