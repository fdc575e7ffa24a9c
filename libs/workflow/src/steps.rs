//! What the planner must know of a workflow: its steps, what each needs, and who waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Amounts of machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Whole processor cores.
    pub cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl Resources {
    /// The larger of each amount.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cores: self.cores.max(other.cores),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }

    /// The smaller of each amount.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            cores: self.cores.min(other.cores),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
        }
    }

    /// The sum of each amount; it stays at the largest instead of wrapping.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cores: self.cores.saturating_add(other.cores),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    /// This much, `count` times.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self {
            cores: self.cores.saturating_mul(count),
            memory_bytes: self.memory_bytes.saturating_mul(u64::from(count)),
        }
    }

    /// True when none of it is above `other`.
    pub fn fits(self, other: Self) -> bool {
        self.cores <= other.cores && self.memory_bytes <= other.memory_bytes
    }
}

/// What one job of a step needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Cores and memory of one job (CWL ResourceRequirement, the least).
    pub resources: Resources,
    /// Most seconds one job may take (CWL ToolTimeLimit), where declared.
    pub seconds: Option<u64>,
    /// Bytes one job leaves behind (CWL `outdirMin`), where declared.
    pub output_bytes: Option<u64>,
    /// Jobs side by side at most: the width of a scatter where it is known, 1 without a scatter.
    pub width: u32,
    /// Programs the step calls, as far as the document tells.
    pub software: BTreeSet<String>,
    /// It runs in a container only (DockerRequirement under `requirements`).
    pub container: bool,
}

/// One step of the outermost workflow. A subworkflow or a scatter is one step: it is never split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its id in the workflow.
    pub id: String,
    /// The ids of the steps whose outputs it reads.
    pub upstream: BTreeSet<String>,
    /// The workflow's inputs it reads.
    pub inputs: BTreeSet<String>,
    /// What it needs.
    pub needs: Needs,
}

/// The steps of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// In the order of the document.
    pub steps: Vec<Step>,
    /// For each output of the workflow the steps it comes from.
    pub outputs: BTreeMap<String, BTreeSet<String>>,
}

/// Why steps cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// Nothing to run.
    #[error("the workflow has no step")]
    Empty,
    /// Two steps of one id.
    #[error("two steps are called `{0}`")]
    Twice(String),
    /// A link from a step that does not exist.
    #[error("step `{step}` reads from `{upstream}`, which does not exist")]
    Missing {
        /// The reader.
        step: String,
        /// What it names.
        upstream: String,
    },
    /// Steps that wait for each other.
    #[error("these steps wait for each other: {}", .0.join(", "))]
    Cycle(Vec<String>),
    /// More steps than a plan may have.
    #[error("a workflow may have {limit} steps, this one has {given}")]
    TooMany {
        /// What is allowed.
        limit: usize,
        /// What was given.
        given: usize,
    },
}

/// The steps by number, with links both ways and an order in which each comes after what it reads.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub(crate) steps: &'a [Step],
    pub(crate) upstream: Vec<Vec<usize>>,
    pub(crate) downstream: Vec<Vec<usize>>,
    pub(crate) order: Vec<usize>,
}

impl Steps {
    /// Most steps a plan may have.
    pub const LIMIT: usize = 5_000;

    pub(crate) fn graph(&self) -> Result<Graph<'_>, StepsError> {
        let count = self.steps.len();
        if count == 0 {
            return Err(StepsError::Empty);
        }
        if count > Self::LIMIT {
            return Err(StepsError::TooMany {
                limit: Self::LIMIT,
                given: count,
            });
        }
        let mut numbers = BTreeMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            if numbers.insert(step.id.as_str(), number).is_some() {
                return Err(StepsError::Twice(step.id.clone()));
            }
        }
        let mut upstream = vec![Vec::new(); count];
        let mut downstream = vec![Vec::new(); count];
        for (number, step) in self.steps.iter().enumerate() {
            for source in &step.upstream {
                let from = *numbers
                    .get(source.as_str())
                    .ok_or_else(|| StepsError::Missing {
                        step: step.id.clone(),
                        upstream: source.clone(),
                    })?;
                upstream[number].push(from);
                downstream[from].push(number);
            }
        }
        let order = self.order(&upstream, &downstream)?;
        Ok(Graph {
            steps: &self.steps,
            upstream,
            downstream,
            order,
        })
    }

    /// Kahn's algorithm; ties are broken by the order of the document.
    fn order(
        &self,
        upstream: &[Vec<usize>],
        downstream: &[Vec<usize>],
    ) -> Result<Vec<usize>, StepsError> {
        let mut waits: Vec<usize> = upstream.iter().map(Vec::len).collect();
        let mut ready: BTreeSet<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
        let mut order = Vec::with_capacity(waits.len());
        while let Some(next) = ready.pop_first() {
            order.push(next);
            for &after in &downstream[next] {
                waits[after] -= 1;
                if waits[after] == 0 {
                    ready.insert(after);
                }
            }
        }
        if order.len() == waits.len() {
            return Ok(order);
        }
        let stuck = (0..waits.len()).filter(|at| waits[*at] > 0);
        Err(StepsError::Cycle(
            stuck.map(|at| self.steps[at].id.clone()).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn step(id: &str, upstream: &[&str]) -> Step {
        Step {
            id: id.to_owned(),
            upstream: upstream.iter().map(|&s| s.to_owned()).collect(),
            inputs: BTreeSet::new(),
            needs: Needs::default(),
        }
    }

    fn graph_error(steps: Vec<Step>) -> StepsError {
        let steps = Steps {
            steps,
            outputs: BTreeMap::new(),
        };
        steps.graph().map(|graph| graph.order).unwrap_err()
    }

    #[test]
    fn each_step_comes_after_what_it_reads() {
        let steps = Steps {
            steps: vec![step("c", &["a", "b"]), step("b", &["a"]), step("a", &[])],
            outputs: BTreeMap::new(),
        };
        assert_eq!(steps.graph().unwrap().order, [2, 1, 0]);
    }

    #[test]
    fn steps_that_cannot_be_ordered_are_refused_by_name() {
        assert_eq!(graph_error(vec![]), StepsError::Empty);
        assert_eq!(
            graph_error(vec![step("a", &[]), step("a", &[])]),
            StepsError::Twice("a".into())
        );
        assert_eq!(
            graph_error(vec![step("x", &[]), step("a", &["b"]), step("b", &["a"])]),
            StepsError::Cycle(vec!["a".into(), "b".into()])
        );
        assert!(matches!(
            graph_error(vec![step("a", &["z"])]),
            StepsError::Missing { upstream, .. } if upstream == "z"
        ));
    }
}
