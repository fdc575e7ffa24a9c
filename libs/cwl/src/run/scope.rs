//! Which requirement holds for a process: its own comes before that of the step that runs it, that
//! before the workflow's, and any requirement before any hint (CWL v1.2, section 3.6 and 3.7).

use crate::{Process, Requirement, RequirementKind, Step};

/// Requirements and hints from the outermost process to the innermost.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'d> {
    /// Given with the input object, stronger than all.
    overrides: &'d [Requirement],
    levels: Vec<(&'d [Requirement], &'d [Requirement])>,
}

impl<'d> Scope<'d> {
    pub(super) fn new(overrides: &'d [Requirement]) -> Self {
        Self {
            overrides,
            levels: Vec::new(),
        }
    }

    pub(super) fn within_step(&self, step: &'d Step) -> Self {
        self.within(&step.requirements, &step.hints)
    }

    pub(super) fn within_process(&self, process: &'d Process) -> Self {
        self.within(&process.requirements, &process.hints)
    }

    fn within(&self, requirements: &'d [Requirement], hints: &'d [Requirement]) -> Self {
        let mut inner = self.clone();
        if !requirements.is_empty() || !hints.is_empty() {
            inner.levels.push((requirements, hints));
        }
        inner
    }

    /// What the strongest requirement of a kind says, or else the strongest hint.
    pub(super) fn find<T>(&self, pick: impl Fn(&'d RequirementKind) -> Option<T>) -> Option<T> {
        self.required(&pick).or_else(|| {
            let hints = self.levels.iter().rev().flat_map(|(_, hints)| *hints);
            hints.map(|hint| &hint.kind).find_map(&pick)
        })
    }

    /// What the strongest requirement of a kind says, hints apart.
    pub(super) fn required<T>(&self, pick: impl Fn(&'d RequirementKind) -> Option<T>) -> Option<T> {
        let levels = self.levels.iter().rev().flat_map(|(required, _)| *required);
        self.overrides
            .iter()
            .chain(levels)
            .map(|requirement| &requirement.kind)
            .find_map(pick)
    }
}
