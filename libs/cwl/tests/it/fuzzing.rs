//! No input makes the loader, the checker or the expression scanner panic.

use oc_cwl::{Document, Limits, parse_inputs};
use proptest::prelude::*;

const SEED: &str = "\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, ScatterFeatureRequirement: {}}
inputs: {a: 'File[]?', b: {type: record, fields: {c: int}}}
outputs: {o: {type: Any, outputSource: [s/o, a], linkMerge: merge_flattened, pickValue: first_non_null}}
steps:
  s:
    scatter: [x, y]
    scatterMethod: flat_crossproduct
    when: $(inputs.x !== null)
    in: {x: {source: a, valueFrom: '${ return self; }'}, y: {default: [1, 2]}}
    out: [o]
    run:
      class: CommandLineTool
      baseCommand: [echo]
      arguments: [{prefix: -a, position: $(1), valueFrom: \"$(inputs.y)\\\\$(x)\"}]
      requirements: {InitialWorkDirRequirement: {listing: [{entryname: x, entry: $(inputs.x)}]}}
      inputs: {x: {type: File, secondaryFiles: [^.bai?]}, y: int}
      outputs: {o: {type: stdout}}
";

fn read(text: &str) {
    let limits = Limits::default();
    if let Ok(document) = Document::parse(text, "fuzz", &limits) {
        let _ = document.check();
        let canonical = document.to_json();
        let again = Document::parse(&canonical, "again", &limits);
        if let Ok(again) = again {
            assert_eq!(again.to_json(), canonical);
        }
        if let Some(graph) = document.process().graph() {
            for step in graph.steps() {
                let _ = document.fragment([&step.id]);
            }
        }
    }
    let _ = parse_inputs(text, "file:///job.yml", &limits);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,400}") {
        read(&text);
    }

    #[test]
    fn a_document_with_a_piece_replaced_is_read_or_refused(
        start in 0..SEED.len(),
        length in 0..40usize,
        piece in "[ \\n:{}\\[\\]&*'\"$()a-zA-Z0-9_/#.-]{0,20}",
    ) {
        let end = (start + length).min(SEED.len());
        let mut text = SEED.to_owned();
        text.replace_range(start..end, &piece);
        read(&text);
    }

    #[test]
    fn a_document_with_lines_swapped_is_read_or_refused(a in 0..19usize, b in 0..19usize) {
        let mut lines: Vec<&str> = SEED.lines().collect();
        lines.swap(a, b);
        read(&lines.join("\n"));
    }
}
