//! Why an attempt fails before, between or after its tools.

use std::io;

use oc_kernel::{Classify, Kind};

/// Why an attempt fails.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The job does not fit together.
    #[error("the job cannot be read: {0}")]
    Job(String),
    /// The fragment is no CWL that can be run here.
    #[error("the fragment cannot be run: {0}")]
    Fragment(String),
    /// An input or output could not be moved.
    #[error("{what}: {why}")]
    Transfer {
        /// What was attempted, with the object's name.
        what: String,
        /// The node's or the network's words.
        why: String,
    },
    /// The bytes that came are not those that were promised.
    #[error("input `{name}` is not what was promised: {why}")]
    Corrupt {
        /// The input.
        name: String,
        /// What differs.
        why: String,
    },
    /// A limit of the attempt, with its number.
    #[error("{0}")]
    OverLimit(String),
    /// A step of the fragment failed.
    #[error("{message}")]
    Step {
        /// The step's CWL id.
        step: String,
        /// One sentence.
        message: String,
        /// The tool's exit code, where it has one.
        exit_code: Option<i32>,
    },
    /// The node told it to stop, or is gone.
    #[error("stopped")]
    Stopped,
    /// The sandbox is missing or failed.
    #[error(transparent)]
    Sandbox(#[from] oc_sandbox::SandboxError),
    /// The disk or the system refused something ordinary.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was attempted.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl StepError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> StepError {
        let action = action.into();
        move |source| StepError::Io { action, source }
    }
}

impl Classify for StepError {
    fn kind(&self) -> Kind {
        match self {
            Self::Job(_) => Kind::Malformed,
            Self::Fragment(_) | Self::Step { .. } => Kind::Invalid,
            Self::Transfer { .. } | Self::Stopped => Kind::Unavailable,
            Self::OverLimit(_) => Kind::Exhausted,
            Self::Sandbox(error) => error.kind(),
            Self::Corrupt { .. } | Self::Io { .. } => Kind::Internal,
        }
    }
}
