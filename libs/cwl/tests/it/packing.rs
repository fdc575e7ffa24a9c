//! Packing a document of several files into one.

use std::path::{Path, PathBuf};

use oc_cwl::{
    Cancellation, Document, Engine, Limits, LocalFiles, Severity, parse_inputs, read_inputs,
    uri_of_path,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{Bench, document};

/// A workflow whose steps, types, hints and script lie in files of their own.
const FILES: [(&str, &str); 7] = [
    (
        "wf.cwl",
        "\
cwlVersion: v1.2
class: Workflow
requirements:
  SchemaDefRequirement: {types: [{$import: types/pair.yml}]}
  SubworkflowFeatureRequirement: {}
  ScatterFeatureRequirement: {}
inputs: {pair: 'types/pair.yml#pair', words: 'string[]'}
outputs:
  sum: {type: int, outputSource: add/sum}
  texts: {type: 'File[]', outputSource: each/text}
  double: {type: int, outputSource: twice/sum}
steps:
  add: {in: {pair: pair}, out: [sum], run: tools/add.cwl}
  each: {scatter: word, in: {word: words}, out: [text], run: sub/write.cwl}
  twice: {in: {pair: pair}, out: [sum], run: tools/twice.cwl}
",
    ),
    (
        "types/pair.yml",
        "{name: pair, type: record, fields: [{name: a, type: int}, {name: b, type: int}]}\n",
    ),
    (
        "tools/add.cwl",
        "\
cwlVersion: v1.2
class: ExpressionTool
id: tool
requirements:
  InlineJavascriptRequirement: {expressionLib: [{$include: ../lib/add.js}]}
  SchemaDefRequirement: {types: [{$import: ../types/pair.yml}]}
inputs: {pair: '../types/pair.yml#pair'}
outputs: {sum: int}
expression: '${ return {sum: add(inputs.pair.a, inputs.pair.b)}; }'
",
    ),
    (
        "tools/twice.cwl",
        "\
cwlVersion: v1.2
$graph:
- id: tool
  class: ExpressionTool
  requirements: {InlineJavascriptRequirement: {}}
  inputs: {x: int}
  outputs: {sum: int}
  expression: '${ return {sum: 2 * inputs.x}; }'
- id: main
  class: Workflow
  requirements: {StepInputExpressionRequirement: {}}
  inputs: {pair: Any}
  outputs: {sum: {type: int, outputSource: tool/sum}}
  steps:
    tool: {in: {pair: pair, x: {valueFrom: $(inputs.pair.a)}}, out: [sum], run: '#tool'}
",
    ),
    ("lib/add.js", "function add(a, b) { return a + b; }\n"),
    (
        "sub/write.cwl",
        "\
cwlVersion: v1.0
class: Workflow
inputs: {word: string}
outputs: {text: {type: File, outputSource: echo/text}}
steps:
  echo: {in: {word: word}, out: [text], run: echo.cwl}
",
    ),
    (
        "sub/echo.cwl",
        "\
cwlVersion: v1.0
class: CommandLineTool
hints: {$import: hints.yml}
baseCommand: echo
stdout: word.txt
inputs: {word: {type: string, inputBinding: {}}}
outputs: {text: stdout}
",
    ),
];

/// A folder with the files and those of `more`.
fn folder(more: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let hints = ("sub/hints.yml", "ResourceRequirement: {coresMin: 1}\n");
    for (name, text) in FILES.iter().chain([&hints]).chain(more) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn opened(path: &Path) -> Document {
    let path = path.to_str().unwrap();
    Document::open(path, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn packed(document: &Document) -> Document {
    self::document(&document.pack().to_string())
}

/// What a document gives, without the places of its files.
fn outputs(document: &Document, inputs: &Map<String, Value>) -> Value {
    let bench = Bench::new();
    let engine = Engine::new(bench.settings());
    let out = bench.path("out");
    let outputs = engine.run(document, inputs.clone(), &out, &Cancellation::default());
    let mut outputs = Value::Object(outputs.unwrap_or_else(|error| panic!("{error}")));
    without(&mut outputs, &["location", "path", "dirname"]);
    outputs
}

fn without(value: &mut Value, names: &[&str]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, names)),
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|field| without(field, names));
        }
        _ => {}
    }
}

