//! What a tool reads and says on its three streams.

use crate::{Bench, text_of};

#[test]
fn standard_input_is_the_file_that_the_document_names() {
    let bench = Bench::new();
    bench.data("words.txt", "one\ntwo\n");
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [wc, -l]
stdin: $(inputs.words.path)
stdout: count.txt
inputs: {words: File}
outputs: {count: stdout}
";
    let outputs = bench.outputs(tool, "{words: {class: File, location: words.txt}}");
    assert_eq!(text_of(&outputs["count"]).trim(), "2");
    assert_eq!(outputs["count"]["basename"], "count.txt");
}

#[test]
fn an_input_of_type_stdin_is_read_without_being_named() {
    let bench = Bench::new();
    bench.data("words.txt", "one\ntwo\n");
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs: {words: stdin}
outputs: {out: stdout}
";
    let outputs = bench.outputs(tool, "{words: {class: File, location: words.txt}}");
    assert_eq!(text_of(&outputs["out"]), "one\ntwo\n");
}

#[test]
fn a_tool_without_stdin_reads_nothing() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs: {}
outputs: {out: stdout}
";
    assert_eq!(text_of(&bench.outputs(tool, "{}")["out"]), "");
}

/// A tool that says something on both streams.
fn speaking(names: &str) -> String {
    format!(
        "cwlVersion: v1.2\nclass: CommandLineTool\nrequirements: {{ShellCommandRequirement: {{}}}}\n\
         arguments: [{{shellQuote: false, valueFrom: 'echo result; echo a warning >&2'}}]\n{names}\
         inputs: {{}}\noutputs: {{said: stdout, complained: stderr}}\n"
    )
}

#[test]
fn each_stream_goes_to_the_output_of_its_type() {
    let bench = Bench::new();
    let outputs = bench.outputs(&speaking("stderr: warnings.log\n"), "{}");
    assert_eq!(text_of(&outputs["said"]), "result\n");
    assert_eq!(text_of(&outputs["complained"]), "a warning\n");
    assert_eq!(outputs["complained"]["basename"], "warnings.log");
}

#[test]
fn a_stream_without_a_name_gets_one_of_its_own() {
    let bench = Bench::new();
    let outputs = bench.outputs(&speaking(""), "{}");
    assert_eq!(text_of(&outputs["complained"]), "a warning\n");
    assert_ne!(
        outputs["said"]["basename"],
        outputs["complained"]["basename"]
    );
}
