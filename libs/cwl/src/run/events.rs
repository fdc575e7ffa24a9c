//! What a run tells while it goes on.

use crate::{ToolCommand, ToolOutcome};

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A command is about to start.
    ToolStarted {
        /// The command; `step` says which step it is for.
        command: &'e ToolCommand,
    },
    /// A command ended; its streams can be read where `command` says.
    ToolEnded {
        /// The command.
        command: &'e ToolCommand,
        /// How it ended and what it used.
        outcome: &'e ToolOutcome,
    },
    /// All inputs of a step are there.
    StepStarted {
        /// The way to the step, for example `tiles/convert`.
        step: &'e str,
    },
    /// The condition of a step, or of one repetition of it, did not hold.
    StepSkipped {
        /// The way to the step, for example `tiles/convert[3]`.
        step: &'e str,
    },
    /// All outputs of a step are there.
    StepEnded {
        /// The way to the step.
        step: &'e str,
    },
}

/// Is told what happens, by several threads and while they wait: it must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

/// Does not care.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: &Event<'_>) {}
}
