//! Processes and steps in canonical form.

use serde_json::{Map, Value};

use super::parameters::{binding, input, links, output, sorted};
use super::requirements::requirement;
use super::{Fields, texts};
use crate::{Argument, Body, CommandLineTool, Process, Requirement, Step, StepInput};

/// `run` gives what stands as `run` of a step.
pub(super) fn process(process: &Process, run: &dyn Fn(&Step) -> Value) -> Map<String, Value> {
    let mut fields = Fields::default();
    fields
        .put("class", process.class())
        .maybe(
            "id",
            (!process.id.is_empty()).then_some(process.id.as_str()),
        )
        .maybe("label", process.label.as_deref())
        .maybe("doc", process.doc.as_deref())
        .list(
            "intent",
            process
                .intent
                .iter()
                .map(|iri| iri.as_str().into())
                .collect(),
        )
        .list("requirements", requirements(&process.requirements))
        .list("hints", requirements(&process.hints))
        .put(
            "inputs",
            process.inputs.iter().map(input).collect::<Vec<_>>(),
        )
        .put(
            "outputs",
            process.outputs.iter().map(output).collect::<Vec<_>>(),
        );
    match &process.body {
        Body::Tool(body) => tool(&mut fields, body),
        Body::Expression(text) => {
            fields.put("expression", text.text.as_str());
        }
        Body::Workflow(workflow) => {
            let steps = workflow.steps.iter().map(|one| step(one, run(one)));
            fields.put("steps", steps.collect::<Vec<_>>());
        }
        Body::Operation => {}
    }
    fields.0.extend(sorted(&process.extensions));
    fields.0
}

fn requirements(list: &[Requirement]) -> Vec<Value> {
    list.iter().filter_map(requirement).collect()
}

fn tool(fields: &mut Fields, tool: &CommandLineTool) {
    let codes = |codes: &[i64]| codes.iter().map(|code| (*code).into()).collect();
    fields
        .list(
            "baseCommand",
            tool.base_command
                .iter()
                .map(|word| word.as_str().into())
                .collect(),
        )
        .list("arguments", tool.arguments.iter().map(argument).collect())
        .text("stdin", tool.stdin.as_ref())
        .text("stdout", tool.stdout.as_ref())
        .text("stderr", tool.stderr.as_ref())
        .list("successCodes", codes(&tool.success_codes))
        .list("temporaryFailCodes", codes(&tool.temporary_fail_codes))
        .list("permanentFailCodes", codes(&tool.permanent_fail_codes));
}

fn argument(argument: &Argument) -> Value {
    match argument {
        Argument::Text(text) => text.text.as_str().into(),
        Argument::Binding(value) => binding(value),
    }
}

fn step(step: &Step, run: Value) -> Value {
    let mut fields = Fields::default();
    fields
        .put("id", step.id.as_str())
        .maybe("label", step.label.as_deref())
        .maybe("doc", step.doc.as_deref())
        .put("in", step.inputs.iter().map(step_input).collect::<Vec<_>>())
        .put(
            "out",
            step.outputs
                .iter()
                .map(|output| Value::from(output.id.as_str()))
                .collect::<Vec<_>>(),
        )
        .list("scatter", texts(&step.scatter))
        .maybe(
            "scatterMethod",
            step.scatter_method.map(crate::ScatterMethod::as_str),
        )
        .text("when", step.when.as_ref())
        .list("requirements", requirements(&step.requirements))
        .list("hints", requirements(&step.hints))
        .put("run", run);
    fields.0.extend(sorted(&step.extensions));
    Value::Object(fields.0)
}

fn step_input(input: &StepInput) -> Value {
    let mut fields = Fields::default();
    fields
        .put("id", input.id.as_str())
        .maybe("label", input.label.as_deref());
    links(&mut fields, "source", &input.links);
    fields
        .maybe("default", input.default.clone())
        .flag("loadContents", input.load_contents)
        .maybe(
            "loadListing",
            input.load_listing.map(crate::LoadListing::as_str),
        )
        .text("valueFrom", input.value_from.as_ref());
    Value::Object(fields.0)
}
