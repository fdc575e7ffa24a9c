//! Workflows: steps and the links between them (CWL v1.2, Workflow description, section 4).

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{LoadListing, Process, Requirement, Text};
use crate::syntax::Mark;

/// The part of a process that is a workflow.
#[derive(Debug, Clone, Default)]
pub struct Workflow {
    /// The steps in the order of the document.
    pub steps: Vec<Step>,
}

impl Workflow {
    /// The step of that name.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name inside the workflow.
    pub id: String,
    /// A short name for people.
    pub label: Option<String>,
    /// Documentation.
    pub doc: Option<String>,
    /// What it is given.
    pub inputs: Vec<StepInput>,
    /// Which outputs of `run` others may use.
    pub outputs: Vec<StepOutput>,
    /// What it runs.
    pub run: Arc<Process>,
    /// Whether it runs at all.
    pub when: Option<Text>,
    /// Inputs it is repeated over.
    pub scatter: Vec<Text>,
    /// How several scattered inputs are combined.
    pub scatter_method: Option<ScatterMethod>,
    /// What must be honoured by what it runs.
    pub requirements: Vec<Requirement>,
    /// What should be honoured by what it runs.
    pub hints: Vec<Requirement>,
    /// Fields with a namespace, as they came.
    pub extensions: Map<String, Value>,
    /// Where it stands.
    pub mark: Mark,
}

impl Step {
    /// The input of that name.
    pub fn input(&self, id: &str) -> Option<&StepInput> {
        self.inputs.iter().find(|input| input.id == id)
    }

    /// True where others may use that output.
    pub fn has_output(&self, id: &str) -> bool {
        self.outputs.iter().any(|output| output.id == id)
    }
}

/// One input of a step.
#[derive(Debug, Clone)]
pub struct StepInput {
    /// Its name, which is that of an input of `run` where there is one.
    pub id: String,
    /// A short name for people.
    pub label: Option<String>,
    /// Where its value comes from.
    pub links: Links,
    /// The value where no source gives one.
    pub default: Option<Value>,
    /// What computes the value from the sources'.
    pub value_from: Option<Text>,
    /// Whether the first 64 KiB of a `File` are loaded.
    pub load_contents: bool,
    /// How far a `Directory` is listed.
    pub load_listing: Option<LoadListing>,
    /// Where it stands.
    pub mark: Mark,
}

/// One output of a step.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub mark: Mark,
}

/// The sources of a value and how they are joined.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// The sources in the order of the document.
    pub sources: Vec<Source>,
    /// True where the document writes a list, even of one.
    pub is_list: bool,
    /// How several are joined.
    pub merge: Option<LinkMerge>,
    /// How nulls are left out.
    pub pick: Option<PickValue>,
}

/// One source with its place.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it names.
    pub reference: Reference,
    /// Where it stands.
    pub mark: Mark,
}

/// What a link begins at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// An input of the workflow.
    Input(String),
    /// An output of a step.
    Step {
        /// The step.
        step: String,
        /// Its output.
        output: String,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(id) => f.write_str(id),
            Self::Step { step, output } => write!(f, "{step}/{output}"),
        }
    }
}

/// How several sources are joined (LinkMergeMethod).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMerge {
    /// A list with one element for each source.
    Nested,
    /// A list of all elements of all sources.
    Flattened,
}

/// How nulls among the sources are left out (PickValueMethod).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickValue {
    /// The first that is not null; there must be one.
    First,
    /// The only one that is not null; there must be exactly one.
    TheOnly,
    /// All that are not null.
    All,
}

/// How several scattered inputs are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScatterMethod {
    /// Element by element; the lists have one length.
    Dotproduct,
    /// Every combination, as nested lists.
    NestedCrossproduct,
    /// Every combination, as one list.
    FlatCrossproduct,
}

impl ScatterMethod {
    /// Most jobs of one step that scatters: each may leave an output object that is held until the last has ended.
    pub const MOST_JOBS: usize = 20_000;

    /// How many jobs lists of these lengths make; none for more than [`Self::MOST_JOBS`].
    pub fn jobs(self, lengths: &[usize]) -> Option<usize> {
        let within = |jobs: usize| (jobs <= Self::MOST_JOBS).then_some(jobs);
        let one_more = |jobs: usize, length: &usize| within(jobs.checked_mul(*length)?);
        match self {
            Self::Dotproduct => within(lengths.iter().copied().max().unwrap_or(0)),
            Self::FlatCrossproduct if lengths.contains(&0) => Some(0),
            // An empty list among nested ones still leaves a result for all lists before it.
            Self::NestedCrossproduct | Self::FlatCrossproduct => {
                lengths.iter().try_fold(1, one_more)
            }
        }
    }
}

impl LinkMerge {
    /// As a document writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nested => "merge_nested",
            Self::Flattened => "merge_flattened",
        }
    }
}

impl PickValue {
    /// As a document writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first_non_null",
            Self::TheOnly => "the_only_non_null",
            Self::All => "all_non_null",
        }
    }
}

impl ScatterMethod {
    /// As a document writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dotproduct => "dotproduct",
            Self::NestedCrossproduct => "nested_crossproduct",
            Self::FlatCrossproduct => "flat_crossproduct",
        }
    }
}
