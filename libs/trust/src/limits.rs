//! What somebody may use at most. The same numbers bound a grant, a listing in it and a delegation, so
//! that one comparison says whether one fits into the other.

use serde::{Deserialize, Serialize};

/// Upper bounds. Zero means none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Processor cores at a time.
    pub cores: u32,
    /// Memory at a time, in bytes.
    pub memory_bytes: u64,
    /// Fragments at a time.
    pub fragments: u32,
    /// Core-seconds over the whole time.
    pub core_seconds: u64,
    /// What leaves as outputs over the whole time, in bytes.
    pub egress_bytes: u64,
    /// What is stored at a time, in bytes.
    pub storage_bytes: u64,
    /// How long one attempt may run, in seconds.
    pub run_wall_seconds: u64,
}

/// One number over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} {what} asked for, {limit} allowed")]
pub struct OverLimit {
    /// What the numbers count.
    pub what: &'static str,
    /// What is asked for.
    pub asked: u64,
    /// What is allowed.
    pub limit: u64,
}

impl Limits {
    fn each(&self) -> [(&'static str, u64); 7] {
        [
            ("cores", u64::from(self.cores)),
            ("bytes of memory", self.memory_bytes),
            ("fragments at a time", u64::from(self.fragments)),
            ("core-seconds", self.core_seconds),
            ("bytes out", self.egress_bytes),
            ("bytes of storage", self.storage_bytes),
            ("seconds of running", self.run_wall_seconds),
        ]
    }

    /// Checks that none of these exceeds its counterpart in `outer`.
    ///
    /// # Errors
    /// The first number that does.
    pub fn within(&self, outer: &Limits) -> Result<(), OverLimit> {
        for ((what, asked), (_, limit)) in self.each().into_iter().zip(outer.each()) {
            if asked > limit {
                return Err(OverLimit { what, asked, limit });
            }
        }
        Ok(())
    }

    /// The smaller of each pair of numbers.
    #[must_use]
    pub fn meet(&self, other: &Limits) -> Limits {
        Limits {
            cores: self.cores.min(other.cores),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            fragments: self.fragments.min(other.fragments),
            core_seconds: self.core_seconds.min(other.core_seconds),
            egress_bytes: self.egress_bytes.min(other.egress_bytes),
            storage_bytes: self.storage_bytes.min(other.storage_bytes),
            run_wall_seconds: self.run_wall_seconds.min(other.run_wall_seconds),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_limits() -> impl Strategy<Value = Limits> {
        (
            0..8u32,
            0..8u64,
            0..8u32,
            0..8u64,
            0..8u64,
            0..8u64,
            0..8u64,
        )
            .prop_map(
                |(cores, memory, fragments, core_seconds, egress, storage, wall)| Limits {
                    cores,
                    memory_bytes: memory,
                    fragments,
                    core_seconds,
                    egress_bytes: egress,
                    storage_bytes: storage,
                    run_wall_seconds: wall,
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_meet_is_within_both_and_nothing_larger_is(a in any_limits(), b in any_limits()) {
            let meet = a.meet(&b);
            prop_assert_eq!(meet.within(&a), Ok(()));
            prop_assert_eq!(meet.within(&b), Ok(()));
            let both = a.within(&meet).is_ok() && b.within(&meet).is_ok();
            prop_assert_eq!(both, a == b);
        }
    }

    #[test]
    fn what_is_over_is_named_with_both_numbers() {
        let allowed = Limits {
            cores: 4,
            ..Limits::default()
        };
        let asked = Limits {
            cores: 8,
            ..Limits::default()
        };
        let over = asked.within(&allowed).unwrap_err();
        assert_eq!(over.to_string(), "8 cores asked for, 4 allowed");
    }
}
