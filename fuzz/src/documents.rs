//! CWL documents: any text is read or refused, and what was read is written and read again as the same.

use oc_cwl::{Document, Limits, parse_inputs};

pub(crate) fn take(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let limits = Limits::default();
    let _ = parse_inputs(text, "file:///job.yml", &limits);
    let Ok(document) = Document::parse(text, "fuzz", &limits) else {
        return false;
    };
    let _ = document.check();
    let canonical = document.to_json();
    if let Ok(again) = Document::parse(&canonical, "again", &limits) {
        assert_eq!(
            again.to_json(),
            canonical,
            "the canonical form is not stable"
        );
    }
    if let Some(graph) = document.process().graph() {
        for step in graph.steps() {
            let _ = document.fragment([&step.id]);
        }
    }
    true
}

const TOOL: &str = "\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [gdal_calc.py]
arguments: [{prefix: -a, position: $(1), valueFrom: $(inputs.red.basename)}]
requirements:
  InlineJavascriptRequirement: {}
  InitialWorkDirRequirement: {listing: [{entryname: x, entry: $(inputs.red)}]}
  ResourceRequirement: {coresMin: 1, ramMin: 256}
inputs:
  red: {type: File, secondaryFiles: [^.bai?], inputBinding: {position: 1, prefix: -A}}
  many: {type: {type: array, items: string}, inputBinding: {itemSeparator: ','}}
  mode: {type: {type: enum, symbols: [fast, exact]}, default: fast}
outputs:
  out: {type: stdout}
  all: {type: 'File[]', outputBinding: {glob: ['*.tif', '$(inputs.mode)']}}
stdout: out.txt
";

const WORKFLOW: &str = "\
cwlVersion: v1.2
class: Workflow
requirements: [{class: ScatterFeatureRequirement}, {class: SubworkflowFeatureRequirement}, {class: MultipleInputFeatureRequirement}]
inputs: {files: 'File[]', word: {type: string?, default: x}}
outputs: {o: {type: 'string[]', outputSource: say/o}}
steps:
  say:
    run:
      class: CommandLineTool
      baseCommand: [echo]
      inputs: {f: File, w: string?}
      outputs: {o: {type: string, outputBinding: {glob: a, loadContents: true, outputEval: '$(self[0].contents)'}}}
    scatter: [f]
    when: $(inputs.w != null)
    in: {f: files, w: {source: [word], pickValue: first_non_null}}
    out: [o]
";

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("tool", TOOL.into()), ("workflow", WORKFLOW.into())]
}
