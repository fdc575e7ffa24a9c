//! What leaves this organisation under one grant: outputs, lines of log, objects that are read. One document
//! a grant, counted before the bytes go, because limits of a grant hold over all its listings.

use std::collections::BTreeMap;

use oc_kernel::{AttemptId, Classify, Code, GrantId, Kind};
use serde::{Deserialize, Serialize};

/// Bytes that may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressLimits {
    /// Through one attempt.
    pub attempt: u64,
    /// Under the grant, over its whole life.
    pub grant: u64,
}

/// What has left under one grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// The grant.
    pub grant: GrantId,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes of attempts that still run.
    pub attempts: BTreeMap<AttemptId, u64>,
}

/// The bytes may not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{of} allows {limit} bytes to leave: {used} have left, {asked} more were asked")]
pub struct OverEgress {
    /// `grant <id>` or `the delegation of attempt <id>`.
    pub of: String,
    /// The limit in bytes.
    pub limit: u64,
    /// What has left in bytes.
    pub used: u64,
    /// What was asked in bytes.
    pub asked: u64,
}

impl Classify for OverEgress {
    fn kind(&self) -> Kind {
        Kind::Exhausted
    }

    fn code(&self) -> Option<Code> {
        Some(Code::OverLimit)
    }
}

impl Egress {
    /// Nothing has left.
    pub fn new(grant: GrantId) -> Self {
        Self {
            grant,
            bytes: 0,
            attempts: BTreeMap::new(),
        }
    }

    /// Counts bytes that are about to leave; through an attempt where one is named.
    ///
    /// # Errors
    /// When they are above a limit; then nothing is counted.
    pub fn take(
        &mut self,
        attempt: Option<AttemptId>,
        bytes: u64,
        limits: &EgressLimits,
    ) -> Result<(), OverEgress> {
        let over = |of: String, used: u64, limit: u64| {
            let over = used.saturating_add(bytes) > limit;
            over.then_some(OverEgress {
                of,
                limit,
                used,
                asked: bytes,
            })
        };
        let of_attempt = attempt
            .and_then(|id| self.attempts.get(&id))
            .copied()
            .unwrap_or(0);
        if let Some(attempt) = attempt
            && let Some(refusal) = over(
                format!("the delegation of attempt {attempt}"),
                of_attempt,
                limits.attempt,
            )
        {
            return Err(refusal);
        }
        if let Some(refusal) = over(format!("grant {}", self.grant), self.bytes, limits.grant) {
            return Err(refusal);
        }
        self.bytes += bytes;
        if let Some(attempt) = attempt {
            self.attempts.insert(attempt, of_attempt + bytes);
        }
        Ok(())
    }

    /// An attempt has ended: nothing leaves through it any more.
    pub fn close(&mut self, attempt: &AttemptId) {
        self.attempts.remove(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: EgressLimits = EgressLimits {
        attempt: 1000,
        grant: 1500,
    };

    #[test]
    fn bytes_are_counted_for_the_attempt_and_for_the_grant() {
        let mut egress = Egress::new(GrantId::new());
        let (first, second) = (AttemptId::new(), AttemptId::new());
        egress.take(Some(first), 1000, &LIMITS).unwrap();
        let refused = egress.take(Some(first), 1, &LIMITS).unwrap_err();
        assert_eq!(
            (refused.limit, refused.used, refused.asked),
            (1000, 1000, 1)
        );
        let refused = egress.take(Some(second), 501, &LIMITS).unwrap_err();
        assert_eq!(
            (refused.limit, refused.used, refused.asked),
            (1500, 1000, 501)
        );
        egress.take(None, 500, &LIMITS).unwrap();
        assert_eq!(egress.bytes, 1500);
    }

    #[test]
    fn what_an_ended_attempt_sent_still_counts_for_its_grant() {
        let mut egress = Egress::new(GrantId::new());
        let attempt = AttemptId::new();
        egress.take(Some(attempt), 10, &LIMITS).unwrap();
        egress.close(&attempt);
        assert_eq!((egress.bytes, egress.attempts.len()), (10, 0));
    }
}
