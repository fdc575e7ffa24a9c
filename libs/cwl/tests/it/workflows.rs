//! Workflows: links, scatter, conditions, subworkflows and what is told meanwhile.

use std::sync::{Arc, Mutex};

use oc_cwl::{Document, Engine, Event, Limits, Observer, Reference, Settings};
use serde_json::{Value, json};

use crate::{Bench, document, text_of};

/// A workflow around `steps` with a tool that adds two numbers.
fn adding(inputs: &str, outputs: &str, steps: &str) -> String {
    format!(
        "\
cwlVersion: v1.2
$graph:
- id: add
  class: ExpressionTool
  requirements: {{InlineJavascriptRequirement: {{}}}}
  inputs: {{a: int, b: {{type: int, default: 1}}}}
  outputs: {{sum: int}}
  expression: '${{ if (inputs.a < 0) throw \"negative\"; return {{sum: inputs.a + inputs.b}}; }}'
- id: main
  class: Workflow
  requirements:
    InlineJavascriptRequirement: {{}}
    ScatterFeatureRequirement: {{}}
    StepInputExpressionRequirement: {{}}
    MultipleInputFeatureRequirement: {{}}
    SubworkflowFeatureRequirement: {{}}
  inputs: {inputs}
  outputs: {outputs}
  steps:
{steps}"
    )
}

#[track_caller]
fn gives(workflow: &str, job: &str, expected: &Value) {
    let outputs = Bench::new().outputs(workflow, job);
    assert_eq!(&Value::Object(outputs), expected);
}

#[test]
fn values_travel_along_links_and_defaults_stand_in() {
    let workflow = adding(
        "{x: int}",
        "{y: {type: int, outputSource: second/sum}}",
        "    second: {in: {a: first/sum, b: {default: 10}}, out: [sum], run: '#add'}\n    \
             first: {in: {a: x}, out: [sum], run: '#add'}\n",
    );
    gives(&workflow, "{x: 5}", &json!({"y": 16}));
}

#[test]
fn scatter_combines_as_its_method_says() {
    let workflow = |method: &str, type_: &str| {
        adding(
            "{xs: 'int[]', ys: 'int[]'}",
            &format!("{{y: {{type: {type_}, outputSource: all/sum}}}}"),
            &format!(
                "    all: {{scatter: [a, b], scatterMethod: {method}, in: {{a: xs, b: ys}}, out: [sum], run: '#add'}}\n"
            ),
        )
    };
    let job = "{xs: [1, 2], ys: [10, 20]}";
    gives(
        &workflow("dotproduct", "'int[]'"),
        job,
        &json!({"y": [11, 22]}),
    );
    gives(
        &workflow("flat_crossproduct", "'int[]'"),
        job,
        &json!({"y": [11, 21, 12, 22]}),
    );
    let nested = "{type: array, items: 'int[]'}";
    gives(
        &workflow("nested_crossproduct", nested),
        job,
        &json!({"y": [[11, 21], [12, 22]]}),
    );
    let uneven = Bench::new().run(&workflow("dotproduct", "'int[]'"), "{xs: [1], ys: [1, 2]}");
    assert!(
        uneven
            .unwrap_err()
            .to_string()
            .contains("lists of one length")
    );
}

#[test]
fn conditions_skip_steps_and_picks_leave_their_nulls_out() {
    let workflow = adding(
        "{xs: 'int[]'}",
        "{y: {type: 'int[]', outputSource: even/sum, pickValue: all_non_null}}",
        "    even: {scatter: a, when: $(inputs.a % 2 == 0), in: {a: xs}, out: [sum], run: '#add'}\n",
    );
    gives(&workflow, "{xs: [1, 2, 3, 4]}", &json!({"y": [3, 5]}));
}

#[test]
fn value_from_sees_the_inputs_as_they_were() {
    let workflow = adding(
        "{x: int}",
        "{y: {type: int, outputSource: only/sum}}",
        "    only: {in: {a: {source: x, valueFrom: $(self * 10)}, b: {valueFrom: $(inputs.a)}}, out: [sum], run: '#add'}\n",
    );
    gives(&workflow, "{x: 3}", &json!({"y": 33}));
}

