//! What happens in one run under fire: a pure function of the seed, so that a failure can be played again.

use std::fmt;
use std::time::Duration;

use super::draw::Draw;

/// Work begins within so many milliseconds.
const BEGIN: u64 = 1_000;
/// Faults begin within so many milliseconds.
const SPAN: u64 = 4_500;
/// Most faults of one plan.
const MOST_FAULTS: u64 = 5;

/// One of the two organisations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The consumer: its scientist starts all work, and results go to its storage.
    North,
    /// The provider of images and machines.
    South,
}

/// Something that North's scientist starts. Times are those that the tools take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One step beside South's image, the next at North.
    Story {
        /// Of the step at South.
        south: u64,
        /// Of the step at North.
        north: u64,
    },
    /// One step at South that needs no data.
    AtSouth {
        /// Of the step.
        takes: u64,
    },
    /// One step at North.
    AtNorth {
        /// Of the step.
        takes: u64,
    },
}

/// Something that goes wrong, or that somebody does in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The line is cut: open connections are reset, new ones refused.
    Cut {
        /// For so many milliseconds.
        lasts: u64,
    },
    /// Nothing passes, and nobody is told.
    Stall {
        /// For so many milliseconds.
        lasts: u64,
    },
    /// Everything is late.
    Delay {
        /// By so many milliseconds.
        by: u64,
        /// For so many milliseconds.
        lasts: u64,
    },
    /// Little passes.
    Throttle {
        /// Bytes a second of a connection.
        rate: u32,
        /// For so many milliseconds.
        lasts: u64,
    },
    /// Open connections are reset.
    Reset,
    /// One direction of every open connection ends: that from South to North, or the other.
    HalfClose {
        /// Whose direction ends.
        from: Side,
    },
    /// The process ends as in a power cut and is started again on the same folder.
    Kill {
        /// Whose.
        side: Side,
        /// Milliseconds until it is started again.
        down: u64,
    },
    /// The process is asked to stop and started again.
    Restart {
        /// Whose.
        side: Side,
    },
    /// The scientist cancels what she started.
    Cancel {
        /// Which, by its place in the plan.
        work: usize,
    },
    /// South takes a grant back.
    Revoke {
        /// Which of the two.
        grant: usize,
    },
    /// South takes its machines back.
    Withdraw,
    /// North's storage is filled to the last byte and emptied again.
    Fill {
        /// For so many milliseconds.
        lasts: u64,
    },
}

/// Something at its time after the begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<T> {
    /// Milliseconds after the begin.
    pub at: u64,
    /// What.
    pub what: T,
}

impl<T> At<T> {
    /// How long after the begin.
    pub(super) fn after(&self) -> Duration {
        Duration::from_millis(self.at)
    }
}

/// All that is done in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it follows from.
    pub seed: u64,
    /// What is started; the first is the story.
    pub work: Vec<At<Work>>,
    /// What goes wrong, in the order of time.
    pub faults: Vec<At<Fault>>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let mut work = vec![At {
            at: 0,
            what: Work::Story {
                south: draw.between(200, 1_500),
                north: draw.between(100, 800),
            },
        }];
        for _ in 0..draw.between(1, 3) {
            let takes = draw.between(100, 1_000);
            let what = match draw.between(0, 2) {
                0 => Work::AtNorth { takes },
                _ => Work::AtSouth { takes },
            };
            let at = draw.between(0, BEGIN);
            work.push(At { at, what });
        }
        let mut faults: Vec<At<Fault>> = Vec::new();
        for _ in 0..draw.between(1, MOST_FAULTS) {
            let what = fault(&mut draw, work.len());
            let at = draw.between(100, SPAN);
            let again = faults.iter().any(|before| before.what == what);
            if !(again && what.is_final()) {
                faults.push(At { at, what });
            }
        }
        faults.sort_by_key(|fault| fault.at);
        Self { seed, work, faults }
    }
}

