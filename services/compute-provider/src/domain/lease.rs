//! How long a lease lives without a word from its consumer.
//!
//! The provider asks for a renewal by handing out a challenge, and counts the lease's time from the moment it
//! asked; the consumer answers with the challenge and counts from the moment it answered. Asking comes
//! before answering, so the provider's end is never later than the consumer's, whatever the network does
//! to either message: when the consumer's time and the drift bound are over, the provider has killed the
//! job. Both count on their own monotonic clock; no wall clock takes part.

use std::time::Duration;

use oc_kernel::{Classify, Code, Kind};

/// How leases live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// A lease ends this long after the last answered challenge was handed out.
    pub time_to_live: Duration,
    /// How far two monotonic clocks may run apart, in millionths. The consumer adds it to its own wait.
    pub drift_ppm: u32,
}

impl LeaseTerms {
    /// How long a consumer waits after its last answer before it may start the next attempt.
    pub fn consumer_wait(&self) -> Duration {
        let drift = self.time_to_live.as_nanos() * u128::from(self.drift_ppm) / 1_000_000;
        self.time_to_live + Duration::from_nanos(u64::try_from(drift).unwrap_or(u64::MAX))
    }
}

/// A request for renewal, counted up within one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Challenge(pub u64);

/// The provider's watch over one lease. Times are those of one monotonic clock of this process.
#[derive(Debug, Clone)]
pub struct LeaseWatch {
    terms: LeaseTerms,
    /// Challenges that may still be answered, with the moment each was handed out.
    asked: Vec<(Challenge, Duration)>,
    next: u64,
    ends_at: Duration,
}

/// Why a renewal was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The lease's time was over.
    #[error("the lease was lost: no renewal came within {0:?}")]
    Lost(Duration),
    /// A challenge that was never handed out.
    #[error("challenge {0} was not handed out for this lease")]
    UnknownChallenge(u64),
}

impl Classify for LeaseError {
    fn kind(&self) -> Kind {
        match self {
            LeaseError::Lost(_) => Kind::Precondition,
            LeaseError::UnknownChallenge(_) => Kind::Invalid,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            LeaseError::Lost(_) => Some(Code::LeaseLost),
            LeaseError::UnknownChallenge(_) => None,
        }
    }
}

impl LeaseWatch {
    /// Challenges kept open at once; the oldest is forgotten first.
    const OPEN: usize = 8;

    /// A lease that begins `now`.
    pub fn begin(terms: LeaseTerms, now: Duration) -> Self {
        Self {
            terms,
            asked: Vec::new(),
            next: 1,
            ends_at: now + terms.time_to_live,
        }
    }

    /// Hands out a challenge.
    pub fn ask(&mut self, now: Duration) -> Challenge {
        let challenge = Challenge(self.next);
        self.next += 1;
        if self.asked.len() == Self::OPEN {
            self.asked.remove(0);
        }
        self.asked.push((challenge, now));
        challenge
    }

    /// Takes an answer. A late or repeated one never shortens the lease.
    ///
    /// # Errors
    /// When the lease was lost before, or the challenge is not one of its own.
    pub fn renew(&mut self, answer: Challenge, now: Duration) -> Result<(), LeaseError> {
        if self.lost(now) {
            return Err(LeaseError::Lost(self.terms.time_to_live));
        }
        if answer.0 == 0 || answer.0 >= self.next {
            return Err(LeaseError::UnknownChallenge(answer.0));
        }
        if let Some((_, asked_at)) = self
            .asked
            .iter()
            .find(|(challenge, _)| *challenge == answer)
        {
            self.ends_at = self.ends_at.max(*asked_at + self.terms.time_to_live);
        }
        self.asked.retain(|(challenge, _)| *challenge > answer);
        Ok(())
    }

    /// True once its time is over.
    pub fn lost(&self, now: Duration) -> bool {
        now >= self.ends_at
    }

    /// What is left of its time.
    pub fn left(&self, now: Duration) -> Duration {
        self.ends_at.saturating_sub(now)
    }

    /// The terms it lives by.
    pub fn terms(&self) -> LeaseTerms {
        self.terms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: LeaseTerms = LeaseTerms {
        time_to_live: Duration::from_secs(30),
        drift_ppm: 10_000,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_counted_from_the_asking_not_from_the_answer() {
        let mut watch = LeaseWatch::begin(TERMS, at(0));
        let challenge = watch.ask(at(5));
        watch.renew(challenge, at(25)).unwrap();
        assert!(!watch.lost(at(34)));
        assert!(watch.lost(at(35)));
    }

    #[test]
    fn an_unanswered_lease_is_lost_and_stays_lost() {
        let mut watch = LeaseWatch::begin(TERMS, at(0));
        let challenge = watch.ask(at(29));
        assert_eq!(
            watch.renew(challenge, at(30)),
            Err(LeaseError::Lost(TERMS.time_to_live))
        );
        assert!(watch.lost(at(31)));
    }

    #[test]
    fn a_challenge_that_was_never_handed_out_is_refused() {
        let mut watch = LeaseWatch::begin(TERMS, at(0));
        watch.ask(at(1));
        assert_eq!(
            watch.renew(Challenge(2), at(2)),
            Err(LeaseError::UnknownChallenge(2))
        );
        assert_eq!(
            watch.renew(Challenge(0), at(2)),
            Err(LeaseError::UnknownChallenge(0))
        );
    }

    #[test]
    fn a_repeated_or_late_answer_never_shortens_a_lease() {
        let mut watch = LeaseWatch::begin(TERMS, at(0));
        let first = watch.ask(at(1));
        let second = watch.ask(at(10));
        watch.renew(second, at(11)).unwrap();
        watch.renew(first, at(12)).unwrap();
        assert_eq!(watch.left(at(12)), at(28));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Messages are lost and delayed at will and clocks drift within the bound: the consumer that waits as
        /// it must never starts the next attempt while the provider lets the old one run.
        #[test]
        fn the_provider_kills_before_the_consumer_starts_again(
            delays in prop::collection::vec((0_u64..40_000, 0_u64..40_000, any::<bool>(), any::<bool>()), 1..12),
            skew in -1_000_i64..1_000,
            drift in -9_000_i64..9_000,
        ) {
            // True time in ms; the provider's clock is true time, the consumer's runs at 1 + drift.
            let consumer_clock = |t: u64| {
                let t = i64::try_from(t).unwrap();
                u64::try_from(t + t * drift / 1_000_000 + skew + 1_000_000).unwrap()
            };
            let ms = Duration::from_millis;
            let mut watch = LeaseWatch::begin(TERMS, ms(0));
            let mut last_answer = consumer_clock(0);
            let mut now = 0;
            for (there, back, ask_lost, answer_lost) in delays {
                if watch.lost(ms(now)) {
                    break;
                }
                let challenge = watch.ask(ms(now));
                let answered = now + there;
                if !ask_lost {
                    last_answer = consumer_clock(answered);
                    if !answer_lost {
                        let _ = watch.renew(challenge, ms(answered + back));
                    }
                }
                now = answered + back;
            }
            let killed_at = now + u64::try_from(watch.left(ms(now)).as_millis()).unwrap();
            let killed_at = if watch.lost(ms(now)) { watch.ends_at.as_millis() } else { u128::from(killed_at) };
            let wait = u64::try_from(TERMS.consumer_wait().as_millis()).unwrap();
            prop_assert!(
                u128::from(consumer_clock(u64::try_from(killed_at).unwrap())) <= u128::from(last_answer + wait),
                "killed at {killed_at}, last answer {last_answer}"
            );
        }
    }
}