#[test]
fn a_workflow_runs_inside_a_scatter() {
    let workflow = adding(
        "{xs: 'int[]'}",
        "{y: {type: 'int[]', outputSource: each/out}}",
        "    each:\n      scatter: x\n      in: {x: xs}\n      out: [out]\n      run:\n        class: Workflow\n        \
             inputs: {x: int}\n        outputs: {out: {type: int, outputSource: two/sum}}\n        steps:\n          \
               one: {in: {a: x}, out: [sum], run: '#add'}\n          two: {in: {a: one/sum}, out: [sum], run: '#add'}\n",
    );
    gives(&workflow, "{xs: [1, 2, 3]}", &json!({"y": [3, 4, 5]}));
}

#[test]
fn a_fault_names_the_way_to_its_step() {
    let workflow = adding(
        "{xs: 'int[]'}",
        "{y: {type: 'int[]', outputSource: all/sum}}",
        "    all: {scatter: a, in: {a: xs}, out: [sum], run: '#add'}\n",
    );
    let error = Bench::new().run(&workflow, "{xs: [1, -1]}").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("step `all[1]`: the expression"),
        "{error}"
    );
    assert!(error.to_string().ends_with("negative"), "{error}");
}

#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Observer for Diary {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::StepStarted { step } => format!("start {step}"),
            Event::StepSkipped { step } => format!("skip {step}"),
            Event::StepEnded { step } => format!("end {step}"),
            Event::ToolStarted { command } => format!("run {}", command.step),
            Event::ToolEnded { command, outcome } => {
                format!("ran {} {:?}", command.step, outcome.end)
            }
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

