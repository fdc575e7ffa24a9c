//! Time is a parameter, so that tests can set it and a shifted clock can be played.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

/// Wall time. Durations that fence or expire inside one process use a monotonic clock instead.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The current wall time.
    fn now(&self) -> Timestamp;

    /// Milliseconds since the epoch; zero for times before it.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or(0)
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// A clock that stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.lock();
        *now = now.checked_add(by).unwrap_or(Timestamp::MAX);
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, at: Timestamp) {
        *self.lock() = at;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = FixedClock::new(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now_ms(), 0);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now_ms(), 1500);
    }
}