#[test]
fn a_packed_workflow_names_no_other_file_and_gives_the_same() {
    let folder = folder(&[]);
    let whole = opened(&folder.path().join("wf.cwl"));
    let packed = packed(&whole);
    drop(folder);
    let job = "{pair: {a: 3, b: 4}, words: [one, two]}";
    let job = parse_inputs(job, "file:///job.yml", &Limits::default()).unwrap();
    let outputs = outputs(&packed, &job);
    assert_eq!(outputs["sum"], 7);
    assert_eq!(outputs["double"], 6);
    assert_eq!(outputs["texts"][1]["size"], 4);
    assert_eq!(packed.check(), whole.check());
}

#[test]
fn each_process_stands_once_under_a_name_of_its_own() {
    let folder = folder(&[]);
    let packed = opened(&folder.path().join("wf.cwl")).pack();
    let ids: Vec<_> = packed["$graph"]
        .as_array()
        .unwrap()
        .iter()
        .map(|process| process["id"].as_str().unwrap())
        .collect();
    // `main` of tools/twice.cwl, and the tools of two files that are both called `tool`.
    assert_eq!(ids, ["main", "tool", "each", "echo", "main_2", "tool_2"]);
    assert_eq!(document(&packed.to_string()).pack(), packed);
}

#[test]
fn a_fault_in_a_file_that_is_drawn_in_is_told_with_that_file() {
    let broken = ("sub/echo.cwl", "cwlVersion: v1.2\nclass: CommandLineTol\n");
    let folder = folder(&[broken]);
    let path = folder.path().join("wf.cwl");
    let error = Document::open(path.to_str().unwrap(), &Limits::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("sub/echo.cwl:2:8:"), "{text}");
}

#[test]
fn nothing_outside_the_folder_is_drawn_in() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.cwl");
    std::fs::write(
        &secret,
        "cwlVersion: v1.2\nclass: Operation\ninputs: []\noutputs: []\n",
    )
    .unwrap();
    let named = |reference: &str| {
        format!(
            "cwlVersion: v1.2\nclass: Workflow\ninputs: []\noutputs: []\n\
             steps: {{s: {{in: [], out: [], run: {reference}}}}}\n"
        )
    };
    for (name, text) in [
        ("a.cwl", named(secret.to_str().unwrap())),
        ("b.cwl", named("link.cwl")),
        (
            "c.cwl",
            named("{$import: ../../../../../../../../etc/passwd}"),
        ),
        ("d.cwl", named("{$include: /etc/hostname}")),
    ] {
        let folder = folder(&[(name, &text)]);
        std::os::unix::fs::symlink(&secret, folder.path().join("link.cwl")).unwrap();
        let uri = uri_of_path(&folder.path().join(name));
        let below = LocalFiles::below([folder.path()]).unwrap();
        let error = Document::load(&uri, &below, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("outside the folder"), "{error}");
    }
}

#[test]
fn files_of_this_machine_that_defaults_name_are_found() {
    let folder = folder(&[(
        "default.cwl",
        "\
cwlVersion: v1.2
class: Workflow
inputs: {f: {type: File, default: {class: File, path: near.txt}}}
outputs: []
steps:
  s:
    in: {f: f, g: {default: [{class: Directory, location: /etc}]}, h: {default: {class: File, contents: x}}}
    out: []
    run: {class: Operation, inputs: {f: File, g: 'Directory[]', h: File}, outputs: []}
",
    )]);
    let found = opened(&folder.path().join("default.cwl")).named_files();
    let near = uri_of_path(&folder.path().join("near.txt"));
    assert_eq!(found, ["file:///etc".to_owned(), near]);
}

