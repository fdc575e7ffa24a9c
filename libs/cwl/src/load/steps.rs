//! Steps of workflows and the links between them.

use std::collections::HashSet;
use std::sync::Arc;

use super::fields::{STEP, STEP_INPUT, STEP_OUTPUT};
use super::loader::{Loader, Scope, fragment, short};
use super::reading::{self, Named, Trail, extensions};
use crate::syntax::{Data, Mark, Node};
use crate::{
    LinkMerge, Links, PickValue, Process, Reference, ScatterMethod, Source, Step, StepInput,
    StepOutput, Text, Workflow,
};

const MERGES: &[(&str, LinkMerge)] = &[
    ("merge_nested", LinkMerge::Nested),
    ("merge_flattened", LinkMerge::Flattened),
];
const PICKS: &[(&str, PickValue)] = &[
    ("first_non_null", PickValue::First),
    ("the_only_non_null", PickValue::TheOnly),
    ("all_non_null", PickValue::All),
];
const METHODS: &[(&str, ScatterMethod)] = &[
    ("dotproduct", ScatterMethod::Dotproduct),
    ("nested_crossproduct", ScatterMethod::NestedCrossproduct),
    ("flat_crossproduct", ScatterMethod::FlatCrossproduct),
];

/// The names that a link in a workflow can mean.
struct Names {
    workflow: String,
    inputs: HashSet<String>,
    steps: HashSet<String>,
}

impl Names {
    /// `step/out`, `in`, or either behind `file.cwl#` and the ids around the workflow.
    fn reference(&self, written: &str) -> Reference {
        let mut parts = fragment(written).rsplit('/');
        let last = parts.next().unwrap_or_default();
        let Some(step) = parts.next() else {
            return Reference::Input(last.to_owned());
        };
        let surrounds = step == self.workflow || written.contains('#');
        if !self.steps.contains(step) && surrounds && self.inputs.contains(last) {
            return Reference::Input(last.to_owned());
        }
        Reference::Step {
            step: step.to_owned(),
            output: last.to_owned(),
        }
    }
}

