//! Amounts of machine: what one fragment takes and what an offer has.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one fragment takes while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Whole processor cores.
    pub cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl Resources {
    /// Cores times milliseconds: the most they can do in `wall`.
    pub fn core_ms(&self, wall: Duration) -> u64 {
        let ms = u128::from(self.cores) * wall.as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX)
    }
}

/// What an offer has for all fragments together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Whole processor cores.
    pub cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Fragments side by side, held or running.
    pub fragments: u32,
}

/// Capacity that is held or running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Whole processor cores.
    pub cores: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Fragments.
    pub fragments: u64,
}

impl Taken {
    /// The sum of what each fragment takes.
    pub fn sum<'a>(each: impl IntoIterator<Item = &'a Resources>) -> Self {
        each.into_iter().fold(Self::default(), |sum, one| Self {
            cores: sum.cores + u64::from(one.cores),
            memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
            fragments: sum.fragments + 1,
        })
    }

    /// How much of one amount is taken; zero for amounts that are not capacity.
    pub fn of(&self, amount: Amount) -> u64 {
        match amount {
            Amount::Cores => self.cores,
            Amount::MemoryBytes => self.memory_bytes,
            Amount::Fragments => self.fragments,
            _ => 0,
        }
    }

    /// True when none of it is above `capacity`.
    pub fn fits(&self, capacity: &Capacity) -> bool {
        self.shortage(capacity).is_none()
    }

    /// The first amount that is above `capacity`: its name, what is taken, and what there is.
    pub fn shortage(&self, capacity: &Capacity) -> Option<(Amount, u64, u64)> {
        [
            (Amount::Cores, self.cores, u64::from(capacity.cores)),
            (
                Amount::MemoryBytes,
                self.memory_bytes,
                capacity.memory_bytes,
            ),
            (
                Amount::Fragments,
                self.fragments,
                u64::from(capacity.fragments),
            ),
        ]
        .into_iter()
        .find(|(_, taken, limit)| taken > limit)
    }
}

/// The name of an amount that has a limit; its text is what a person reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// Whole processor cores.
    Cores,
    /// Bytes of memory.
    MemoryBytes,
    /// Fragments side by side.
    Fragments,
    /// Seconds of wall time of one fragment.
    WallSeconds,
    /// Core milliseconds over the life of a grant.
    CoreMs,
    /// Bytes that leave over the life of a grant.
    EgressBytes,
    /// Bytes stored.
    StoredBytes,
    /// Bytes of one object.
    ObjectBytes,
    /// Uploads that are announced and not finished.
    OpenUploads,
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Amount::Cores => "cores",
            Amount::MemoryBytes => "bytes of memory",
            Amount::Fragments => "fragments at once",
            Amount::WallSeconds => "seconds",
            Amount::CoreMs => "core milliseconds",
            Amount::EgressBytes => "bytes leaving",
            Amount::StoredBytes => "bytes stored",
            Amount::ObjectBytes => "bytes an object",
            Amount::OpenUploads => "open uploads",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_names_the_amount_and_both_numbers() {
        let capacity = Capacity {
            cores: 2,
            memory_bytes: 100,
            fragments: 4,
        };
        let one = Resources {
            cores: 2,
            memory_bytes: 10,
        };
        assert!(Taken::sum([&one]).fits(&capacity));
        assert_eq!(
            Taken::sum([&one, &one]).shortage(&capacity),
            Some((Amount::Cores, 4, 2))
        );
    }

    #[test]
    fn a_budget_counts_cores_times_time() {
        let two = Resources {
            cores: 2,
            memory_bytes: 0,
        };
        assert_eq!(two.core_ms(Duration::from_secs(10)), 20_000);
    }
}
