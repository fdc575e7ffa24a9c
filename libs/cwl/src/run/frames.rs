//! What the scheduler remembers of workflows and scattering steps that are going on.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::files::Object;
use super::scatter::Scatter;
use super::scope::Scope;
use crate::{Process, Reference, RunError, Step, Workflow};

/// One tool to run.
pub(super) struct Job<'d> {
    pub(super) process: &'d Process,
    pub(super) scope: Scope<'d>,
    pub(super) inputs: Object,
    pub(super) path: String,
    pub(super) parent: Parent,
}

pub(super) struct Finished {
    pub(super) parent: Parent,
    pub(super) result: Result<Object, RunError>,
}

/// Who waits for the outputs of a process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parent {
    /// The caller of the run.
    Run,
    /// A step that runs once.
    Step { frame: usize, step: usize },
    /// One repetition of a step that scatters.
    Repetition { repeat: usize, index: usize },
}

/// A workflow that is going on.
pub(super) struct Frame<'d> {
    pub(super) process: &'d Process,
    pub(super) workflow: &'d Workflow,
    pub(super) scope: Scope<'d>,
    pub(super) path: String,
    pub(super) parent: Parent,
    pub(super) inputs: Object,
    /// Outputs of the steps that have ended.
    pub(super) ended: HashMap<&'d str, Object>,
    /// For each step, how many steps it still waits for.
    pub(super) waiting: Vec<usize>,
    /// For each step, which read its outputs.
    pub(super) readers: Vec<BTreeSet<usize>>,
}

impl Frame<'_> {
    pub(super) fn value(&self, reference: &Reference) -> Option<&Value> {
        match reference {
            Reference::Input(id) => self.inputs.get(id),
            Reference::Step { step, output } => self.ended.get(step.as_str())?.get(output),
        }
    }

    pub(super) fn step_path(&self, step: &Step) -> String {
        if self.path.is_empty() {
            step.id.clone()
        } else {
            format!("{}/{}", self.path, step.id)
        }
    }
}

/// A step that scatters and is going on.
pub(super) struct Repeat {
    pub(super) frame: usize,
    pub(super) step: usize,
    pub(super) scatter: Scatter,
    pub(super) inputs: Object,
    pub(super) next: usize,
    pub(super) left: usize,
    pub(super) results: Vec<Option<Object>>,
}

/// Something that can begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    Step { frame: usize, step: usize },
    Repetition { repeat: usize },
}
