//! Graphs and fragments.

use std::collections::BTreeSet;

use oc_cwl::{Document, FragmentError, Reference};

use crate::document;

/// fetch -> (ndvi, colour) -> pack; ndvi is read by the result too.
const WORKFLOW: &str = "\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs:
  scenes: string[]
  area: string
outputs:
  index: {type: 'File[]', outputSource: ndvi/out}
  all: {type: File, outputSource: pack/out}
steps:
  fetch:
    scatter: x
    in: {x: scenes, y: area}
    out: [out]
    run: &tool
      class: CommandLineTool
      baseCommand: work
      inputs: {x: Any, y: Any?}
      outputs: {out: stdout}
  ndvi: {scatter: x, in: {x: fetch/out}, out: [out], run: *tool}
  colour: {scatter: x, in: {x: fetch/out}, out: [out], run: *tool}
  pack: {in: {x: ndvi/out, y: colour/out}, out: [out], run: *tool}
";

fn whole() -> Document {
    let document = document(WORKFLOW);
    assert_eq!(document.check(), []);
    document
}

fn step(step: &str, output: &str) -> Reference {
    Reference::Step {
        step: step.to_owned(),
        output: output.to_owned(),
    }
}

#[test]
fn the_graph_knows_who_waits_for_whom() {
    let whole = whole();
    let graph = whole.process().graph().unwrap();
    assert_eq!(graph.upstream("pack"), ["ndvi", "colour"]);
    assert_eq!(graph.downstream("fetch"), ["ndvi", "colour"]);
    assert_eq!(graph.inputs_of("fetch"), ["area", "scenes"]);
    assert_eq!(graph.order().unwrap(), ["fetch", "ndvi", "colour", "pack"]);
}

#[test]
fn a_set_that_a_path_leaves_and_enters_again_is_not_convex() {
    let whole = whole();
    let graph = whole.process().graph().unwrap();
    assert!(graph.is_convex(&BTreeSet::from(["fetch", "ndvi"])));
    assert!(!graph.is_convex(&BTreeSet::from(["fetch", "pack"])));
    let error = whole.fragment(["fetch", "pack"]).unwrap_err();
    assert!(matches!(error, FragmentError::NotConvex(_)), "{error}");
}

#[test]
fn crossing_links_become_inputs_and_outputs_with_their_types() {
    let fragment = whole().fragment(["ndvi", "colour"]).unwrap();
    let ids = |crossings: &[oc_cwl::Crossing]| -> Vec<(String, Reference)> {
        crossings
            .iter()
            .map(|crossing| (crossing.id.clone(), crossing.reference.clone()))
            .collect()
    };
    assert_eq!(
        ids(&fragment.inputs),
        [("fetch__out".to_owned(), step("fetch", "out"))]
    );
    assert_eq!(
        ids(&fragment.outputs),
        [
            ("colour__out".to_owned(), step("colour", "out")),
            ("ndvi__out".to_owned(), step("ndvi", "out"))
        ]
    );
    let process = fragment.document.process();
    assert_eq!(
        process.input("fetch__out").unwrap().type_.to_string(),
        "File[]"
    );
    assert_eq!(
        process.output("ndvi__out").unwrap().type_.to_string(),
        "File[]"
    );
    assert_eq!(fragment.document.check(), []);
}

#[test]
fn a_fragment_is_self_contained_and_keeps_its_digest() {
    let fragment = whole().fragment(["fetch"]).unwrap();
    let text = fragment.document.to_json();
    let again = document(&text);
    assert_eq!(again.check(), []);
    assert_eq!(again.digest(), fragment.document.digest());
    assert_eq!(again.process().requirements.len(), 1);
    assert!(again.process().input("area").is_some());
}

#[test]
fn all_steps_together_are_the_workflow_with_its_inputs() {
    let whole = whole();
    let fragment = whole.fragment(["fetch", "ndvi", "colour", "pack"]).unwrap();
    let names: Vec<_> = fragment
        .inputs
        .iter()
        .map(|crossing| crossing.id.as_str())
        .collect();
    assert_eq!(names, ["scenes", "area"]);
    let names: Vec<_> = fragment
        .outputs
        .iter()
        .map(|crossing| crossing.id.as_str())
        .collect();
    assert_eq!(names, ["ndvi__out", "pack__out"]);
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let none: [&str; 0] = [];
    assert_eq!(whole().fragment(none).unwrap_err(), FragmentError::Empty);
    let unknown = whole().fragment(["nvdi"]).unwrap_err();
    assert_eq!(unknown, FragmentError::UnknownStep("nvdi".to_owned()));
}

#[test]
fn a_tool_becomes_a_workflow_of_one_step() {
    let tool = document(
        "cwlVersion: v1.2\nclass: CommandLineTool\nid: show\nbaseCommand: cat\n\
         inputs: {a: {type: File, inputBinding: {}}}\noutputs: {out: stdout}\n",
    );
    let workflow = tool.into_workflow();
    assert_eq!(workflow.check(), []);
    let steps = &workflow.process().workflow().unwrap().steps;
    assert_eq!(steps[0].id, "show");
    assert_eq!(
        workflow.process().output("out").unwrap().type_.to_string(),
        "File"
    );
    assert!(workflow.fragment(["show"]).is_ok());
}

#[test]
fn names_at_the_border_do_not_collide_with_inputs() {
    let text = WORKFLOW.replace("  area: string", "  area: string\n  fetch__out: int?");
    let fragment = document(&text).fragment(["ndvi"]).unwrap();
    assert_eq!(fragment.inputs[0].id, "fetch__out_");
}
