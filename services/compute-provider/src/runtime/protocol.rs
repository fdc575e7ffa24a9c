//! What passes between a node and `oc-step`: the job file, and events, a JSON document a line.
//! `services/step/README.md` describes it; both sides are of one release.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::runtime::{
    AttemptLimits, End, Event, InputObject, LogLine, Measured, Phase, StepEvent,
};

/// The exit code of a tool that never left by itself: a step's end always has one.
const ENDED_FROM_OUTSIDE: i32 = -1;

/// The job file.
#[derive(Debug, Serialize)]
pub(super) struct Job<'a> {
    pub(super) document: &'a str,
    pub(super) order: &'a RawValue,
    pub(super) inputs: Vec<Input<'a>>,
    pub(super) limits: Limits,
    pub(super) node: String,
    pub(super) folder: PathBuf,
}

/// An input in the job file.
#[derive(Debug, Serialize)]
pub(super) struct Input<'a> {
    name: &'a str,
    basename: &'a str,
    sha256: String,
    length: u64,
}

/// The limits in the job file.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    cores: u32,
    memory_bytes: u64,
    wall_ms: u64,
    output_bytes: u64,
    log_bytes: u64,
    disk_bytes: u64,
}

impl<'a> From<&'a InputObject> for Input<'a> {
    fn from(input: &'a InputObject) -> Self {
        Self {
            name: input.name.as_str(),
            basename: &input.basename,
            sha256: input.sha256.to_string(),
            length: input.length,
        }
    }
}

impl Limits {
    pub(super) fn new(limits: &AttemptLimits, disk_bytes: u64) -> Self {
        Self {
            cores: limits.resources.cores,
            memory_bytes: limits.resources.memory_bytes,
            wall_ms: limits.wall_ms,
            output_bytes: limits.output_bytes,
            log_bytes: limits.log_bytes,
            disk_bytes,
        }
    }
}

/// A line that the runner prints.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Told {
    Phase {
        phase: Phase,
    },
    Progress {
        bytes: u64,
        of: u64,
    },
    StepStarted {
        step: String,
    },
    StepEnded {
        step: String,
        exit_code: Option<i32>,
        used: Measured,
    },
    Log {
        step: String,
        stderr: bool,
        text: String,
    },
    Heartbeat,
    Ended {
        report: Report,
    },
}

/// The runner's last word.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) end: ReportedEnd,
    pub(super) used: Measured,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum ReportedEnd {
    Succeeded {
        outputs: serde_json::Value,
    },
    Failed {
        step: String,
        message: String,
        exit_code: Option<i32>,
    },
    Stopped,
}

impl From<ReportedEnd> for End {
    fn from(end: ReportedEnd) -> Self {
        match end {
            ReportedEnd::Succeeded { outputs } => End::Succeeded {
                outputs: outputs.to_string(),
            },
            ReportedEnd::Failed {
                step,
                message,
                exit_code,
            } => End::Failed {
                step,
                message,
                exit_code,
            },
            ReportedEnd::Stopped => End::Stopped,
        }
    }
}

/// What has to be done about a line.
#[derive(Debug)]
pub(super) enum Line {
    /// To be passed on; a step's end comes with what it used.
    Event(Event, Option<Measured>),
    /// Only shows that the runner lives.
    Sign,
    /// The end.
    Ended(Report),
}

impl From<Told> for Line {
    fn from(told: Told) -> Self {
        match told {
            Told::Phase { phase } => Line::Event(Event::Phase(phase), None),
            Told::StepStarted { step } => Line::Event(
                Event::Step(StepEvent {
                    step,
                    exit_code: None,
                }),
                None,
            ),
            Told::StepEnded {
                step,
                exit_code,
                used,
            } => {
                let exit_code = Some(exit_code.unwrap_or(ENDED_FROM_OUTSIDE));
                Line::Event(Event::Step(StepEvent { step, exit_code }), Some(used))
            }
            Told::Log { step, stderr, text } => {
                Line::Event(Event::Log(LogLine { step, stderr, text }), None)
            }
            Told::Progress { bytes, of } => {
                tracing::debug!(bytes, of, "moving objects");
                Line::Sign
            }
            Told::Heartbeat => Line::Sign,
            Told::Ended { report } => Line::Ended(report),
        }
    }
}
