//! The small budget of calls that all strangers of a network share.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const BURST: f64 = 32.0;
const PER_SECOND: f64 = 4.0;

/// A bucket of tokens. One for all strangers: a new PeerId costs nothing, so one for each would bound nothing.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<(f64, Instant)>);

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new((BURST, now)))
    }

    /// Takes one token; false when there is none.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = &mut *bucket;
        let earned = now.saturating_duration_since(*at).as_secs_f64() * PER_SECOND;
        *tokens = (*tokens + earned).min(BURST);
        *at = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn strangers_use_up_their_budget_and_get_it_back_slowly() {
        let start = Instant::now();
        let budget = Budget::new(start);
        let taken = (0..100).filter(|_| budget.take(start)).count();
        assert_eq!(taken, 32);
        let later = start + Duration::from_secs(2);
        let taken = (0..100).filter(|_| budget.take(later)).count();
        assert_eq!(taken, 8);
    }
}
