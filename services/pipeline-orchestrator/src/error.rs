//! Why the orchestrator refuses or fails: one type for both faces, whose kind decides the status.

use oc_door::DoorError;
use oc_kernel::{Classify, Code, Kind, ObjectKey, PageTokenError, ParseIdError, RunId};
use oc_service::{CallError, Finding};
use oc_store::StoreError;
use oc_workflow::plan::PlanError;

/// Why the orchestrator refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The CWL document is faulty.
    #[error("the workflow has {}", faults(.0))]
    Document(Vec<Finding>),
    /// The document cannot be read at all.
    #[error("{0}")]
    Unreadable(String),
    /// An input is missing, unknown or of the wrong type.
    #[error("{}", .0.join("; "))]
    Inputs(Vec<String>),
    /// A field of the request cannot be read.
    #[error("{field}: {reason}")]
    Malformed {
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
    /// A field of the request is against a rule.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No image matches. Nothing was held.
    #[error("input `{input}`: no image of {dataset} matches (count 0); {nearest}")]
    NoImages {
        /// The workflow's input.
        input: String,
        /// The dataset's listing.
        dataset: String,
        /// The nearest image, in words.
        nearest: String,
    },
    /// No image matches, and the filters are why. Nothing was held.
    #[error(
        "input `{input}`: no image of {dataset} matches (count 0), and {without} without the filters: {reason}"
    )]
    Filtered {
        /// The workflow's input.
        input: String,
        /// The dataset's listing.
        dataset: String,
        /// Images that match but for the filters.
        without: u64,
        /// Which filter it is, and why.
        reason: String,
    },
    /// There is no place for a step, or something may not be used.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No such run, or not the caller's.
    #[error("no run `{0}`")]
    NoRun(String),
    /// The run made no such file, or it lies in storage of ours.
    #[error(
        "run {run} has no file `{key}` in a partner's storage: its results name the way to each file"
    )]
    NoFile {
        /// The run.
        run: RunId,
        /// What was asked for.
        key: String,
    },
    /// Nothing lets us read a file in a partner's storage any more.
    #[error("`{key}` cannot be fetched: {reason}")]
    Closed {
        /// The file.
        key: ObjectKey,
        /// Why.
        reason: String,
    },
    /// The run's state does not allow it.
    #[error("{0}")]
    State(String),
    /// The plan took too long. Nothing was held.
    #[error("no plan was made within {0} s; nothing is held")]
    Slow(u64),
    /// Too many runs at once.
    #[error("{0} runs are at work, which is the limit: wait until one has ended")]
    Full(usize),
    /// The same operation came with another request.
    #[error("operation `{0}` was used for another request")]
    Operation(String),
    /// Another service or a partner said no, or nothing.
    #[error("{what}: {source}")]
    Call {
        /// What was asked of whom.
        what: String,
        /// The answer.
        source: CallError,
    },
    /// discovery said no, or nothing.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page token that is not ours.
    #[error(transparent)]
    Page(#[from] PageTokenError),
}

/// How many faults; each stands among the findings, with its place.
fn faults(findings: &[Finding]) -> String {
    match findings.len() {
        1 => "a fault".to_owned(),
        many => format!("{many} faults"),
    }
}

impl RunError {
    /// The places in the document, where the fault is the document's.
    pub fn findings(&self) -> Vec<Finding> {
        match self {
            Self::Document(findings) => findings.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn malformed(field: impl Into<String>, reason: impl ToString) -> Self {
        Self::Malformed {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn call(what: impl Into<String>) -> impl FnOnce(CallError) -> Self {
        let what = what.into();
        move |source| Self::Call { what, source }
    }
}

impl From<ParseIdError> for RunError {
    fn from(error: ParseIdError) -> Self {
        Self::malformed("id", error)
    }
}

impl Classify for RunError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unreadable(_) | Self::Malformed { .. } => Kind::Malformed,
            Self::Document(_) | Self::Inputs(_) | Self::Invalid { .. } => Kind::Invalid,
            Self::NoImages { .. } | Self::Filtered { .. } => Kind::Invalid,
            Self::Plan(error) => error.kind(),
            Self::NoRun(_) | Self::NoFile { .. } => Kind::NotFound,
            Self::State(_) | Self::Closed { .. } => Kind::Precondition,
            Self::Slow(_) => Kind::Timeout,
            Self::Full(_) => Kind::Exhausted,
            Self::Operation(_) => Kind::Conflict,
            Self::Call { source, .. } => source.kind(),
            Self::Door(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Page(_) => Kind::Malformed,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Call { source, .. } => source.code(),
            Self::Door(error) => error.code(),
            Self::NoImages { .. } | Self::Filtered { .. } => Some(Code::NoImage),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Filtered { .. } => Some("change that filter, or leave it out".to_owned()),
            Self::NoImages { .. } => Some("widen the dates or the area".to_owned()),
            Self::Slow(_) => Some(
                "try again, or run fewer steps at once: a part of the workflow each".to_owned(),
            ),
            Self::Call { source, .. } => source.advice(),
            Self::Door(error) => error.advice(),
            _ => None,
        }
    }
}