impl Fault {
    /// Every kind, by its word.
    pub const KINDS: [&str; 12] = [
        "cut",
        "stall",
        "delay",
        "throttle",
        "reset",
        "half-close",
        "kill",
        "restart",
        "cancel",
        "revoke",
        "withdraw",
        "fill",
    ];

    /// The word of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "cut",
            Self::Stall { .. } => "stall",
            Self::Delay { .. } => "delay",
            Self::Throttle { .. } => "throttle",
            Self::Reset => "reset",
            Self::HalfClose { .. } => "half-close",
            Self::Kill { .. } => "kill",
            Self::Restart { .. } => "restart",
            Self::Cancel { .. } => "cancel",
            Self::Revoke { .. } => "revoke",
            Self::Withdraw => "withdraw",
            Self::Fill { .. } => "fill",
        }
    }

    /// True for what can be done once only.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Cancel { .. } | Self::Revoke { .. } | Self::Withdraw
        )
    }
}

fn side(draw: &mut Draw) -> Side {
    match draw.between(0, 1) {
        0 => Side::North,
        _ => Side::South,
    }
}

/// Half of all faults are those that a machine or a line has, the rest is what people do.
fn fault(draw: &mut Draw, works: usize) -> Fault {
    let lasts = draw.between(200, 4_000);
    match draw.between(0, 19) {
        0 | 1 => Fault::Cut { lasts },
        2 | 3 => Fault::Stall { lasts },
        4 => Fault::Delay {
            by: draw.between(20, 400),
            lasts,
        },
        5 => Fault::Throttle {
            rate: u32::try_from(draw.between(4, 64)).unwrap_or(u32::MAX) * 1024,
            lasts,
        },
        6 => Fault::Reset,
        7 => Fault::HalfClose { from: side(draw) },
        8..=12 => Fault::Kill {
            side: side(draw),
            down: draw.between(0, 3_000),
        },
        13 | 14 => Fault::Restart { side: side(draw) },
        15 => Fault::Cancel {
            work: draw.place(works),
        },
        16 => Fault::Revoke {
            grant: draw.place(2),
        },
        17 => Fault::Withdraw,
        _ => Fault::Fill { lasts },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for (number, work) in self.work.iter().enumerate() {
            writeln!(f, "  {:>5} ms  starts {number}: {:?}", work.at, work.what)?;
        }
        for fault in &self.faults {
            writeln!(f, "  {:>5} ms  {:?}", fault.at, fault.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_another() {
        for seed in 0..200 {
            assert_eq!(Plan::of(seed), Plan::of(seed));
            assert_ne!(Plan::of(seed), Plan::of(seed + 1));
        }
    }

    #[test]
    fn every_kind_of_fault_and_of_work_occurs_among_two_hundred_seeds() {
        let plans: Vec<Plan> = (0..200).map(Plan::of).collect();
        let faults = plans.iter().flat_map(|plan| &plan.faults);
        let kinds: BTreeSet<&str> = faults.map(|fault| fault.what.kind()).collect();
        assert_eq!(kinds, Fault::KINDS.into());
        let all = || plans.iter().flat_map(|plan| &plan.work);
        assert!(all().any(|work| matches!(work.what, Work::AtNorth { .. })));
        assert!(all().any(|work| matches!(work.what, Work::AtSouth { .. })));
    }

    #[test]
    fn each_plan_tells_the_story_has_a_fault_and_names_only_what_there_is() {
        for plan in (0..200).map(Plan::of) {
            assert!(matches!(plan.work[0].what, Work::Story { .. }));
            assert!(!plan.faults.is_empty());
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
            for fault in &plan.faults {
                match fault.what {
                    Fault::Cancel { work } => assert!(work < plan.work.len()),
                    Fault::Revoke { grant } => assert!(grant < 2),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_plan_is_shown_with_its_seed_and_all_its_times() {
        let plan = Plan::of(7);
        let shown = plan.to_string();
        assert!(shown.starts_with("seed 7\n"));
        let lines = 1 + plan.work.len() + plan.faults.len();
        assert_eq!(shown.lines().count(), lines);
    }
}
