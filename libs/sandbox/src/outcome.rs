//! How a command ended and what it used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::LimitHit;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It left by itself with this code.
    Exit(i32),
    /// A signal ended it. bubblewrap reports it as a shell does, 128 + n, so a program that leaves with
    /// such a code by itself looks the same.
    Signal(i32),
    /// It was ended for going over a limit.
    Limit(LimitHit),
    /// The caller cancelled it.
    Cancelled,
}

/// What a command and all it started used. Where no control group counts, cpu and memory are samples
/// taken twenty times a second and miss what happened after the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From the start of the command to its end.
    pub wall: Duration,
    /// Time in user mode, all processes.
    pub user: Duration,
    /// Time in the kernel, all processes.
    pub system: Duration,
    /// Largest sum of memory at one time, in bytes.
    pub peak_memory: u64,
    /// Bytes printed to standard error and, where it is not a file, to standard output.
    pub printed: u64,
}

/// How a command ended and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// True when the wall time ran out.
    pub fn timed_out(&self) -> bool {
        matches!(self.end, End::Limit(LimitHit::Wall(_)))
    }

    /// The code as a shell would show it; none for a command that was ended from outside.
    pub fn exit_code(&self) -> Option<i32> {
        match self.end {
            End::Exit(code) => Some(code),
            End::Signal(signal) => Some(128 + signal),
            End::Limit(_) | End::Cancelled => None,
        }
    }
}
