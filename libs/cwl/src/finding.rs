//! What is wrong with a document, and where.

use std::fmt;

use oc_kernel::{Classify, Kind};
use serde::Serialize;

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document cannot run.
    Error,
    /// The document runs, but probably not as meant.
    Warning,
}

/// One fault in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as a path where it is local, else as a URI.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The way through the document, for example `steps.convert.in.image`.
    pub path: String,
    /// What is wrong and, where it helps, what to write instead.
    pub message: String,
    /// Whether the document can run all the same.
    pub severity: Severity,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file, line, column, ..
        } = self;
        write!(f, "{file}:{line}:{column}: {}", self.message)?;
        if self.severity == Severity::Warning {
            f.write_str(" (warning)")?;
        }
        Ok(())
    }
}

/// A document that cannot be used, with every fault that was found (at least one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    kind: Kind,
    findings: Vec<Finding>,
}

impl LoadError {
    pub(crate) const fn new(kind: Kind, findings: Vec<Finding>) -> Self {
        Self { kind, findings }
    }

    /// The faults, in the order of the document.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The faults, in the order of the document.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.findings.first() else {
            return f.write_str("the document is faulty");
        };
        write!(f, "{first}")?;
        match self.findings.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl std::error::Error for LoadError {}

impl Classify for LoadError {
    fn kind(&self) -> Kind {
        self.kind
    }
}
