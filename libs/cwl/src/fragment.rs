//! Cutting a part out of a workflow, so that it can run elsewhere as a workflow of its own.

use std::collections::{BTreeMap, BTreeSet};

use oc_kernel::{Classify, Kind};
use serde_json::Map;

use crate::syntax::Mark;
use crate::{
    Body, Document, Input, Links, Output, Process, Reference, RequirementKind, Source, Step,
    StepInput, StepOutput, Type, Workflow,
};

/// A self-contained workflow made of some steps of another.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// The workflow; its steps keep their names.
    pub document: Document,
    /// What each of its inputs is in the whole workflow.
    pub inputs: Vec<Crossing>,
    /// What each of its outputs is in the whole workflow.
    pub outputs: Vec<Crossing>,
}

/// A link that crosses the border of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The name of the fragment's input or output.
    pub id: String,
    /// The value's name in the whole workflow.
    pub reference: Reference,
}

/// A set of steps that cannot be cut out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Only workflows have steps.
    #[error("a {0} has no steps: make a workflow of it first")]
    NoWorkflow(&'static str),
    /// Nothing was asked for.
    #[error("a fragment needs at least one step")]
    Empty,
    /// The workflow has no such step.
    #[error("the workflow has no step `{0}`")]
    UnknownStep(String),
    /// A step outside depends on one inside and one inside depends on it.
    #[error("a path between the steps {0} leaves them and comes back: add the steps on it")]
    NotConvex(String),
}

impl Classify for FragmentError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Document {
    /// The workflow of these steps alone. Links from outside become inputs; outputs that others or the
    /// workflow's outputs read become outputs. Requirements and hints of the workflow are kept.
    ///
    /// # Errors
    /// When this is no workflow, a step is unknown, or the set is empty or not convex.
    pub fn fragment<S: AsRef<str>>(
        &self,
        steps: impl IntoIterator<Item = S>,
    ) -> Result<Fragment, FragmentError> {
        let process = self.process();
        let (Some(workflow), Some(graph)) = (process.workflow(), process.graph()) else {
            return Err(FragmentError::NoWorkflow(process.class()));
        };
        let wanted: BTreeSet<String> = steps.into_iter().map(|id| id.as_ref().to_owned()).collect();
        if wanted.is_empty() {
            return Err(FragmentError::Empty);
        }
        if let Some(unknown) = wanted.iter().find(|id| graph.step(id).is_none()) {
            return Err(FragmentError::UnknownStep(unknown.clone()));
        }
        let inside: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        if !graph.is_convex(&inside) {
            let names: Vec<_> = inside.into_iter().collect();
            return Err(FragmentError::NotConvex(names.join(", ")));
        }
        Ok(Cut::new(process, workflow, &inside).fragment(self))
    }

    /// This document where it is a workflow, else a workflow with it as the only step, named as the
    /// process or `main`.
    #[must_use]
    pub fn into_workflow(self) -> Document {
        let process = self.process();
        if process.workflow().is_some() {
            return self;
        }
        let step = only_step(process);
        let workflow = Process {
            id: String::new(),
            label: process.label.clone(),
            doc: process.doc.clone(),
            version: process.version,
            inputs: process.inputs.iter().map(bare).collect(),
            outputs: process
                .outputs
                .iter()
                .map(|output| Output {
                    links: link_to(Reference::Step {
                        step: step.id.clone(),
                        output: output.id.clone(),
                    }),
                    ..output_of(
                        &output.id,
                        step.output_type(&output.id).unwrap_or(Type::Any),
                    )
                })
                .collect(),
            requirements: Vec::new(),
            hints: Vec::new(),
            intent: process.intent.clone(),
            extensions: Map::new(),
            body: Body::Workflow(Workflow { steps: vec![step] }),
            mark: process.mark,
        };
        self.with_process(workflow)
    }
}

fn only_step(process: &std::sync::Arc<Process>) -> Step {
    Step {
        id: if process.id.is_empty() {
            "main".to_owned()
        } else {
            process.id.clone()
        },
        label: None,
        doc: None,
        inputs: process
            .inputs
            .iter()
            .map(|input| StepInput {
                id: input.id.clone(),
                label: None,
                links: link_to(Reference::Input(input.id.clone())),
                default: None,
                value_from: None,
                load_contents: false,
                load_listing: None,
                mark: input.mark,
            })
            .collect(),
        outputs: process
            .outputs
            .iter()
            .map(|output| StepOutput {
                id: output.id.clone(),
                mark: output.mark,
            })
            .collect(),
        run: std::sync::Arc::clone(process),
        when: None,
        scatter: Vec::new(),
        scatter_method: None,
        requirements: Vec::new(),
        hints: Vec::new(),
        extensions: Map::new(),
        mark: process.mark,
    }
}