impl Loader<'_> {
    pub(super) fn workflow(
        &mut self,
        node: &Node,
        process: &mut Process,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Workflow> {
        let Some(steps) = node.get("steps") else {
            self.error(
                node.mark,
                trail,
                "`steps` is missing: write steps: [] for none",
            );
            return None;
        };
        let steps_trail = trail.at("steps");
        let entries = self.named(steps, "id", None, &steps_trail);
        self.steps += entries.len();
        if self.steps > self.limits.steps {
            let limit = self.limits.steps;
            self.error(steps.mark, &steps_trail, format!("more than {limit} steps"));
            return None;
        }
        let names = Names {
            workflow: process.id.clone(),
            inputs: process
                .inputs
                .iter()
                .map(|input| input.id.clone())
                .collect(),
            steps: entries.iter().map(|entry| entry.name.clone()).collect(),
        };
        self.output_links(node, process, &names, trail);
        let steps = entries
            .iter()
            .filter_map(|entry| self.step(entry, &names, scope, &steps_trail.at(&entry.name)))
            .collect();
        Some(Workflow { steps })
    }

    fn output_links(
        &mut self,
        node: &Node,
        process: &mut Process,
        names: &Names,
        trail: &Trail<'_>,
    ) {
        let Some(outputs) = node.get("outputs") else {
            return;
        };
        let trail = trail.at("outputs");
        for output in &mut process.outputs {
            let body = match &outputs.data {
                Data::Map(map) => map
                    .iter()
                    .find(|(key, _)| short(key) == output.id)
                    .map(|(_, entry)| &entry.node),
                _ => outputs.each().iter().find(|item| {
                    let id = item.get("id").and_then(Node::as_text);
                    id.is_some_and(|id| short(id) == output.id)
                }),
            };
            if let Some(body) = body {
                let trail = trail.at(&output.id);
                output.links = self.links(body, "outputSource", names, &trail);
            }
        }
    }

    fn links(&mut self, node: &Node, key: &str, names: &Names, trail: &Trail<'_>) -> Links {
        Links {
            sources: self.sources(node.get(key), key, names, trail),
            is_list: node
                .get(key)
                .is_some_and(|field| matches!(field.data, Data::List(_))),
            merge: self.word(node, "linkMerge", MERGES, trail),
            pick: self.word(node, "pickValue", PICKS, trail),
        }
    }

    fn sources(
        &mut self,
        field: Option<&Node>,
        key: &str,
        names: &Names,
        trail: &Trail<'_>,
    ) -> Vec<Source> {
        let mut sources = Vec::new();
        for item in field.map(Node::each).unwrap_or_default() {
            match item.as_text() {
                Some(text) => sources.push(Source {
                    reference: names.reference(text),
                    mark: item.mark,
                }),
                None => self.wrong(item, key, "the name of an input or step/output", trail),
            }
        }
        sources
    }

    fn step(
        &mut self,
        entry: &Named<'_>,
        names: &Names,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Step> {
        let reading::Body::Full(node) = entry.body else {
            return None;
        };
        let map = self.object(node, "a step", &[STEP], scope.version, trail)?;
        // Read first, so that faults of the step itself are found even where `run` is broken.
        let inputs = self.step_inputs(node, names, scope, trail);
        let outputs = self.step_outputs(node, scope, trail);
        let requirements = self.requirements(node, scope, trail);
        let hints = self.hints(node, scope, trail);
        let scatter = self
            .texts(node, "scatter", trail)
            .into_iter()
            .map(|text| Text {
                text: short(&text.text).to_owned(),
                mark: text.mark,
            })
            .collect();
        let scatter_method = self.word(node, "scatterMethod", METHODS, trail);
        let when = self.text(node, "when", scope, trail);
        let label = self.string(node, "label", trail);
        let doc = self.doc(node, trail);
        let run = self.run(node, scope, trail)?;
        Some(Step {
            id: entry.name.clone(),
            label,
            doc,
            inputs,
            outputs,
            run,
            when,
            scatter,
            scatter_method,
            requirements,
            hints,
            extensions: extensions(map),
            mark: entry.mark,
        })
    }

    fn run(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Option<Arc<Process>> {
        let trail = trail.at("run");
        let Some(run) = node.get("run") else {
            self.error(node.mark, &trail, "`run` is missing");
            return None;
        };
        match &run.data {
            Data::Text(reference) => self.referenced(reference, run.mark, scope, &trail),
            Data::Map(_) => self.process(run, scope, &trail).map(Arc::new),
            _ => {
                self.wrong(run, "run", "a process or the name of one", &trail);
                None
            }
        }
    }

    fn step_inputs(
        &mut self,
        node: &Node,
        names: &Names,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Vec<StepInput> {
        let trail = trail.at("in");
        let Some(field) = node.get("in") else {
            self.error(node.mark, &trail, "`in` is missing: write in: [] for none");
            return Vec::new();
        };
        let mut inputs = Vec::new();
        for entry in self.named(field, "id", Some("source"), &trail) {
            let trail = trail.at(&entry.name);
            match entry.body {
                reading::Body::Short(source) => inputs.push(StepInput {
                    links: Links {
                        sources: self.sources(Some(source), "source", names, &trail),
                        is_list: matches!(source.data, Data::List(_)),
                        ..Links::default()
                    },
                    ..bare_input(entry.name.clone(), entry.mark)
                }),
                reading::Body::Full(body) => {
                    let rules = [STEP_INPUT];
                    self.object(body, "a step input", &rules, scope.version, &trail);
                    inputs.push(StepInput {
                        label: self.string(body, "label", &trail),
                        links: self.links(body, "source", names, &trail),
                        default: self.default_value(body),
                        value_from: self.text(body, "valueFrom", scope, &trail),
                        load_contents: self.boolean(body, "loadContents", false, &trail),
                        load_listing: self.load_listing(body, &trail),
                        ..bare_input(entry.name.clone(), entry.mark)
                    });
                }
            }
        }
        inputs
    }

    fn step_outputs(&mut self, node: &Node, scope: &Scope, trail: &Trail<'_>) -> Vec<StepOutput> {
        let trail = trail.at("out");
        let Some(field) = node.get("out") else {
            self.error(
                node.mark,
                &trail,
                "`out` is missing: write out: [] for none",
            );
            return Vec::new();
        };
        let mut outputs = Vec::new();
        for item in field.each() {
            let id = match &item.data {
                Data::Text(id) => Some(id.as_str()),
                Data::Map(_) => {
                    self.object(item, "a step output", &[STEP_OUTPUT], scope.version, &trail);
                    item.get("id").and_then(Node::as_text)
                }
                _ => None,
            };
            match id {
                Some(id) => outputs.push(StepOutput {
                    id: short(id).to_owned(),
                    mark: item.mark,
                }),
                None => self.error(item.mark, &trail, "expected the name of an output"),
            }
        }
        outputs
    }
}

fn bare_input(id: String, mark: Mark) -> StepInput {
    StepInput {
        id,
        label: None,
        links: Links::default(),
        default: None,
        value_from: None,
        load_contents: false,
        load_listing: None,
        mark,
    }
}
