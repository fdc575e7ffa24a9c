//! Tools: command lines, files, streams and how they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oc_cwl::{
    Cancellation, Engine, Event, Executor, Observer, ProcessExecutor, RunError, ToolCommand,
    ToolOutcome,
};
use oc_kernel::{Classify, Kind};
use serde_json::json;
use std::sync::Mutex;

use crate::{Bench, document, text_of};

/// A tool that prints its arguments, one a line.
fn printing(inputs: &str, more: &str) -> String {
    format!(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [printf, '%s\\n']\n\
         stdout: out.txt\noutputs: {{out: stdout}}\n{more}\ninputs:\n{inputs}"
    )
}

#[track_caller]
fn arguments(inputs: &str, more: &str, job: &str, expected: &[&str]) {
    let bench = Bench::new();
    let outputs = bench.outputs(&printing(inputs, more), job);
    let text = text_of(&outputs["out"]);
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn arguments_are_sorted_by_position_and_then_by_name() {
    arguments(
        "  b: {type: int, inputBinding: {position: 2}}\n\
         \x20 a: {type: string, inputBinding: {position: 2, prefix: -a}}\n\
         \x20 c: {type: float, inputBinding: {position: 1, prefix: --c=, separate: false}}\n",
        "arguments: [first, {position: 3, valueFrom: last}]",
        "{a: x y, b: 7, c: 0.00001}",
        &["first", "--c=0.00001", "-a", "x y", "7", "last"],
    );
}

#[test]
fn lists_records_and_flags_become_arguments() {
    arguments(
        "  joined: {type: 'int[]', inputBinding: {position: 1, prefix: -j, itemSeparator: ','}}\n\
         \x20 each: {type: {type: array, items: string, inputBinding: {prefix: -e}}, inputBinding: {position: 2}}\n\
         \x20 plain: {type: 'string[]', inputBinding: {position: 3, prefix: -p}}\n\
         \x20 yes: {type: boolean, inputBinding: {position: 4, prefix: --yes}}\n\
         \x20 no: {type: boolean, inputBinding: {position: 4, prefix: --no}}\n\
         \x20 none: {type: int?, inputBinding: {position: 4, prefix: --none}}\n\
         \x20 box:\n\
         \x20   type: {type: record, fields: {w: {type: int, inputBinding: {prefix: -w}}, h: int}}\n\
         \x20   inputBinding: {position: 5}\n",
        "",
        "{joined: [1, 2], each: [a, b], plain: [c, d], 'yes': true, 'no': false, box: {w: 4, h: 5}}",
        &[
            "-j", "1,2", "-e", "a", "-e", "b", "-p", "c", "d", "--yes", "-w", "4",
        ],
    );
}

#[test]
fn a_file_is_staged_under_its_basename_with_its_companions() {
    let bench = Bench::new();
    bench.data("a.bam", "reads");
    bench.data("a.bam.bai", "index");
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {ShellCommandRequirement: {}}
arguments: [{shellQuote: false, valueFrom: 'cat $(inputs.f.path) $(inputs.f.path).bai; basename $(inputs.f.path)'}]
inputs: {f: {type: File, secondaryFiles: [.bai]}}
outputs: {out: stdout}
";
    let outputs = bench.outputs(tool, "{f: {class: File, location: a.bam}}");
    assert_eq!(text_of(&outputs["out"]), "readsindexa.bam\n");
    std::fs::remove_file(bench.path("data/a.bam.bai")).unwrap();
    let error = bench
        .run(tool, "{f: {class: File, location: a.bam}}")
        .unwrap_err();
    assert!(error.to_string().contains("`a.bam.bai`"), "{error}");
}

#[test]
fn outputs_carry_size_and_checksum() {
    let bench = Bench::new();
    let tool = printing("  x: {type: string, inputBinding: {}}\n", "");
    let outputs = bench.outputs(&tool, "{x: hello}");
    assert_eq!(outputs["out"]["size"], 6);
    assert_eq!(
        outputs["out"]["checksum"],
        "sha1$f572d396fae9206628714fb2ce00f72e94f2258f"
    );
    assert_eq!(
        outputs["out"]["path"],
        json!(bench.path("out").canonicalize().unwrap().join("out.txt"))
    );
}

#[test]
fn a_run_leaves_nothing_behind_but_its_outputs() {
    let bench = Bench::new();
    bench.outputs(
        &printing("  x: {type: string, inputBinding: {}}\n", ""),
        "{x: a}",
    );
    let left: Vec<_> = std::fs::read_dir(bench.path("scratch")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let made: Vec<_> = std::fs::read_dir(bench.path("out")).unwrap().collect();
    assert_eq!(made.len(), 1, "{made:?}");
}

#[test]
fn contents_and_scripts_make_values_of_outputs() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {expressionLib: ['function twice(x) { return 2 * x; }']}}
baseCommand: [echo, '21']
stdout: n
inputs: []
outputs:
  n: {type: int, outputBinding: {glob: n, loadContents: true, outputEval: '${ return twice(parseInt(self[0].contents)); }'}}
  code: {type: int, outputBinding: {outputEval: $(runtime.exitCode)}}
";
    let outputs = bench.outputs(tool, "{}");
    assert_eq!((&outputs["n"], &outputs["code"]), (&json!(42), &json!(0)));
}

