//! Files, shorthands, versions and limits.

use oc_cwl::{Document, Limits, LocalFiles, Sealed, Type, uri_of_path};
use oc_kernel::{Classify, Kind};

use crate::{document, faults};

const TOOL: &str = "\
cwlVersion: v1.2
class: CommandLineTool
id: show
baseCommand: cat
inputs:
  a: File?
  b: string[]
  c: {type: [\"null\", int], default: 3}
outputs:
  out: stdout
";

#[test]
fn shorthands_of_types_are_expanded() {
    let document = document(TOOL);
    let process = document.process();
    assert_eq!(process.input("a").unwrap().type_, Type::File.optional());
    assert_eq!(process.input("b").unwrap().type_.to_string(), "string[]");
    assert!(!process.input("c").unwrap().is_required());
    assert!(process.input("b").unwrap().is_required());
}

#[test]
fn yaml_and_json_of_one_document_have_one_digest() {
    let from_yaml = document(TOOL);
    let from_json = document(&from_yaml.to_json());
    assert_eq!(from_yaml.digest(), from_json.digest());
    let other = document(&TOOL.replace("cat", "tac"));
    assert_ne!(from_yaml.digest(), other.digest());
}

#[test]
fn the_digest_does_not_depend_on_how_things_are_written() {
    let list = "\
cwlVersion: v1.2
class: CommandLineTool
id: show
inputs:
- {id: a, type: [\"null\", File]}
- {id: b, type: {type: array, items: string}}
- {id: c, type: int?, default: 3}
outputs: [{id: out, type: stdout}]
baseCommand: [cat]
";
    assert_eq!(document(TOOL).digest(), document(list).digest());
}

#[test]
fn a_process_is_picked_from_a_graph() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.cwl");
    let text = "\
cwlVersion: v1.2
$graph:
- {id: one, class: ExpressionTool, inputs: [], outputs: [], expression: $(null)}
- id: main
  class: Workflow
  inputs: []
  outputs: []
  steps: {first: {in: [], out: [], run: '#one'}}
";
    std::fs::write(&path, text).unwrap();
    let limits = Limits::default();
    let path = path.to_str().unwrap();
    let main = Document::open(path, &limits).unwrap();
    assert_eq!(main.process().workflow().unwrap().steps[0].run.id, "one");
    let one = Document::open(&format!("{path}#one"), &limits).unwrap();
    assert_eq!(one.process().class(), "ExpressionTool");
    let error = Document::open(&format!("{path}#two"), &limits).unwrap_err();
    assert!(error.to_string().contains("no process `two`"), "{error}");
}

#[test]
fn subworkflows_that_multiply_are_refused_before_anything_walks_them() {
    use std::fmt::Write as _;
    let mut text = "\
cwlVersion: v1.2
$graph:
- {id: w0, class: ExpressionTool, inputs: [], outputs: [], expression: $(null)}
"
    .to_owned();
    for level in 1..=7 {
        let id = if level == 7 {
            "main".to_owned()
        } else {
            format!("w{level}")
        };
        let steps: Vec<_> = (0..10)
            .map(|step| format!("s{step}: {{in: [], out: [], run: '#w{}'}}", level - 1))
            .collect();
        let steps = steps.join(", ");
        writeln!(
            text,
            "- {{id: {id}, class: Workflow, inputs: [], outputs: [], steps: {{{steps}}}, requirements: [{{class: SubworkflowFeatureRequirement}}]}}"
        )
        .unwrap();
    }
    let error = Document::parse(&text, "bomb.cwl", &Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("more than 20000 steps"),
        "{error}"
    );
}

#[test]
fn imports_and_includes_are_drawn_in_and_faults_in_them_name_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("lib.js", "function f() { return 1; }");
    write("inputs.yml", "x: int\ny: strng\n");
    write(
        "tool.cwl",
        "\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  InlineJavascriptRequirement: {expressionLib: [{$include: lib.js}]}
inputs: {$import: inputs.yml}
outputs: []
",
    );
    let path = folder.path().join("tool.cwl");
    let error = Document::open(path.to_str().unwrap(), &Limits::default()).unwrap_err();
    let fault = &error.findings()[0];
    assert!(fault.file.ends_with("inputs.yml"), "{fault}");
    assert_eq!((fault.line, fault.column), (2, 4));
    assert!(fault.message.contains("did you mean `string`?"), "{fault}");
}

#[test]
fn a_file_that_imports_or_runs_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let import = folder.path().join("a.cwl");
    std::fs::write(&import, "cwlVersion: v1.2\nclass: {$import: a.cwl}\n").unwrap();
    let error = Document::open(import.to_str().unwrap(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("imports itself"), "{error}");

    let run = folder.path().join("w.cwl");
    let text = "\
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
steps: {again: {in: [], out: [], run: w.cwl}}
";
    std::fs::write(&run, text).unwrap();
    let error = Document::open(run.to_str().unwrap(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("runs itself"), "{error}");
}

#[test]
fn a_reference_out_of_the_allowed_folder_is_refused_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("docs")).unwrap();
    std::fs::write(folder.path().join("secret.cwl"), TOOL).unwrap();
    let text = "\
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
steps:
  first:
    in: []
    out: []
    run: ../secret.cwl
";
    let path = folder.path().join("docs/wf.cwl");
    std::fs::write(&path, text).unwrap();
    let files = LocalFiles::below([folder.path().join("docs")]).unwrap();
    let error = Document::load(&uri_of_path(&path), &files, &Limits::default()).unwrap_err();
    let fault = &error.findings()[0];
    assert_eq!((fault.line, fault.column), (9, 10));
    assert!(fault.message.contains("outside the folder"), "{fault}");
}

#[test]
fn a_sealed_document_names_no_other_file() {
    let text = "\
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
steps:
  first: {in: [], out: [], run: /etc/passwd}
";
    let error = Document::load("file:///x", &Sealed, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("self-contained"), "{error}");
    assert!(faults(text)[0].starts_with("6:33:"), "{:?}", faults(text));
}

#[test]
fn a_document_of_more_than_10_mb_is_refused() {
    let text = format!("{{\"cwlVersion\": \"{}\"}}", "x".repeat(10_000_001));
    let error = Document::parse(&text, "big.json", &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    let fault = &error.findings()[0];
    assert_eq!((fault.line, fault.column), (1, 1));
    assert!(fault.message.contains("the limit is 10000000"), "{fault}");
}

#[test]
fn deep_nesting_is_refused_in_json_and_yaml() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
        let error = Document::parse(&text, "deep.json", &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        let fault = &error.findings()[0];
        assert!(fault.message.contains("nested deeper than 100"), "{fault}");
        assert!(fault.column > 100, "{fault}");
    }
    let yaml: String = (0..300)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let error = Document::parse(&yaml, "deep.yml", &Limits::default()).unwrap_err();
    assert_eq!(error.findings()[0].line, 101, "{error}");
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = Document::parse(&text, "bomb.yml", &Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("more than 1000000 values"),
        "{error}"
    );
}

#[test]
fn text_that_is_neither_yaml_nor_json_has_a_place() {
    for (text, place) in [
        ("a: [1, 2\nb: 3\n", (2, 2)),
        ("{\"a\": 1,\n \"a\": 2}", (2, 2)),
        ("a: 1\na: 2\n", (2, 1)),
        ("{\"a\": [1, 2}", (1, 12)),
    ] {
        let error = Document::parse(text, "x", &Limits::default()).unwrap_err();
        let fault = &error.findings()[0];
        assert_eq!((fault.line, fault.column), place, "{text:?}: {fault}");
        assert_eq!(error.kind(), Kind::Malformed);
    }
}

#[test]
fn json_with_tabs_and_surrogate_escapes_is_read() {
    let text = "{\n\t\"cwlVersion\": \"v1.2\", \"class\": \"ExpressionTool\",\n\t\"label\": \"\\ud83d\\ude00\",\
        \"inputs\": [], \"outputs\": [], \"expression\": \"$(null)\"}";
    assert_eq!(document(text).process().label.as_deref(), Some("\u{1f600}"));
}

#[test]
fn types_may_name_types_that_come_later_but_not_themselves() {
    let text = "\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  SchemaDefRequirement:
    types:
    - {name: outer, type: record, fields: {inner: inner}}
    - {name: inner, type: enum, symbols: [a, b]}
inputs: {x: outer}
outputs: []
";
    let document = document(text);
    let Type::Record(record) = &document.process().input("x").unwrap().type_ else {
        panic!("no record");
    };
    assert_eq!(record.fields[0].type_.to_string(), "enum [a, b]");
    let circle = text.replace(
        "type: enum, symbols: [a, b]",
        "type: record, fields: {o: outer}",
    );
    assert!(
        faults(&circle)[0].contains("contains itself"),
        "{:?}",
        faults(&circle)
    );
}

#[test]
fn a_document_of_v1_0_keeps_its_meaning() {
    let text = TOOL.replace("v1.2", "v1.0");
    let canonical = document(&text).to_value().to_string();
    assert!(canonical.contains("deep_listing"), "{canonical}");
    assert!(canonical.contains("networkAccess"), "{canonical}");
}

#[test]
fn numbers_come_through_the_canonical_form_as_they_are() {
    let text = "\
cwlVersion: v1.2
class: ExpressionTool
inputs: {x: {type: double, default: 1000000000000000000000}, y: {type: float, default: 0.00001}}
outputs: []
expression: $(null)
";
    let json = document(text).to_json();
    assert!(json.contains("1000000000000000000000,") || json.contains("1000000000000000000000}"));
    assert!(json.contains("0.00001"), "{json}");
    assert_eq!(document(&json).to_json(), json);
}
