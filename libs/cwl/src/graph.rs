//! The steps of a workflow as a graph, for whoever plans where they run.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::{Links, Process, Reference, ScatterMethod, Step, Type};

/// Which step needs which. Steps are numbered in the order of the document.
#[derive(Debug, Clone)]
pub struct Graph<'p> {
    steps: &'p [Step],
    index: HashMap<&'p str, usize>,
    upstream: Vec<BTreeSet<usize>>,
    downstream: Vec<BTreeSet<usize>>,
}

impl Process {
    /// The graph of its steps; none where it is no workflow.
    pub fn graph(&self) -> Option<Graph<'_>> {
        Some(Graph::new(&self.workflow()?.steps))
    }
}

impl<'p> Graph<'p> {
    fn new(steps: &'p [Step]) -> Self {
        let index: HashMap<&str, usize> = steps
            .iter()
            .enumerate()
            .map(|(number, step)| (step.id.as_str(), number))
            .collect();
        let mut upstream = vec![BTreeSet::new(); steps.len()];
        let mut downstream = vec![BTreeSet::new(); steps.len()];
        for (number, step) in steps.iter().enumerate() {
            for reference in step.references() {
                if let Reference::Step { step: from, .. } = reference
                    && let Some(from) = index.get(from.as_str())
                {
                    upstream[number].insert(*from);
                    downstream[*from].insert(number);
                }
            }
        }
        Self {
            steps,
            index,
            upstream,
            downstream,
        }
    }

    /// The steps in the order of the document.
    pub const fn steps(&self) -> &'p [Step] {
        self.steps
    }

    /// The step of that name.
    pub fn step(&self, id: &str) -> Option<&'p Step> {
        self.number(id).map(|number| &self.steps[number])
    }

    pub(crate) fn number(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Steps whose outputs the step reads.
    pub fn upstream(&self, id: &str) -> Vec<&'p str> {
        self.neighbours(id, &self.upstream)
    }

    /// Steps that read the step's outputs.
    pub fn downstream(&self, id: &str) -> Vec<&'p str> {
        self.neighbours(id, &self.downstream)
    }

    fn neighbours(&self, id: &str, of: &[BTreeSet<usize>]) -> Vec<&'p str> {
        self.number(id)
            .map(|number| of[number].iter().map(|other| self.name(*other)).collect())
            .unwrap_or_default()
    }

    fn name(&self, number: usize) -> &'p str {
        self.steps[number].id.as_str()
    }

    /// Inputs of the workflow that the step reads.
    pub fn inputs_of(&self, id: &str) -> Vec<&'p str> {
        let Some(step) = self.step(id) else {
            return Vec::new();
        };
        let inputs: BTreeSet<_> = step
            .references()
            .filter_map(|reference| match reference {
                Reference::Input(input) => Some(input.as_str()),
                Reference::Step { .. } => None,
            })
            .collect();
        inputs.into_iter().collect()
    }

    /// The steps in an order in which each comes after all it needs.
    ///
    /// # Errors
    /// The steps that wait for each other in a circle.
    pub fn order(&self) -> Result<Vec<&'p str>, Vec<&'p str>> {
        let mut waiting: Vec<usize> = self.upstream.iter().map(BTreeSet::len).collect();
        let mut ready: VecDeque<usize> = (0..self.steps.len())
            .filter(|number| waiting[*number] == 0)
            .collect();
        let mut order = Vec::with_capacity(self.steps.len());
        while let Some(number) = ready.pop_front() {
            order.push(self.name(number));
            for next in &self.downstream[number] {
                waiting[*next] -= 1;
                if waiting[*next] == 0 {
                    ready.push_back(*next);
                }
            }
        }
        if order.len() == self.steps.len() {
            return Ok(order);
        }
        Err(self.circle(&waiting))
    }

    /// One circle among the steps that still wait.
    fn circle(&self, waiting: &[usize]) -> Vec<&'p str> {
        let blocked = |number: &usize| waiting[*number] > 0;
        let mut path: Vec<usize> = Vec::new();
        let mut at = (0..self.steps.len()).find(blocked);
        while let Some(number) = at {
            if let Some(start) = path.iter().position(|seen| *seen == number) {
                return path[start..]
                    .iter()
                    .map(|number| self.name(*number))
                    .collect();
            }
            path.push(number);
            at = self.upstream[number].iter().copied().find(blocked);
        }
        Vec::new()
    }

    /// For each step, how many others it waits for and which read its outputs.
    pub(crate) fn into_waiting(self) -> (Vec<usize>, Vec<BTreeSet<usize>>) {
        let waiting = self.upstream.iter().map(BTreeSet::len).collect();
        (waiting, self.downstream)
    }

    /// True where no path leaves the set and comes back: only such sets can run as one fragment.
    pub fn is_convex(&self, steps: &BTreeSet<&str>) -> bool {
        let inside: BTreeSet<usize> = steps.iter().filter_map(|id| self.number(id)).collect();
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<usize> = inside
            .iter()
            .flat_map(|number| &self.downstream[*number])
            .filter(|number| !inside.contains(number))
            .copied()
            .collect();
        while let Some(number) = queue.pop_front() {
            if inside.contains(&number) {
                return false;
            }
            if seen.insert(number) {
                queue.extend(&self.downstream[number]);
            }
        }
        true
    }
}

impl Step {
    /// Everything that the step's inputs are linked to, in the order of the document.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.inputs
            .iter()
            .flat_map(|input| input.links.references())
    }

    /// The type of an output as others see it: a list where the step scatters, maybe null where it has
    /// a condition. None where what it runs has no such output.
    pub fn output_type(&self, id: &str) -> Option<Type> {
        let mut type_ = match &self.run.output(id)?.type_ {
            Type::Stdout | Type::Stderr => Type::File,
            other => other.clone(),
        };
        if self.when.is_some() {
            type_ = type_.optional();
        }
        let levels = match self.scatter_method {
            Some(ScatterMethod::NestedCrossproduct) => self.scatter.len(),
            _ => self.scatter.len().min(1),
        };
        for _ in 0..levels {
            type_ = Type::array_of(type_);
        }
        Some(type_)
    }
}

impl Links {
    /// What the links begin at.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.sources.iter().map(|source| &source.reference)
    }
}