/// An input that passes its value on: what concerns the command line stays with the tool.
fn bare(input: &Input) -> Input {
    Input {
        binding: None,
        type_: match &input.type_ {
            Type::Stdin => Type::File,
            other => other.clone(),
        },
        ..input.clone()
    }
}

fn link_to(reference: Reference) -> Links {
    Links {
        sources: vec![Source {
            reference,
            mark: Mark::default(),
        }],
        ..Links::default()
    }
}

fn output_of(id: &str, type_: Type) -> Output {
    Output {
        id: id.to_owned(),
        type_,
        label: None,
        doc: None,
        secondary_files: Vec::new(),
        streamable: false,
        format: None,
        binding: None,
        links: Links::default(),
        extensions: Map::new(),
        mark: Mark::default(),
    }
}

struct Cut<'p> {
    process: &'p Process,
    workflow: &'p Workflow,
    inside: &'p BTreeSet<&'p str>,
    /// Names of step outputs at the border.
    names: BTreeMap<Reference, String>,
    taken: BTreeSet<String>,
}

impl<'p> Cut<'p> {
    fn new(process: &'p Process, workflow: &'p Workflow, inside: &'p BTreeSet<&'p str>) -> Self {
        Self {
            process,
            workflow,
            inside,
            names: BTreeMap::new(),
            taken: process
                .inputs
                .iter()
                .map(|input| input.id.clone())
                .collect(),
        }
    }

    fn is_inside(&self, reference: &Reference) -> bool {
        matches!(reference, Reference::Step { step, .. } if self.inside.contains(step.as_str()))
    }

    /// The name that a value has at the border of any fragment of this workflow.
    fn name(&mut self, reference: &Reference) -> String {
        let Reference::Step { step, output } = reference else {
            return reference.to_string();
        };
        if let Some(name) = self.names.get(reference) {
            return name.clone();
        }
        let mut name = format!("{step}__{output}");
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        self.names.insert(reference.clone(), name.clone());
        name
    }

    fn fragment(mut self, whole: &Document) -> Fragment {
        let mut inputs = Vec::new();
        let mut crossing_in: Vec<Crossing> = Vec::new();
        let mut steps = Vec::new();
        for step in &self.workflow.steps {
            if !self.inside.contains(step.id.as_str()) {
                continue;
            }
            let mut step = step.clone();
            for input in &mut step.inputs {
                for source in &mut input.links.sources {
                    if self.is_inside(&source.reference) {
                        continue;
                    }
                    let id = self.name(&source.reference);
                    if !crossing_in.iter().any(|crossing| crossing.id == id) {
                        inputs.push(self.input(&id, &source.reference));
                        crossing_in.push(Crossing {
                            id: id.clone(),
                            reference: source.reference.clone(),
                        });
                    }
                    source.reference = Reference::Input(id);
                }
            }
            steps.push(step);
        }
        let mut outputs = Vec::new();
        let mut crossing_out = Vec::new();
        for reference in self.leaving() {
            let id = self.name(&reference);
            let type_ = self.type_of(&reference);
            outputs.push(Output {
                links: link_to(reference.clone()),
                ..output_of(&id, type_)
            });
            crossing_out.push(Crossing { id, reference });
        }
        let mut process = Process {
            inputs,
            outputs,
            extensions: Map::new(),
            body: Body::Workflow(Workflow { steps }),
            ..self.process.clone()
        };
        process
            .requirements
            .retain(|requirement| !matches!(requirement.kind, RequirementKind::SchemaDef(_)));
        Fragment {
            document: whole.with_process(process),
            inputs: crossing_in,
            outputs: crossing_out,
        }
    }

    fn input(&self, id: &str, reference: &Reference) -> Input {
        if let Reference::Input(name) = reference
            && let Some(input) = self.process.input(name)
        {
            return input.clone();
        }
        Input {
            id: id.to_owned(),
            type_: self.type_of(reference),
            label: None,
            doc: None,
            secondary_files: Vec::new(),
            streamable: false,
            format: Vec::new(),
            load_contents: false,
            load_listing: None,
            default: None,
            binding: None,
            extensions: Map::new(),
            mark: Mark::default(),
        }
    }

    fn type_of(&self, reference: &Reference) -> Type {
        let type_ = match reference {
            Reference::Input(name) => self.process.input(name).map(|input| input.type_.clone()),
            Reference::Step { step, output } => self
                .workflow
                .step(step)
                .and_then(|step| step.output_type(output)),
        };
        type_.unwrap_or(Type::Any)
    }

    /// Outputs of steps inside that steps outside or the workflow's outputs read.
    fn leaving(&self) -> BTreeSet<Reference> {
        let outside = self
            .workflow
            .steps
            .iter()
            .filter(|step| !self.inside.contains(step.id.as_str()))
            .flat_map(Step::references);
        let results = self
            .process
            .outputs
            .iter()
            .flat_map(|output| output.links.references());
        outside
            .chain(results)
            .filter(|reference| self.is_inside(reference))
            .cloned()
            .collect()
    }
}
