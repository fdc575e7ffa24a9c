//! From what a runner measured to what is billed.

use jiff::Timestamp;
use oc_trust::Outcome;
use serde::{Deserialize, Serialize};

use super::grant::ms;
use super::ledger::{EndedState, StopCause};
use super::resources::Resources;
use super::runtime::Measured;

/// How long an attempt held what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What it held.
    pub resources: Resources,
    /// When the runtime took it.
    pub started_at: Timestamp,
    /// When nothing of it was left.
    pub ended_at: Timestamp,
    /// How long its cores were held by this node's monotonic clock, in ms.
    pub wall_ms: u64,
}

/// What an attempt used: the numbers of its usage record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Begin in ms since the epoch.
    pub started_ms: u64,
    /// End in ms since the epoch.
    pub ended_ms: u64,
    /// How long the cores were held, in ms.
    pub wall_ms: u64,
    /// Processor time in ms.
    pub cpu_ms: u64,
    /// Most memory, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes fetched.
    pub bytes_in: u64,
    /// Bytes that arrived at other organisations.
    pub bytes_out: u64,
    /// Cores held.
    pub cores: u32,
}

impl Usage {
    /// Core milliseconds held.
    pub fn core_ms(&self) -> u64 {
        self.wall_ms.saturating_mul(u64::from(self.cores))
    }
}

/// Makes the numbers. The wall time is this node's own, because that is how long the cores were held;
/// processor time and memory come from the runner and are cut at what the held machine could have given,
/// so that a runner's fault never becomes a partner's bill.
pub fn meter(held: &Held, measured: &Measured, bytes_out: u64) -> Usage {
    let cores = held.resources.cores;
    let started_ms = ms(held.started_at);
    Usage {
        started_ms,
        ended_ms: ms(held.ended_at).max(started_ms),
        wall_ms: held.wall_ms,
        cpu_ms: measured
            .cpu_ms
            .min(held.wall_ms.saturating_mul(u64::from(cores))),
        peak_memory_bytes: measured.peak_memory_bytes.min(held.resources.memory_bytes),
        bytes_in: measured.bytes_in,
        bytes_out,
        cores,
    }
}

/// How an end is booked: what we have lost ourselves is charged to nobody.
pub fn outcome(state: EndedState) -> Outcome {
    match state {
        EndedState::Succeeded => Outcome::Succeeded,
        EndedState::Failed => Outcome::Failed,
        EndedState::Stopped(cause) => match cause {
            StopCause::NodeRestarted | StopCause::ByProvider => Outcome::Lost,
            StopCause::WallLimit => Outcome::Failed,
            StopCause::Released
            | StopCause::LeaseLost
            | StopCause::GrantRaised
            | StopCause::GrantEnded => Outcome::Cancelled,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Held {
        Held {
            resources: Resources {
                cores: 2,
                memory_bytes: 1000,
            },
            started_at: Timestamp::from_millisecond(5000).unwrap(),
            ended_at: Timestamp::from_millisecond(6000).unwrap(),
            wall_ms: 1000,
        }
    }

    const MEASURED: Measured = Measured {
        wall_ms: 900,
        cpu_ms: 1500,
        peak_memory_bytes: 800,
        bytes_in: 7,
        bytes_out: 9,
    };

    #[test]
    fn the_wall_time_is_how_long_the_cores_were_held() {
        let usage = meter(&held(), &MEASURED, 8);
        assert_eq!(
            (usage.wall_ms, usage.cpu_ms, usage.bytes_out),
            (1000, 1500, 8)
        );
        assert_eq!(
            (usage.started_ms, usage.ended_ms, usage.cores),
            (5000, 6000, 2)
        );
        assert_eq!(usage.core_ms(), 2000);
    }

    #[test]
    fn a_runner_cannot_bill_more_than_the_machine_could_have_given() {
        let lying = Measured {
            cpu_ms: 99_999,
            peak_memory_bytes: 99_999,
            ..MEASURED
        };
        let usage = meter(&held(), &lying, 8);
        assert_eq!((usage.cpu_ms, usage.peak_memory_bytes), (2000, 1000));
    }

    #[test]
    fn a_clock_set_back_never_makes_an_end_before_the_begin() {
        let odd = Held {
            ended_at: Timestamp::from_millisecond(10).unwrap(),
            ..held()
        };
        let usage = meter(&odd, &MEASURED, 0);
        assert_eq!(usage.ended_ms, usage.started_ms);
    }

    #[test]
    fn only_what_the_provider_lost_itself_is_booked_as_lost() {
        for (cause, booked) in [
            (StopCause::Released, Outcome::Cancelled),
            (StopCause::LeaseLost, Outcome::Cancelled),
            (StopCause::GrantRaised, Outcome::Cancelled),
            (StopCause::WallLimit, Outcome::Failed),
            (StopCause::NodeRestarted, Outcome::Lost),
            (StopCause::ByProvider, Outcome::Lost),
        ] {
            assert_eq!(outcome(EndedState::Stopped(cause)), booked);
        }
    }
}
