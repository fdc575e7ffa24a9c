//! Why a run ended without outputs.

use oc_kernel::{Classify, Kind};

use crate::{Finding, LoadError};

/// A run without outputs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The document is faulty.
    #[error("{0}")]
    Document(#[from] LoadError),
    /// The input object does not fit the document.
    #[error("{0}")]
    Input(String),
    /// This engine or this machine cannot do what the document requires.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// An expression failed.
    #[error("the expression `{expression}` failed: {reason}")]
    Expression {
        /// Its first words.
        expression: String,
        /// What the interpreter said.
        reason: String,
    },
    /// A tool could not be started.
    #[error("cannot start `{program}`: {reason}")]
    Start {
        /// The first word of the command line.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// A tool ended in a way that means failure.
    #[error("`{program}` failed: {reason}{log}")]
    Tool {
        /// The first word of the command line.
        program: String,
        /// How it ended.
        reason: String,
        /// The code it left with, where it did.
        exit_code: Option<i32>,
        /// Whether the document says that another try may succeed.
        temporary: bool,
        /// The end of what it wrote to standard error, on lines of its own.
        log: String,
    },
    /// A tool ran longer than the document allows.
    #[error("`{program}` ran longer than its limit of {seconds} s")]
    TimeLimit {
        /// The first word of the command line.
        program: String,
        /// The limit.
        seconds: u64,
    },
    /// What the tool left does not fit the outputs that are declared.
    #[error("{0}")]
    Output(String),
    /// Someone asked for the end.
    #[error("cancelled")]
    Cancelled,
    /// A file or folder of the job could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A step failed.
    #[error("step `{step}`: {source}")]
    Step {
        /// The way to the step, for example `tiles/convert[3]`.
        step: String,
        /// Why.
        source: Box<RunError>,
    },
}

impl RunError {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    pub(crate) fn document(findings: Vec<Finding>) -> Self {
        Self::Document(LoadError::new(Kind::Invalid, findings))
    }

    /// This error as that of a step.
    pub(crate) fn at(self, step: &str) -> Self {
        if step.is_empty() {
            return self;
        }
        match self {
            Self::Cancelled | Self::Step { .. } => self,
            other => Self::Step {
                step: step.to_owned(),
                source: Box::new(other),
            },
        }
    }

    /// The error without the way to its step.
    pub fn root(&self) -> &RunError {
        match self {
            Self::Step { source, .. } => source.root(),
            other => other,
        }
    }

    /// The exit code of a runner: 33 says that a feature is not supported (CWL runner convention).
    pub fn exit_code(&self) -> u8 {
        match self.root() {
            Self::Unsupported(_) => 33,
            _ => 1,
        }
    }
}

impl Classify for RunError {
    fn kind(&self) -> Kind {
        match self.root() {
            Self::Document(error) => error.kind(),
            Self::Input(_) | Self::Expression { .. } | Self::Output(_) | Self::Start { .. } => {
                Kind::Invalid
            }
            Self::Unsupported(_) => Kind::Unsupported,
            Self::Tool {
                temporary: true, ..
            } => Kind::Unavailable,
            Self::Tool { .. } | Self::Step { .. } => Kind::Precondition,
            Self::TimeLimit { .. } => Kind::Timeout,
            Self::Cancelled => Kind::Precondition,
            Self::Io { .. } => Kind::Internal,
        }
    }
}
