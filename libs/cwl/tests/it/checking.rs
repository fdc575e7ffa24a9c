//! What is wrong with documents, with line and column.

use crate::{document, faults};

const WORKFLOW: &str = "\
cwlVersion: v1.2
class: Workflow
inputs:
  bands: File[]
  scene: string
outputs:
  picture: {type: File, outputSource: paint/picture}
steps:
  paint:
    in:
      bands: bands
      title: scene
    out: [picture]
    run:
      class: CommandLineTool
      baseCommand: paint
      inputs:
        bands: File[]
        title: string
      outputs:
        picture: {type: File, outputBinding: {glob: out.png}}
";

fn changed(from: &str, to: &str) -> String {
    assert!(WORKFLOW.contains(from), "{from}");
    WORKFLOW.replacen(from, to, 1)
}

#[track_caller]
fn only_fault(text: &str, place: &str, message: &str) {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].starts_with(place), "{faults:#?}");
    assert!(faults[0].contains(message), "{faults:#?}");
}

#[test]
fn a_sound_workflow_has_no_findings() {
    assert_eq!(document(WORKFLOW).check(), []);
}

#[test]
fn an_unknown_field_is_named_with_its_neighbour() {
    let text = changed(
        "    out: [picture]",
        "    outt: [picture]\n    out: [picture]",
    );
    only_fault(
        &text,
        "13:5:",
        "a step has no field `outt`: did you mean `out`?",
    );
    let text = changed("baseCommand: paint", "basecommand: paint");
    only_fault(&text, "16:7:", "did you mean `baseCommand`?");
}

#[test]
fn a_field_with_a_namespace_is_kept() {
    let text = changed("  paint:\n", "  paint:\n    oc:layout: {x: 10}\n");
    let document = document(&text);
    assert_eq!(document.check(), []);
    assert!(document.to_json().contains("\"oc:layout\":{\"x\":10}"));
}

#[test]
fn a_version_mix_is_refused() {
    let text = changed("v1.2", "v1.1").replace(
        "    out: [picture]",
        "    out: [picture]\n    when: $(true)",
    );
    only_fault(
        &text,
        "14:5:",
        "`when` came with CWL v1.2, but the document says v1.1",
    );
    let text = changed(
        "class: CommandLineTool",
        "class: CommandLineTool\n      cwlVersion: v1.0",
    );
    only_fault(&text, "16:19:", "v1.0 inside a document of v1.2");
    only_fault(&changed("v1.2", "v2"), "1:13:", "`v2` is not a version");
}

#[test]
fn a_mistyped_link_is_refused() {
    let text = changed("      title: scene", "      title: bands");
    only_fault(&text, "12:14:", "`bands` is File[], but string is wanted");
    let text = changed(
        "picture: {type: File, outputS",
        "picture: {type: int, outputS",
    );
    only_fault(&text, "7:38:", "`paint/picture` is File, but int is wanted");
}

#[test]
fn a_missing_link_is_refused() {
    let text = changed("      title: scene", "      title: scen");
    only_fault(&text, "12:14:", "no input `scen`: did you mean `scene`?");
    let text = changed("outputSource: paint/picture", "outputSource: paint/pictur");
    only_fault(&text, "7:39:", "step `paint` gives no output `pictur`");
    let text = changed("outputSource: paint/picture", "outputSource: pain/picture");
    only_fault(&text, "7:39:", "no step `pain`: did you mean `paint`?");
    let text = changed("out: [picture]", "out: [picture, map]");
    only_fault(&text, "13:20:", "has no output `map`");
}

#[test]
fn a_missing_required_input_is_refused() {
    let text = changed("      title: scene\n", "");
    only_fault(&text, "9:3:", "does not give the input `title` (string)");
    let text = changed("      title: scene\n", "").replace("title: string", "title: string?");
    assert!(faults(&text).is_empty());
}

#[test]
fn scatter_over_what_is_no_list_is_refused() {
    let text = changed(
        "    out: [picture]",
        "    scatter: title\n    out: [picture]",
    )
    .replace("type: File, outputSource", "type: 'File[]', outputSource");
    let faults = faults(&text);
    assert!(faults[0].starts_with("12:14:"), "{faults:#?}");
    assert!(faults[1].starts_with("13:14:"), "{faults:#?}");
    assert!(
        faults[1].contains("must be a list, but it is string"),
        "{faults:#?}"
    );
}

