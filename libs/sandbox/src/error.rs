//! What can go wrong before, or beside, the command itself. How the command ended is an
//! [`Outcome`](crate::Outcome), not an error.

use std::io;
use std::path::PathBuf;

use oc_kernel::{Classify, Code, Kind};

/// Why a command could not be run, or a file of its folder not be used.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine has no bubblewrap, or one that is too old.
    #[error("no sandbox on this machine: {why}")]
    Missing {
        /// What was looked for.
        why: String,
    },
    /// This machine does not let bubblewrap work.
    #[error("no sandbox on this machine: {why}")]
    Unavailable {
        /// What was tried and what came back.
        why: String,
    },
    /// The program, or the interpreter its first line names, does not exist inside.
    #[error("program `{program}` is not installed on this node, or its interpreter is not")]
    ProgramNotFound {
        /// As the command names it.
        program: String,
    },
    /// The program exists and cannot be executed.
    #[error("program `{program}` cannot be executed: {why}")]
    ProgramRefused {
        /// As the command names it.
        program: String,
        /// The system's words.
        why: String,
    },
    /// A folder, mount or name of the command is not usable.
    #[error("`{path}` cannot be used in a sandbox: {why}")]
    BadPath {
        /// The offender.
        path: PathBuf,
        /// The rule it breaks.
        why: &'static str,
    },
    /// bubblewrap gave up before it reached the command.
    #[error("the sandbox did not start: {why}")]
    Start {
        /// bubblewrap's own words.
        why: String,
    },
    /// A path that leads, by a link or by `..`, out of the folder it was looked up in.
    #[error("`{path}` leads out of its folder")]
    Escapes {
        /// Relative to the folder.
        path: PathBuf,
    },
    /// A folder, pipe, socket or device where a file was expected.
    #[error("`{path}` is not a file")]
    NotAFile {
        /// Relative to the folder.
        path: PathBuf,
    },
    /// A folder deeper than any honest tool makes.
    #[error("`{path}` holds folders more than {limit} levels deep")]
    TooDeep {
        /// The folder that was walked.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The kernel did not end a killed process in time.
    #[error("processes of the sandbox were still alive {seconds} s after they were killed")]
    Unkillable {
        /// How long was waited.
        seconds: u64,
    },
    /// The system refused something ordinary.
    #[error("cannot {action}")]
    Io {
        /// What was attempted.
        action: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> SandboxError {
        let action = action.into();
        move |source| SandboxError::Io { action, source }
    }
}

impl Classify for SandboxError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::Unavailable { .. } => Kind::Unsupported,
            Self::ProgramNotFound { .. }
            | Self::ProgramRefused { .. }
            | Self::BadPath { .. }
            | Self::Escapes { .. }
            | Self::NotAFile { .. }
            | Self::TooDeep { .. } => Kind::Invalid,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Start { .. } | Self::Unkillable { .. } | Self::Io { .. } => Kind::Internal,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Missing { .. } | Self::Unavailable { .. } => Some(Code::SandboxMissing),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::Unavailable { .. } => Some(
                "install bubblewrap 0.8 or newer (`apt-get install bubblewrap`) and let this user make user namespaces"
                    .into(),
            ),
            Self::ProgramNotFound { program, .. } => Some(format!(
                "ask the node's operator to install `{program}`, or run the step where it is installed"
            )),
            _ => None,
        }
    }
}
