//! Limits of a grant, as options of a command.

use clap::Args;
use oc_proto::types::v1::Limits;

use super::{size, when};

/// What stands for limits that are not given where nobody asked for others.
macro_rules! modest {
    () => {
        "Limits that are not given: 1 core, 1GiB of memory, 1 fragment of up to 1h, 10 core-hours, 10GiB out, 10GiB stored."
    };
}
pub(crate) use modest;

/// Wall time that a request asks for where none is given, in seconds: half of what a rule approves where none is given.
const ASKED_WALL: u64 = 1800;

/// Limits of a grant: as asked for, as approved, or the most that a rule approves.
#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// Cores at the same time
    #[arg(long)]
    cores: Option<u32>,
    /// Memory at the same time, such as 4GiB
    #[arg(long, value_parser = size::parse)]
    memory: Option<u64>,
    /// Fragments at the same time
    #[arg(long)]
    fragments: Option<u32>,
    /// Wall time of one fragment, such as 30m
    #[arg(long, value_parser = when::parse_span)]
    wall: Option<u64>,
    /// Core-hours in all
    #[arg(long)]
    core_hours: Option<u64>,
    /// Bytes that may leave in all, such as 50GiB
    #[arg(long, value_parser = size::parse)]
    egress: Option<u64>,
    /// Bytes that may be stored, such as 50GiB
    #[arg(long, value_parser = size::parse)]
    storage: Option<u64>,
}

impl LimitArguments {
    pub(crate) fn or_modest(&self) -> Limits {
        Limits {
            cores: self.cores.unwrap_or(1),
            memory_bytes: self.memory.unwrap_or(1 << 30),
            concurrent_fragments: self.fragments.unwrap_or(1),
            wall_seconds: self.wall.unwrap_or(3600),
            core_seconds: self.core_hours.unwrap_or(10).saturating_mul(3600),
            egress_bytes: self.egress.unwrap_or(10 << 30),
            storage_bytes: self.storage.unwrap_or(10 << 30),
        }
    }

    /// As a request asks for them. `longest` is the wall time in seconds of the shortest offer that it names: more than
    /// that nobody is granted.
    pub(crate) fn to_ask(&self, longest: Option<u64>) -> Limits {
        let wall = ASKED_WALL.min(longest.unwrap_or(ASKED_WALL));
        Limits {
            wall_seconds: self.wall.unwrap_or(wall),
            ..self.or_modest()
        }
    }

    /// Those given instead of those asked for; none when none is given.
    pub(crate) fn instead_of(&self, asked: Limits) -> Option<Limits> {
        let limits = Limits {
            cores: self.cores.unwrap_or(asked.cores),
            memory_bytes: self.memory.unwrap_or(asked.memory_bytes),
            concurrent_fragments: self.fragments.unwrap_or(asked.concurrent_fragments),
            wall_seconds: self.wall.unwrap_or(asked.wall_seconds),
            core_seconds: self
                .core_hours
                .map_or(asked.core_seconds, |h| h.saturating_mul(3600)),
            egress_bytes: self.egress.unwrap_or(asked.egress_bytes),
            storage_bytes: self.storage.unwrap_or(asked.storage_bytes),
        };
        (limits != asked).then_some(limits)
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn typed(line: &[&str]) -> LimitArguments {
        let command = LimitArguments::augment_args(clap::Command::new("x"));
        let matches = command.get_matches_from([&["x"], line].concat());
        LimitArguments::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_request_without_a_wall_time_asks_for_no_more_than_a_rule_or_the_offer_allows() {
        let none = typed(&[]);
        let rule = none.or_modest();
        assert!(none.to_ask(None).wall_seconds < rule.wall_seconds);
        assert_eq!(none.to_ask(Some(600)).wall_seconds, 600);
        assert_eq!(none.to_ask(Some(86_400)).wall_seconds, 1800);
        assert_eq!(none.to_ask(None).cores, rule.cores);
        let two_hours = typed(&["--wall", "2h"]);
        assert_eq!(two_hours.to_ask(Some(600)).wall_seconds, 7200);
    }
}
