//! Processes: tools, expression tools, workflows and operations.

use serde_json::{Map, Value};

use super::{Binding, Input, Output, Requirement, RequirementKind, Text, Version, Workflow};
use crate::syntax::Mark;

/// Something that turns inputs into outputs.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its name; may be empty for an embedded one.
    pub id: String,
    /// A short name for people.
    pub label: Option<String>,
    /// Documentation.
    pub doc: Option<String>,
    /// The version it was written in, which decides some details of evaluation.
    pub version: Version,
    /// What it needs, in the order of the document.
    pub inputs: Vec<Input>,
    /// What it gives, in the order of the document.
    pub outputs: Vec<Output>,
    /// What must be honoured.
    pub requirements: Vec<Requirement>,
    /// What should be honoured.
    pub hints: Vec<Requirement>,
    /// What it is for, as IRIs.
    pub intent: Vec<String>,
    /// Fields with a namespace, as they came; the canvas keeps its layout in one.
    pub extensions: Map<String, Value>,
    /// What it does.
    pub body: Body,
    /// Where it stands.
    pub mark: Mark,
}

/// What a process does.
#[derive(Debug, Clone)]
pub enum Body {
    /// Runs a command.
    Tool(CommandLineTool),
    /// Evaluates an expression.
    Expression(Text),
    /// Runs steps.
    Workflow(Workflow),
    /// Stands for something that is not described; it cannot run.
    Operation,
}

/// The part of a process that is a command.
#[derive(Debug, Clone, Default)]
pub struct CommandLineTool {
    /// The first words of the command.
    pub base_command: Vec<String>,
    /// Further words, sorted among the inputs.
    pub arguments: Vec<Argument>,
    /// File to read from.
    pub stdin: Option<Text>,
    /// File to write to.
    pub stdout: Option<Text>,
    /// File to write errors to.
    pub stderr: Option<Text>,
    /// Exit codes that mean success; zero only where it is empty.
    pub success_codes: Vec<i64>,
    /// Exit codes after which another try may succeed.
    pub temporary_fail_codes: Vec<i64>,
    /// Exit codes that mean failure.
    pub permanent_fail_codes: Vec<i64>,
}

/// One entry of `arguments`.
#[derive(Debug, Clone)]
pub enum Argument {
    /// A word, or an expression for one.
    Text(Text),
    /// A word with a position, a prefix and so on.
    Binding(Binding),
}

impl Process {
    /// The name of its class in a document.
    pub const fn class(&self) -> &'static str {
        match self.body {
            Body::Tool(_) => "CommandLineTool",
            Body::Expression(_) => "ExpressionTool",
            Body::Workflow(_) => "Workflow",
            Body::Operation => "Operation",
        }
    }

    /// The workflow, where it is one.
    pub const fn workflow(&self) -> Option<&Workflow> {
        match &self.body {
            Body::Workflow(workflow) => Some(workflow),
            _ => None,
        }
    }

    /// The input of that name.
    pub fn input(&self, id: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.id == id)
    }

    /// The output of that name.
    pub fn output(&self, id: &str) -> Option<&Output> {
        self.outputs.iter().find(|output| output.id == id)
    }

    /// The first requirement, or else hint, that `pick` finds something in.
    pub fn requirement<'p, T>(
        &'p self,
        pick: impl Fn(&'p RequirementKind) -> Option<T>,
    ) -> Option<T> {
        self.requirements
            .iter()
            .chain(&self.hints)
            .find_map(|requirement| pick(&requirement.kind))
    }
}