/// The conformance suite, where it lies beside the repository.
fn suite() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cwl-v1.2");
    let suite = std::env::var_os("OC_CWL_SUITE").map_or_else(beside, PathBuf::from);
    suite.is_dir().then(|| suite.join("tests"))
}

#[test]
fn every_document_of_the_suite_that_loads_also_loads_packed() {
    let Some(suite) = suite() else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(suite).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cwl") {
            continue;
        }
        let Ok(whole) = Document::open(path.to_str().unwrap(), &Limits::default()) else {
            continue;
        };
        let pack = whole.pack();
        let packed = document(&pack.to_string());
        assert_eq!(packed.pack(), pack, "{}", path.display());
        let faulty = |document: &Document| {
            let findings = document.check();
            let errors = findings.iter().filter(|it| it.severity == Severity::Error);
            errors.count()
        };
        assert_eq!(faulty(&packed), faulty(&whole), "{}", path.display());
        count += 1;
    }
    assert!(count > 200, "{count}");
}

#[test]
fn workflows_of_the_suite_give_the_same_packed() {
    let Some(suite) = suite() else { return };
    for (workflow, job) in [
        ("count-lines1-wf.cwl", Some("wc-job.json")),
        ("count-lines3-wf.cwl", Some("count-lines3-job.json")),
        ("count-lines8-wf.cwl", Some("wc-job.json")),
        ("env-wf1.cwl", Some("env-job.json")),
        ("step-valuefrom-wf.cwl", Some("step-valuefrom-wf.json")),
        ("multiple_input_feature_requirement.cwl", None),
        ("echo-wf-default.cwl", None),
        ("io-any-wf-1.cwl", Some("io-any-int.json")),
    ] {
        let whole = opened(&suite.join(workflow));
        let job = job.map(|job| suite.join(job));
        let job = job.filter(|job| job.exists()).map_or_else(Map::new, |job| {
            read_inputs(job.to_str().unwrap(), &Limits::default()).unwrap()
        });
        if !whole.check_inputs(&job).is_empty() {
            panic!("{workflow}: {:?}", whole.check_inputs(&job));
        }
        assert_eq!(
            outputs(&packed(&whole), &job),
            outputs(&whole, &job),
            "{workflow}"
        );
    }
}

/// A process, some of them workflows of others, with ids that clash.
fn process() -> impl Strategy<Value = Value> {
    let id = || proptest::sample::select(vec!["", "main", "a", "a_2", "s0", "x/a"]);
    let leaf =
        id().prop_map(|id| json!({"class": "Operation", "id": id, "inputs": [], "outputs": []}));
    leaf.prop_recursive(3, 12, 4, move |inner| {
        (id(), proptest::collection::vec(inner, 0..4)).prop_map(|(id, runs)| {
            let steps = runs.into_iter().enumerate();
            let steps = steps
                .map(|(at, run)| json!({"id": format!("s{at}"), "in": [], "out": [], "run": run}));
            let steps: Vec<_> = steps.collect();
            json!({"class": "Workflow", "id": id, "inputs": [], "outputs": [], "steps": steps,
                   "requirements": [{"class": "SubworkflowFeatureRequirement"}]})
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packing_changes_nothing_but_ids_and_nothing_when_done_again(process in process()) {
        let mut process = process;
        process["cwlVersion"] = "v1.2".into();
        let whole = document(&process.to_string());
        let pack = whole.pack();
        let packed = document(&pack.to_string());
        prop_assert_eq!(packed.pack(), pack);
        let plain = |document: &Document| {
            let mut value = document.to_value();
            strip(&mut value);
            value
        };
        prop_assert_eq!(plain(&packed), plain(&whole));
    }
}

/// Takes the ids of processes away.
fn strip(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => {
            if fields.contains_key("class") {
                fields.remove("id");
            }
            fields.values_mut().for_each(strip);
        }
        _ => {}
    }
}
