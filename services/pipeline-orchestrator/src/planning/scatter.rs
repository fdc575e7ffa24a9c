//! How wide the scatters of a workflow are, as far as its inputs tell.

use std::collections::BTreeMap;

use oc_cwl::{Document, Process, Reference, ScatterMethod, Step, StepInput};
use serde_json::Value;

use crate::error::RunError;

/// How long the lists are that come into a process; none where that shows only in the run.
type Lengths = BTreeMap<String, Option<usize>>;

/// Refuses a step that would have more jobs than one may have, over its own scatter and those around it. `lengths`
/// gives the lengths of the inputs that are lists. What shows only in the run, the runner counts.
pub(super) fn check(document: &Document, lengths: &BTreeMap<String, u32>) -> Result<(), RunError> {
    let lengths = lengths.iter();
    let lengths = lengths.map(|(name, length)| (name.clone(), Some(*length as usize)));
    check_process(document.process(), &lengths.collect(), 1, "steps")
}

/// Checks the steps of a process that runs so many times.
fn check_process(
    process: &Process,
    lengths: &Lengths,
    times: usize,
    path: &str,
) -> Result<(), RunError> {
    let Some(graph) = process.graph() else {
        return Ok(());
    };
    let mut made = BTreeMap::new();
    let order = graph.order().unwrap_or_default().into_iter();
    for step in order.filter_map(|id| graph.step(id)) {
        let path = format!("{path}.{}", step.id);
        let lists: Vec<Option<usize>> = step
            .scatter
            .iter()
            .map(|name| length(process, step, &name.text, lengths, &made))
            .collect();
        let method = step.scatter_method.unwrap_or(ScatterMethod::Dotproduct);
        // A list of unknown length is taken for one of a single element.
        let least: Vec<usize> = lists.iter().map(|length| length.unwrap_or(1)).collect();
        let jobs = match step.scatter.is_empty() {
            true => Some(1),
            false => method.jobs(&least),
        };
        let all = jobs.and_then(|jobs| jobs.checked_mul(times));
        let (Some(jobs), Some(all)) = (
            jobs,
            all.filter(|all| step.scatter.is_empty() || *all <= ScatterMethod::MOST_JOBS),
        ) else {
            let around = match times {
                1 => "",
                _ => " with the scatters around it",
            };
            return Err(RunError::invalid(
                path,
                format!(
                    "it would scatter into more than {} jobs{around}, the most that one step may have: narrow its \
                     inputs, or run them in parts",
                    ScatterMethod::MOST_JOBS
                ),
            ));
        };
        let within = |input: &StepInput| {
            let whole =
                input.value_from.is_none() && !step.scatter.iter().any(|it| it.text == input.id);
            let length = whole.then(|| length(process, step, &input.id, lengths, &made));
            (input.id.clone(), length.flatten())
        };
        let inner: Lengths = step.inputs.iter().map(within).collect();
        check_process(&step.run, &inner, all, &path)?;
        if !lists.is_empty() && lists.iter().all(Option::is_some) {
            let outermost = match method {
                ScatterMethod::NestedCrossproduct => least.first().copied().unwrap_or(0),
                ScatterMethod::Dotproduct | ScatterMethod::FlatCrossproduct => jobs,
            };
            made.insert(step.id.clone(), outermost);
        }
    }
    Ok(())
}

/// How many elements a step's input has, where one list comes as it is.
fn length(
    process: &Process,
    step: &Step,
    input: &str,
    lengths: &Lengths,
    made: &BTreeMap<String, usize>,
) -> Option<usize> {
    let links = &step.input(input)?.links;
    let [source] = links.sources.as_slice() else {
        return None;
    };
    if links.is_list || links.pick.is_some() {
        return None;
    }
    match &source.reference {
        Reference::Input(name) => match lengths.get(name) {
            Some(length) => *length,
            None => match process.input(name)?.default.as_ref()? {
                Value::Array(items) => Some(items.len()),
                _ => None,
            },
        },
        Reference::Step { step, .. } => made.get(step).copied(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request;

    fn workflow(method: &str) -> Document {
        let tool = json!({
            "class": "ExpressionTool", "expression": "${ return {sum: 1}; }",
            "inputs": {"a": "int", "b": {"type": "int", "default": 1}}, "outputs": {"sum": "int"}
        });
        let text = json!({
            "cwlVersion": "v1.2", "class": "Workflow",
            "requirements": {"InlineJavascriptRequirement": {}, "ScatterFeatureRequirement": {}},
            "inputs": {"xs": "int[]", "ys": {"type": "int[]", "default": [1, 2]}},
            "outputs": {},
            "steps": {
                "one": {"scatter": "a", "in": {"a": "xs"}, "out": ["sum"], "run": tool},
                "all": {"scatter": ["a", "b"], "scatterMethod": method,
                        "in": {"a": "one/sum", "b": "ys"}, "out": ["sum"], "run": tool},
            },
        });
        request::document(&text.to_string(), 1 << 20).unwrap()
    }

    fn lengths(xs: u32, ys: Option<u32>) -> BTreeMap<String, u32> {
        let xs = ("xs".to_owned(), xs);
        [xs].into_iter()
            .chain(ys.map(|ys| ("ys".to_owned(), ys)))
            .collect()
    }

    #[test]
    fn a_scatter_too_wide_is_refused_by_its_step_before_anything_is_held() {
        for method in ["flat_crossproduct", "nested_crossproduct"] {
            let document = workflow(method);
            let error = check(&document, &lengths(6000, Some(6000))).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("steps.all: "), "{text}");
            assert!(text.contains("more than 20000 jobs"), "{text}");
            check(&document, &lengths(10_000, None)).unwrap();
            check(&document, &lengths(10_001, None)).unwrap_err();
        }
        let error = check(&workflow("dotproduct"), &lengths(20_001, None)).unwrap_err();
        assert!(error.to_string().starts_with("steps.one: "), "{error}");
    }

    /// A tool below `levels` of workflows of one step each, which all scatter over one list.
    fn nested(levels: usize) -> Document {
        let tool = json!({
            "class": "ExpressionTool", "expression": "${ return {sum: 1}; }",
            "inputs": {"a": "int", "xs": "int[]"}, "outputs": {"sum": "int"}
        });
        let around = |inner: Value, _| {
            json!({
                "class": "Workflow", "inputs": {"a": "int", "xs": "int[]"}, "outputs": {},
                "steps": {"in": {"scatter": "a", "in": {"a": "xs", "xs": "xs"}, "out": [], "run": inner}},
            })
        };
        let mut text = (0..levels).fold(tool, around);
        text["cwlVersion"] = json!("v1.2");
        text["requirements"] = json!({
            "InlineJavascriptRequirement": {}, "ScatterFeatureRequirement": {},
            "SubworkflowFeatureRequirement": {},
        });
        request::document(&text.to_string(), 1 << 20).unwrap()
    }

    #[test]
    fn scatters_within_one_another_are_counted_together() {
        check(&nested(2), &lengths(140, None)).unwrap();
        let error = check(&nested(4), &lengths(140, None)).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("steps.in.in.in: "), "{text}");
        assert!(
            text.contains("20000 jobs with the scatters around it"),
            "{text}"
        );
        check(&nested(4), &BTreeMap::new()).unwrap();
    }

    #[test]
    fn lists_whose_length_shows_in_the_run_are_left_to_the_runner() {
        check(&workflow("flat_crossproduct"), &BTreeMap::new()).unwrap();
    }
}
