//! What names one attempt, and one operation on it.

use std::fmt;

use oc_kernel::{AttemptId, FragmentId, Name, OrgId, RunId};
use serde::{Deserialize, Serialize};

/// One try of one fragment of one run of one organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// Who runs the workflow.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
    /// The fragment of the run.
    pub fragment: FragmentId,
    /// The try.
    pub attempt: AttemptId,
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            org,
            run,
            fragment,
            attempt,
        } = self;
        write!(f, "{org}/{run}/{fragment}/{attempt}")
    }
}

/// One operation on an attempt. A repeated message carries the same key and gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperationKey {
    /// What is operated on.
    pub attempt: AttemptKey,
    /// The caller's name for the operation, for example `reserve`.
    pub operation: Name,
}

impl fmt::Display for OperationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.attempt, self.operation)
    }
}
