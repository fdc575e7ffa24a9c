//! The protocol with the runner ([`oc_runner`]) in the words of this service.

use oc_runner::{Input, Limits, Used};

use crate::domain::runtime::{
    AttemptLimits, AttemptReport, End, Event, InputObject, LogLine, Measured, Phase, StepEvent,
};

/// The exit code of a tool that never left by itself: a step's end always has one.
const ENDED_FROM_OUTSIDE: i32 = -1;

/// An input as the job file names it.
pub(super) fn input(object: &InputObject) -> Input {
    Input {
        name: object.name.clone(),
        basename: object.basename.clone(),
        sha256: object.sha256.to_string(),
        length: object.length,
    }
}

/// The limits in the job file.
pub(super) fn limits(limits: &AttemptLimits, disk_bytes: u64) -> Limits {
    Limits {
        cores: limits.resources.cores,
        memory_bytes: limits.resources.memory_bytes,
        wall_ms: limits.wall_ms,
        output_bytes: limits.output_bytes,
        log_bytes: limits.log_bytes,
        disk_bytes,
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
    Ended(AttemptReport),
}

impl From<oc_runner::Event> for Line {
    fn from(told: oc_runner::Event) -> Self {
        use oc_runner::Event as Told;
        match told {
            Told::Phase { phase } => Line::Event(Event::Phase(phase_of(phase)), None),
            Told::StepStarted { step } => {
                let exit_code = None;
                Line::Event(Event::Step(StepEvent { step, exit_code }), None)
            }
            Told::StepEnded {
                step,
                exit_code,
                used,
            } => {
                let exit_code = Some(exit_code.unwrap_or(ENDED_FROM_OUTSIDE));
                let ended = Event::Step(StepEvent { step, exit_code });
                Line::Event(ended, Some(measured(used)))
            }
            Told::Log { step, stderr, text } => {
                Line::Event(Event::Log(LogLine { step, stderr, text }), None)
            }
            Told::Progress { bytes, of } => {
                tracing::debug!(bytes, of, "moving objects");
                Line::Sign
            }
            Told::Heartbeat => Line::Sign,
            Told::Ended { report } => Line::Ended(AttemptReport {
                end: end_of(report.end),
                used: measured(report.used),
            }),
        }
    }
}

fn phase_of(phase: oc_runner::Phase) -> Phase {
    match phase {
        oc_runner::Phase::Staging => Phase::Staging,
        oc_runner::Phase::Running => Phase::Running,
        oc_runner::Phase::Storing => Phase::Storing,
    }
}

fn end_of(end: oc_runner::End) -> End {
    match end {
        oc_runner::End::Succeeded { outputs } => {
            let outputs = outputs.to_string();
            match oc_runner::too_large(outputs.len()) {
                None => End::Succeeded { outputs },
                Some(message) => End::Failed {
                    step: String::new(),
                    message,
                    exit_code: None,
                    code: String::new(),
                },
            }
        }
        oc_runner::End::Failed {
            step,
            message,
            exit_code,
            code,
        } => End::Failed {
            step,
            message,
            exit_code,
            code,
        },
        oc_runner::End::Stopped => End::Stopped,
    }
}

fn measured(used: Used) -> Measured {
    Measured {
        wall_ms: used.wall_ms,
        cpu_ms: used.cpu_ms,
        peak_memory_bytes: used.peak_memory_bytes,
        bytes_in: used.bytes_in,
        bytes_out: used.bytes_out,
    }
}
