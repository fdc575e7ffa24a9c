//! Tools, expression tools, workflows and operations.

use std::sync::Arc;

use super::fields::{EXPRESSION_TOOL, OPERATION, PROCESS, TOOL, WORKFLOW};
use super::loader::{Loader, Scope, short};
use super::reading::{Trail, extensions};
use super::typing::TypeScope;
use crate::syntax::{Data, Mark, Node};
use crate::{
    Argument, Body, CommandLineTool, Dynamic, LoadListing, Process, Requirement, RequirementKind,
    Text, Version,
};

impl Loader<'_> {
    /// The process in `node`. `scope` is that of what embeds it.
    pub(super) fn process(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Process> {
        let Some(class) = node.get("class") else {
            let message = "a process must be a map with `class`";
            self.error(node.mark, trail, message);
            return None;
        };
        let (own, kind): (&[_], _) = match class.as_text() {
            Some("CommandLineTool") => (TOOL, Kind::Tool),
            Some("ExpressionTool") => (EXPRESSION_TOOL, Kind::Expression),
            Some("Workflow") => (WORKFLOW, Kind::Workflow),
            Some("Operation") if scope.version >= Version::V1_2 => (OPERATION, Kind::Operation),
            _ => {
                self.error(
                    class.mark,
                    &trail.at("class"),
                    format!(
                        "`class` must be CommandLineTool, ExpressionTool, Workflow{}",
                        if scope.version >= Version::V1_2 {
                            " or Operation"
                        } else {
                            ""
                        }
                    ),
                );
                return None;
            }
        };
        let map = self.object(
            node,
            class.as_text().unwrap_or_default(),
            &[PROCESS, own],
            scope.version,
            trail,
        )?;
        self.same_version(node, scope, trail);
        let types = TypeScope::below(&scope.types);
        self.announce_types(node, &types);
        let scope = &Scope {
            types: Arc::new(types),
            ..scope.clone()
        };
        let mut process = Process {
            id: self
                .string(node, "id", trail)
                .map(|id| short(&id).to_owned())
                .unwrap_or_default(),
            label: self.string(node, "label", trail),
            doc: self.doc(node, trail),
            version: scope.version,
            inputs: self.inputs(node, scope, trail),
            outputs: self.outputs(node, kind == Kind::Workflow, scope, trail),
            requirements: self.requirements(node, scope, trail),
            hints: self.hints(node, scope, trail),
            intent: self.strings(node, "intent", trail),
            extensions: extensions(map),
            body: Body::Operation,
            mark: node.mark,
        };
        process.body = match kind {
            Kind::Tool => Body::Tool(self.tool(node, scope, trail)),
            Kind::Expression => Body::Expression(self.expression(node, scope, trail)?),
            Kind::Workflow => {
                let workflow = self.workflow(node, &mut process, scope, trail)?;
                Body::Workflow(workflow)
            }
            Kind::Operation => Body::Operation,
        };
        upgrade(&mut process);
        Some(process)
    }

    /// An embedded process must be written in the version of its file.
    fn same_version(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) {
        let Some(field) = node.get("cwlVersion") else {
            return;
        };
        if field.mark.file != scope.file.root.mark.file {
            return;
        }
        let written = field.as_text().and_then(Version::parse);
        if written.is_some_and(|version| version != scope.version) {
            let message = format!(
                "this part says {} inside a document of {}: put it into a file of its own",
                field.as_text().unwrap_or_default(),
                scope.version
            );
            self.error(field.mark, &trail.at("cwlVersion"), message);
        }
    }

    fn expression(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Option<Text> {
        if node.get("expression").is_none() {
            self.error(node.mark, trail, "`expression` is missing");
        }
        self.text(node, "expression", scope, trail)
    }

    fn tool(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> CommandLineTool {
        CommandLineTool {
            base_command: self.strings(node, "baseCommand", trail),
            arguments: self.arguments(node, scope, trail),
            stdin: self.text(node, "stdin", scope, trail),
            stdout: self.text(node, "stdout", scope, trail),
            stderr: self.text(node, "stderr", scope, trail),
            success_codes: self.codes(node, "successCodes", trail),
            temporary_fail_codes: self.codes(node, "temporaryFailCodes", trail),
            permanent_fail_codes: self.codes(node, "permanentFailCodes", trail),
        }
    }

    fn arguments(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<Argument> {
        let Some(field) = node.get("arguments") else {
            return Vec::new();
        };
        let trail = trail.at("arguments");
        let Data::List(items) = &field.data else {
            let message = format!("`arguments` must be a list, not {}", field.describe());
            self.error(field.mark, &trail, message);
            return Vec::new();
        };
        let mut arguments = Vec::new();
        for item in items {
            match &item.data {
                Data::Text(text) => {
                    arguments.push(Argument::Text(self.expression_text(text, item.mark, scope)));
                }
                Data::Map(_) => {
                    if let Some(binding) = self.binding_of(item, scope, &trail) {
                        arguments.push(Argument::Binding(binding));
                    }
                }
                _ => {
                    let message = format!(
                        "an argument must be a string or a map, not {}: quote it",
                        item.describe()
                    );
                    self.error(item.mark, &trail, message);
                }
            }
        }
        arguments
    }

    fn codes(&mut self, node: &Node, key: &str, trail: &Trail<'_>) -> Vec<i64> {
        let Some(field) = node.get(key) else {
            return Vec::new();
        };
        let mut codes = Vec::new();
        for item in field.each() {
            match &item.data {
                Data::Number(number) if number.is_i64() => codes.extend(number.as_i64()),
                _ => self.wrong(item, key, "an integer", trail),
            }
        }
        codes
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tool,
    Expression,
    Workflow,
    Operation,
}

/// Says what was silently so in v1.0: folders are listed to the bottom, and tools may use the network
/// (v1.1 "Changelog", entries on LoadListingRequirement and NetworkAccess).
fn upgrade(process: &mut Process) {
    if process.version > Version::V1_0 {
        return;
    }
    let mark = Mark::default();
    let listing = RequirementKind::LoadListing(Some(LoadListing::Deep));
    let network = RequirementKind::NetworkAccess(Dynamic::Value(true.into()));
    for kind in [listing, network] {
        let said = process
            .requirements
            .iter()
            .chain(&process.hints)
            .any(|requirement| requirement.kind.class() == kind.class());
        if !said {
            process.hints.push(Requirement { kind, mark });
        }
    }
}
