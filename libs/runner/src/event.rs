//! What a runner tells its node: one JSON document a line on standard output, in order.

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The runner went on to its next part.
    Phase {
        /// The part that begins.
        phase: Phase,
    },
    /// How far fetching or storing is.
    Progress {
        /// Bytes moved so far in this phase.
        bytes: u64,
        /// Bytes to move in this phase.
        of: u64,
    },
    /// A step began.
    StepStarted {
        /// The step's CWL id; empty where the fragment is a single tool.
        step: String,
    },
    /// A step ended.
    StepEnded {
        /// The step's CWL id.
        step: String,
        /// The tool's exit code; none where it was ended from outside or never started.
        exit_code: Option<i32>,
        /// What it used.
        used: Used,
    },
    /// A line that a tool printed, or one of the runner's own.
    Log {
        /// The step's CWL id; empty for the runner's own lines.
        step: String,
        /// From standard error.
        stderr: bool,
        /// The line without its end, at most 8 KiB, invalid UTF-8 replaced.
        text: String,
    },
    /// Nothing happened for a while and the runner is alive.
    Heartbeat,
    /// It is over; nothing follows.
    Ended {
        /// How, and what it used.
        report: Report,
    },
}

/// The parts of a runner's work, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Inputs are being fetched.
    Staging,
    /// Tools run.
    Running,
    /// Outputs are being stored.
    Storing,
}

/// How an attempt ended and what it used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The end.
    pub end: End,
    /// What it used.
    pub used: Used,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum End {
    /// Every step ended well and every output is stored.
    Succeeded {
        /// The CWL output object; a File's location is `output:<name>` with the name it was stored by.
        outputs: serde_json::Value,
    },
    /// A step or the runner failed.
    Failed {
        /// The step, or empty when it was the runner.
        step: String,
        /// One sentence for a person.
        message: String,
        /// The tool's exit code, where it has one.
        exit_code: Option<i32>,
        /// What kind of failure it was, a word of docs/protocol.md, section 11; empty for one of the tool's own.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        code: String,
    },
    /// It was stopped from outside.
    Stopped,
}

/// What an attempt or one of its steps used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Milliseconds from start to end.
    pub wall_ms: u64,
    /// Milliseconds of processor time of all processes.
    pub cpu_ms: u64,
    /// The most memory all processes had at one time, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes read from input objects.
    pub bytes_in: u64,
    /// Bytes written to output objects.
    pub bytes_out: u64,
}