#[test]
fn scatter_over_two_inputs_needs_a_method() {
    let text = changed(
        "    out: [picture]",
        "    scatter: [bands, title]\n    out: [picture]",
    )
    .replace("scene: string", "scene: string[]")
    .replace("        bands: File[]", "        bands: File")
    .replace("type: File, outputSource", "type: 'File[]', outputSource");
    only_fault(
        &text,
        "13:22:",
        "scatters over 2 inputs and needs `scatterMethod`",
    );
    let text = text.replace("    out: [p", "    scatterMethod: dotproduct\n    out: [p");
    assert!(faults(&text).is_empty(), "{:?}", faults(&text));
    let text = text.replace("[bands, title]", "[bands, titel]");
    assert!(
        faults(&text)[1].contains("did you mean `title`?"),
        "{:?}",
        faults(&text)
    );
}

#[test]
fn steps_that_wait_for_each_other_are_refused() {
    let text = "\
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
steps:
  a: {in: {x: b/y}, out: [y], run: &tool {class: ExpressionTool, inputs: {x: Any}, outputs: {y: Any}, expression: $(inputs.x)}}
  b: {in: {x: a/y}, out: [y], run: *tool}
";
    only_fault(text, "6:3:", "these steps wait for each other: a -> b");
}

#[test]
fn an_undeclared_parameter_reference_is_refused() {
    let text = changed("baseCommand: paint", "arguments: [paint, $(inputs.titel)]");
    only_fault(
        &text,
        "16:26:",
        "`inputs.titel` is not declared: did you mean `title`?",
    );
}

#[test]
fn javascript_needs_its_requirement() {
    let script = changed(
        "baseCommand: paint",
        "arguments: [paint, '$(inputs.title + 1)']",
    );
    only_fault(&script, "16:26:", "add InlineJavascriptRequirement");
    let allowed = script.replace(
        "steps:",
        "requirements: {InlineJavascriptRequirement: {}}\nsteps:",
    );
    assert!(faults(&allowed).is_empty(), "{:?}", faults(&allowed));
    let open = changed("baseCommand: paint", "arguments: [paint, '$(inputs.title']");
    only_fault(&open, "16:26:", "never closed");
}

#[test]
fn a_list_that_is_picked_does_not_fit_one_value() {
    let text = changed(
        "outputSource: paint/picture",
        "outputSource: [paint/picture], pickValue: all_non_null",
    );
    only_fault(&text, "7:40:", "is File[], but File is wanted");
}

#[test]
fn an_unsupported_requirement_and_a_wrong_word_are_refused() {
    let text = changed("steps:", "requirements: {DockerRequirment: {}}\nsteps:");
    only_fault(&text, "8:16:", "did you mean `DockerRequirement`?");
    let text = changed(
        "    out: [picture]",
        "    scatterMethod: dot\n    out: [picture]",
    );
    only_fault(
        &text,
        "13:20:",
        "must be one of dotproduct, nested_crossproduct",
    );
}

#[test]
fn an_entryname_that_climbs_is_refused() {
    let text = changed(
        "      baseCommand: paint",
        "      baseCommand: paint\n      requirements:\n        InitialWorkDirRequirement:\n          listing:\n          - {entryname: ../../etc/cron, entry: x}",
    );
    only_fault(&text, "20:25:", "`../../etc/cron` leaves the work folder");
}

#[test]
fn several_faults_come_together_in_the_order_of_the_document() {
    let text = changed("inputs:\n  bands", "inputs:\n  extra: flie\n  bands")
        .replace("glob: out.png", "glb: out.png")
        .replace("out: [picture]", "outs: [picture]");
    let faults = faults(&text);
    let places: Vec<_> = faults
        .iter()
        .map(|fault| &fault[..fault.find(": ").unwrap()])
        .collect();
    assert_eq!(places, ["4:10", "11:5", "14:5", "22:47"], "{faults:#?}");
}

#[test]
fn a_yaml_number_where_a_string_is_wanted_says_so() {
    let text = changed("baseCommand: paint", "arguments: [paint, 5]");
    only_fault(&text, "16:26:", "quote it");
}
