//! How wide the scatters of a workflow are, as far as its inputs tell.

use std::collections::BTreeMap;

use oc_cwl::{Document, Process, Reference, ScatterMethod, Step};
use serde_json::Value;

use crate::error::RunError;

/// Refuses a step that would scatter into more jobs than one may have. `lengths` gives the lengths of the inputs that
/// are lists. What shows only in the run, the runner counts.
pub(super) fn check(document: &Document, lengths: &BTreeMap<String, u32>) -> Result<(), RunError> {
    let process = document.process();
    let Some(graph) = process.graph() else {
        return Ok(());
    };
    let mut made = BTreeMap::new();
    for step in graph
        .order()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|id| graph.step(id))
    {
        if step.scatter.is_empty() {
            continue;
        }
        let lists: Vec<Option<usize>> = step
            .scatter
            .iter()
            .map(|name| length(process, step, &name.text, lengths, &made))
            .collect();
        let method = step.scatter_method.unwrap_or(ScatterMethod::Dotproduct);
        // A list of unknown length is taken for one of a single element.
        let least: Vec<usize> = lists.iter().map(|length| length.unwrap_or(1)).collect();
        let Some(jobs) = method.jobs(&least) else {
            return Err(RunError::invalid(
                format!("steps.{}", step.id),
                format!(
                    "it would scatter into more than {} jobs, the most that one step may have: narrow its inputs, or \
                     run them in parts",
                    ScatterMethod::MOST_JOBS
                ),
            ));
        };
        if lists.iter().all(Option::is_some) {
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
    lengths: &BTreeMap<String, u32>,
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
        Reference::Input(name) => {
            let given = lengths.get(name).map(|length| *length as usize);
            given.or_else(|| match process.input(name)?.default.as_ref()? {
                Value::Array(items) => Some(items.len()),
                _ => None,
            })
        }
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

    #[test]
    fn lists_whose_length_shows_in_the_run_are_left_to_the_runner() {
        check(&workflow("flat_crossproduct"), &BTreeMap::new()).unwrap();
    }
}