#[test]
fn the_work_folder_is_filled_before_the_start() {
    let bench = Bench::new();
    bench.data("in.txt", "original");
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  ShellCommandRequirement: {}
  InitialWorkDirRequirement:
    listing:
    - {entryname: conf/settings.json, entry: '{\"name\": \"$(inputs.f.basename)\"}'}
    - {entryname: copy.txt, entry: $(inputs.f), writable: true}
arguments: [{shellQuote: false, valueFrom: 'echo more >> copy.txt; cat conf/settings.json'}]
inputs: {f: File}
outputs:
  out: stdout
  copy: {type: File, outputBinding: {glob: copy.txt}}
";
    let outputs = bench.outputs(tool, "{f: {class: File, location: in.txt}}");
    assert_eq!(text_of(&outputs["out"]), "{\"name\": \"in.txt\"}");
    assert_eq!(text_of(&outputs["copy"]), "originalmore\n");
    assert_eq!(
        std::fs::read_to_string(bench.path("data/in.txt")).unwrap(),
        "original"
    );
}

#[test]
fn the_environment_is_the_documents_and_nothing_else() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {EnvVarRequirement: {envDef: {BAND: $(inputs.band)}}}
baseCommand: env
inputs: {band: string}
outputs: {out: stdout}
";
    let outputs = bench.outputs(tool, "{band: B04}");
    let text = text_of(&outputs["out"]);
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["BAND", "HOME", "PATH", "TMPDIR"]);
    assert!(text.contains("BAND=B04"), "{text}");
}

#[test]
fn the_tool_may_say_its_outputs_itself() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {ShellCommandRequirement: {}}
arguments: [{shellQuote: false, valueFrom: 'echo hi > x; echo ''{\"n\": 5, \"f\": {\"class\": \"File\", \"path\": \"x\"}}'' > cwl.output.json'}]
inputs: []
outputs: {n: int, f: File}
";
    let outputs = bench.outputs(tool, "{}");
    assert_eq!(outputs["n"], 5);
    assert_eq!(text_of(&outputs["f"]), "hi\n");
}

#[test]
fn a_failure_carries_the_code_and_the_end_of_the_log() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'echo no such band >&2; exit 3']
temporaryFailCodes: [4]
inputs: []
outputs: []
";
    let error = bench.run(tool, "{}").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it left with code 3\n  no such band"),
        "{error}"
    );
    assert_eq!((error.exit_code(), error.kind()), (1, Kind::Precondition));
    let again = bench
        .run(&tool.replace("exit 3", "exit 4"), "{}")
        .unwrap_err();
    assert_eq!(again.kind(), Kind::Unavailable);
    let fine = tool.replace("temporaryFailCodes: [4]", "successCodes: [3]");
    assert!(bench.run(&fine, "{}").is_ok());
}

#[test]
fn a_missing_program_is_named() {
    let bench = Bench::new();
    let tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: no-such-program\ninputs: []\noutputs: []\n";
    let error = bench.run(tool, "{}").unwrap_err();
    assert!(
        error.to_string().contains("cannot start `no-such-program`"),
        "{error}"
    );
}