const FILES: &str = "\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {words: 'string[]'}
outputs: {all: {type: File, outputSource: join/out}}
steps:
  write:
    scatter: word
    when: $(inputs.word != 'skip')
    in: {word: words}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: echo
      stdout: word.txt
      inputs: {word: {type: string, inputBinding: {}}}
      outputs: {out: stdout}
  join:
    in: {files: write/out}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: cat
      stdout: all.txt
      inputs: {files: {type: {type: array, items: [\"null\", File]}, inputBinding: {}}}
      outputs: {out: stdout}
";

#[test]
fn files_pass_from_step_to_step_and_only_results_are_kept() {
    let bench = Bench::new();
    let outputs = bench.outputs(FILES, "{words: [a, b, c]}");
    assert_eq!(text_of(&outputs["all"]), "a\nb\nc\n");
    assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(bench.path("scratch")).unwrap().count(), 0);
}

#[test]
fn an_observer_hears_of_every_step_and_tool() {
    let bench = Bench::new();
    let diary = Arc::new(Diary::default());
    let observer: Arc<dyn Observer> = diary.clone();
    let mut settings = bench.settings();
    settings.cores = 1;
    let engine = Engine::new(settings).with_observer(observer);
    bench
        .run_with(&engine, FILES, "{words: [a, skip]}")
        .unwrap();
    assert_eq!(
        *diary.0.lock().unwrap(),
        [
            "start write",
            "run write[0]",
            "ran write[0] Exit(0)",
            "skip write[1]",
            "end write",
            "start join",
            "run join",
            "ran join Exit(0)",
            "end join"
        ]
    );
}

#[test]
fn results_with_one_name_are_told_apart() {
    let bench = Bench::new();
    let workflow = FILES.replace(
        "all: {type: File, outputSource: join/out}",
        "all: {type: 'File[]', outputSource: write/out, pickValue: all_non_null}",
    );
    let outputs = bench.outputs(&workflow, "{words: [a, b]}");
    let names: Vec<_> = outputs["all"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["basename"])
        .collect();
    assert_eq!(names, ["word.txt", "word_2.txt"]);
    assert_eq!(text_of(&outputs["all"][1]), "b\n");
}

#[test]
fn results_with_one_name_keep_it_where_names_are_kept() {
    let bench = Bench::new();
    let workflow = FILES.replace(
        "all: {type: File, outputSource: join/out}",
        "all: {type: 'File[]', outputSource: write/out, pickValue: all_non_null}",
    );
    let settings = Settings {
        keep_names: true,
        ..bench.settings()
    };
    let outputs = bench
        .run_with(&Engine::new(settings), &workflow, "{words: [a, b, c]}")
        .unwrap();
    for (at, text) in ["a\n", "b\n", "c\n"].iter().enumerate() {
        assert_eq!(outputs["all"][at]["basename"], "word.txt");
        assert_eq!(text_of(&outputs["all"][at]), *text);
    }
}

#[test]
fn an_input_that_is_passed_through_is_copied_and_stays() {
    let bench = Bench::new();
    bench.data("in.txt", "x");
    let workflow = "\
cwlVersion: v1.2
class: Workflow
inputs: {f: File}
outputs: {f: {type: File, outputSource: f}}
steps: []
";
    let outputs = bench.outputs(workflow, "{f: {class: File, location: in.txt}}");
    assert_eq!(text_of(&outputs["f"]), "x");
    assert!(bench.path("data/in.txt").exists());
}

#[test]
fn running_into_the_folder_of_the_inputs_keeps_them() {
    let bench = Bench::new();
    let path = bench.data("in.txt", "x");
    let workflow = document(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {f: File}\noutputs: {f: {type: File, outputSource: f}}\nsteps: []\n",
    );
    let inputs = bench.inputs("{f: {class: File, location: in.txt}}");
    let engine = Engine::new(bench.settings());
    engine
        .run(&workflow, inputs, &bench.path("data"), &Default::default())
        .unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "x");
}

#[test]
fn fragments_one_after_the_other_give_what_the_whole_gives() {
    let bench = Bench::new();
    let whole = document(FILES);
    let first = whole.fragment(["write"]).unwrap();
    let second = whole.fragment(["join"]).unwrap();
    let engine = Engine::new(bench.settings());
    let run = |document: &Document, inputs| {
        let text = document.to_json();
        let packed = Document::parse(&text, "fragment", &Limits::default()).unwrap();
        engine
            .run(&packed, inputs, &bench.path("out"), &Default::default())
            .unwrap()
    };
    let mut results = run(&first.document, bench.inputs("{words: [a, b]}"));
    let value = results.remove(&first.outputs[0].id).unwrap();
    let mut inputs = serde_json::Map::new();
    inputs.insert(second.inputs[0].id.clone(), value);
    let mut results = run(&second.document, inputs);
    let joined = results.remove(&second.outputs[0].id).unwrap();
    let reference = second.outputs[0].reference.clone();
    let outputs = whole
        .process()
        .gather_outputs(|wanted: &Reference| (*wanted == reference).then_some(&joined))
        .unwrap();
    assert_eq!(text_of(&outputs["all"]), "a\nb\n");
}

#[test]
fn a_wide_scatter_runs_with_few_threads() {
    let workflow = adding(
        "{xs: 'int[]'}",
        "{y: {type: 'int[]', outputSource: all/sum}}",
        "    all: {scatter: a, in: {a: xs}, out: [sum], run: '#add'}\n",
    );
    let numbers: Vec<usize> = (0..300).collect();
    let expected: Vec<usize> = (1..301).collect();
    gives(
        &workflow,
        &json!({"xs": numbers}).to_string(),
        &json!({"y": expected}),
    );
}

#[test]
fn requirements_of_the_input_object_are_the_strongest() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {EnvVarRequirement: {envDef: {WHO: document}}}
baseCommand: [sh, -c, 'echo $WHO']
inputs: []
outputs: {out: stdout}
";
    let job = "{'cwl:requirements': [{class: EnvVarRequirement, envDef: {WHO: caller}}]}";
    assert_eq!(text_of(&bench.outputs(tool, job)["out"]), "caller\n");
    assert_eq!(text_of(&bench.outputs(tool, "{}")["out"]), "document\n");
}

#[test]
fn a_folder_that_is_only_described_goes_through_the_work_folder() {
    let bench = Bench::new();
    bench.data("d", "deep");
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {InitialWorkDirRequirement: {listing: [$(inputs.dir)]}}
baseCommand: 'true'
inputs: {dir: Directory}
outputs: {below: {type: Directory, outputBinding: {glob: top/c}}}
";
    let job = "{dir: {class: Directory, basename: top, listing: [{class: Directory, basename: c, \
               listing: [{class: File, location: d}]}]}}";
    let outputs = bench.outputs(tool, job);
    assert_eq!(text_of(&outputs["below"]["listing"][0]), "deep");
}
