//! Why an attempt fails before, between or after its tools.

use std::io;

use oc_kernel::{Classify, Kind};
use oc_sandbox::SandboxError;

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
        /// What kind of failure it was.
        code: Failed,
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
    /// The attempt's time ran out.
    #[error("{0}")]
    OutOfTime(String),
    /// A step of the fragment failed.
    #[error("{message}")]
    Step {
        /// The step's CWL id.
        step: String,
        /// One sentence.
        message: String,
        /// The tool's exit code, where it has one.
        exit_code: Option<i32>,
        /// What kind of failure it was.
        code: Failed,
    },
    /// The node told it to stop, or is gone.
    #[error("stopped")]
    Stopped,
    /// The sandbox is missing or failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
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

/// Kinds of failure that are told apart, as words of docs/protocol.md, section 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The tool's own doing, or nothing else is known of it.
    Tool,
    /// It took longer than allowed.
    TimedOut,
    /// It wanted more memory than it may have.
    OverMemory,
    /// Bytes came that are not those that were promised.
    Checksum,
    /// What it reads is there no more.
    DataGone,
    /// An input or output could not be moved.
    Transfer,
    /// A storage has no room left.
    StorageFull,
    /// A disk of this node is full.
    DiskFull,
    /// There is no sandbox here.
    NoSandbox,
}

impl Failed {
    /// The word; empty for the tool's own doing.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tool => "",
            Self::TimedOut => "timed-out",
            Self::OverMemory => "over-memory",
            Self::Checksum => "checksum-mismatch",
            Self::DataGone => "data-gone",
            Self::Transfer => "transfer-failed",
            Self::StorageFull => "storage-full",
            Self::DiskFull => "disk-full",
            Self::NoSandbox => "sandbox-missing",
        }
    }
}

impl StepError {
    /// What kind of failure it is.
    pub fn failed(&self) -> Failed {
        match self {
            Self::Transfer { code, .. } | Self::Step { code, .. } => *code,
            Self::Corrupt { .. } => Failed::Checksum,
            Self::OutOfTime(_) => Failed::TimedOut,
            Self::Sandbox(SandboxError::Missing { .. } | SandboxError::Unavailable { .. }) => {
                Failed::NoSandbox
            }
            Self::Sandbox(SandboxError::Io { source, .. }) | Self::Io { source, .. } => {
                of_disk(source)
            }
            Self::Job(_)
            | Self::Fragment(_)
            | Self::OverLimit(_)
            | Self::Stopped
            | Self::Sandbox(_) => Failed::Tool,
        }
    }
}

fn of_disk(error: &io::Error) -> Failed {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failed::DiskFull,
        _ => Failed::Tool,
    }
}

impl Classify for StepError {
    fn kind(&self) -> Kind {
        match self {
            Self::Job(_) => Kind::Malformed,
            Self::Fragment(_) | Self::Step { .. } => Kind::Invalid,
            Self::Transfer { .. } | Self::Stopped => Kind::Unavailable,
            Self::OverLimit(_) | Self::OutOfTime(_) => Kind::Exhausted,
            Self::Sandbox(error) => error.kind(),
            Self::Corrupt { .. } | Self::Io { .. } => Kind::Internal,
        }
    }
}