#[test]
fn a_tool_ends_when_its_time_is_up() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {ToolTimeLimit: {timelimit: 1}, ShellCommandRequirement: {}}
arguments: [{shellQuote: false, valueFrom: 'sleep 30 & sleep 30'}]
inputs: []
outputs: []
";
    let started = Instant::now();
    let error = bench.run(tool, "{}").unwrap_err();
    assert!(
        matches!(error, RunError::TimeLimit { seconds: 1, .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// Cancels the run as soon as a tool starts.
struct CancelAtStart(Cancellation);

impl Observer for CancelAtStart {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::ToolStarted { .. }) {
            self.0.cancel();
        }
    }
}

#[test]
fn a_cancelled_run_ends_its_tools() {
    let bench = Bench::new();
    let cancellation = Cancellation::default();
    let engine =
        Engine::new(bench.settings()).with_observer(Arc::new(CancelAtStart(cancellation.clone())));
    let tool = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, '30']\ninputs: []\noutputs: []\n";
    let started = Instant::now();
    let result = engine.run(
        &document(tool),
        bench.inputs("{}"),
        &bench.path("out"),
        &cancellation,
    );
    assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_required_container_is_unsupported_and_a_hinted_one_is_not_needed() {
    let bench = Bench::new();
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements: {DockerRequirement: {dockerPull: 'debian:stable-slim'}}
baseCommand: 'true'
inputs: []
outputs: []
";
    let error = bench.run(tool, "{}").unwrap_err();
    assert_eq!((error.exit_code(), error.kind()), (33, Kind::Unsupported));
    assert!(error.to_string().contains("debian:stable-slim"), "{error}");
    assert!(
        bench
            .run(&tool.replace("requirements", "hints"), "{}")
            .is_ok()
    );
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let bench = Bench::new();
    let tool = printing("  n: {type: int, inputBinding: {}}\n  f: File?\n", "");
    let missing = bench.run(&tool, "{}").unwrap_err();
    assert_eq!(missing.to_string(), "input `n` (int) is missing");
    let wrong = bench.run(&tool, "{n: many}").unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "input `n`: int is wanted, not `\"many\"`"
    );
    let nowhere = bench
        .run(&tool, "{n: 1, f: {class: File, location: gone.tif}}")
        .unwrap_err();
    assert!(nowhere.to_string().contains("gone.tif"), "{nowhere}");
    let faults = document(&tool).check_inputs(&bench.inputs("{f: 5}"));
    assert_eq!(
        faults,
        [
            "input `n` (int) is missing",
            "input `f`: File is wanted, not `5`"
        ]
    );
}

/// Writes down what it is asked to run.
#[derive(Default)]
struct Recorder {
    commands: Mutex<Vec<ToolCommand>>,
}

impl Executor for Recorder {
    fn run(&self, command: &ToolCommand) -> std::io::Result<ToolOutcome> {
        self.commands.lock().unwrap().push(command.clone());
        ProcessExecutor.run(command)
    }
}

#[test]
fn an_executor_learns_every_path_that_a_sandbox_must_show() {
    let bench = Bench::new();
    let original = bench.data("in.txt", "x").canonicalize().unwrap();
    let recorder = Arc::new(Recorder::default());
    let executor: Arc<dyn Executor> = recorder.clone();
    let engine = Engine::new(bench.settings()).with_executor(executor);
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  ResourceRequirement: {coresMin: 2, ramMin: 512}
  NetworkAccess: {networkAccess: true}
  ToolTimeLimit: {timelimit: 60}
baseCommand: cat
inputs: {f: {type: File, inputBinding: {}}}
outputs: {out: stdout}
";
    bench
        .run_with(&engine, tool, "{f: {class: File, location: in.txt}}")
        .unwrap();
    let commands = recorder.commands.lock().unwrap();
    let command = &commands[0];
    let staged = std::path::Path::new(&command.argv[1]);
    let shown = |path: &std::path::Path| {
        command
            .binds
            .iter()
            .any(|bind| path.starts_with(&bind.path))
    };
    assert!(shown(staged) && shown(&original), "{:?}", command.binds);
    assert!(command.binds.iter().all(|bind| !bind.writable));
    assert!(command.stdout.starts_with(&command.work_folder));
    assert_eq!(
        (command.resources.cores, command.resources.ram),
        (2.0, 512.0)
    );
    assert_eq!(
        (command.network, command.time_limit),
        (true, Some(Duration::from_secs(60)))
    );
}

#[test]
fn formats_are_compared_with_their_prefixes_expanded() {
    let bench = Bench::new();
    bench.data("a.tif", "x");
    let tool = "\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {iana: 'https://www.iana.org/assignments/media-types/'}
baseCommand: 'true'
inputs: {f: {type: File, format: 'iana:image/tiff'}}
outputs: []
";
    let job = |format: &str| format!("{{f: {{class: File, location: a.tif{format}}}}}");
    assert!(bench.run(tool, &job(", format: 'iana:image/tiff'")).is_ok());
    let wrong = bench
        .run(tool, &job(", format: 'iana:image/png'"))
        .unwrap_err();
    assert!(
        wrong.to_string().contains("image/tiff is wanted"),
        "{wrong}"
    );
    assert!(bench.run(tool, &job("")).is_err());
}
