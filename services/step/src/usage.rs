//! What all processes of an attempt used together.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oc_runner::Used;
use oc_sandbox::Usage;

/// A sum that several threads add to.
#[derive(Debug, Default)]
pub struct UsageSum(Mutex<Sum>);

#[derive(Debug, Default)]
struct Sum {
    cpu: Duration,
    peak_memory: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl UsageSum {
    /// Adds one command. Peaks are not added up: those of different commands were at different times, or
    /// within shares of the attempt's memory.
    pub fn add(&self, usage: &Usage) {
        let mut sum = self.lock();
        sum.cpu += usage.user + usage.system;
        sum.peak_memory = sum.peak_memory.max(usage.peak_memory);
    }

    pub(crate) fn add_bytes_in(&self, bytes: u64) {
        self.lock().bytes_in += bytes;
    }

    pub(crate) fn add_bytes_out(&self, bytes: u64) {
        self.lock().bytes_out += bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Sum> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sum so far.
    pub fn used(&self, wall: Duration) -> Used {
        let sum = self.lock();
        Used {
            wall_ms: millis(wall),
            cpu_ms: millis(sum.cpu),
            peak_memory_bytes: sum.peak_memory,
            bytes_in: sum.bytes_in,
            bytes_out: sum.bytes_out,
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
