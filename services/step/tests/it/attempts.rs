//! Whole attempts: the real program, real tools in real sandboxes, a node over sockets.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use oc_step::{End, Event, Input, Job, Limits, Phase, Report};
use serde_json::{Value, json};

use crate::fake_node::{FakeNode, MACAROON};

const MIB: u64 = 1 << 20;

/// A node with an attempt to start.
struct Bench {
    folder: tempfile::TempDir,
    fake: FakeNode,
    address: String,
    limits: Limits,
    inputs: Vec<Input>,
    _runtime: tokio::runtime::Runtime,
}

/// An attempt under way.
struct Running {
    process: Child,
    events: BufReader<ChildStdout>,
}

/// Everything that an attempt told.
struct Told {
    events: Vec<Event>,
    report: Report,
}

fn bench() -> Bench {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let fake = FakeNode::default();
    let address = runtime.block_on(fake.serve());
    Bench {
        folder: tempfile::tempdir().unwrap(),
        fake,
        address,
        limits: Limits {
            cores: 2,
            memory_bytes: 512 * MIB,
            wall_ms: 30_000,
            output_bytes: 10 * MIB,
            log_bytes: 10_000,
            disk_bytes: 100 * MIB,
        },
        inputs: Vec::new(),
        _runtime: runtime,
    }
}

impl Bench {
    fn input(&mut self, name: &str, basename: &str, text: &str) {
        let input = self.fake.keep(name, basename, text.as_bytes());
        self.inputs.push(input);
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("attempt")
    }

    fn job(&self, document: &Value, order: Value) -> PathBuf {
        let Value::Object(order) = order else {
            unreachable!()
        };
        fs::create_dir(self.folder()).unwrap();
        let job = Job {
            document: document.to_string(),
            order,
            inputs: self.inputs.clone(),
            limits: self.limits,
            node: self.address.clone(),
            folder: self.folder(),
        };
        let path = self.folder.path().join("job.json");
        fs::write(&path, serde_json::to_vec(&job).unwrap()).unwrap();
        path
    }

    fn start(&self, document: &Value, order: Value) -> Running {
        let path = self.job(document, order);
        let mut process = Command::new(env!("CARGO_BIN_EXE_oc-step"))
            .arg("run")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(process.stdin.as_mut().unwrap(), "{MACAROON}").unwrap();
        let events = BufReader::new(process.stdout.take().unwrap());
        Running { process, events }
    }

    fn run(&self, document: &Value, order: Value) -> Told {
        self.start(document, order).finish()
    }

    fn stored(&self, name: &str) -> String {
        String::from_utf8(self.fake.shelf().stored[name].clone()).unwrap()
    }
}

impl Running {
    fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        self.events.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    fn finish(mut self) -> Told {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        assert!(self.process.wait().unwrap().success());
        match events.pop() {
            Some(Event::Ended { report }) => Told { events, report },
            last => panic!("the last event is {last:?}"),
        }
    }
}

impl Told {
    fn outputs(&self) -> &Value {
        match &self.report.end {
            End::Succeeded { outputs } => outputs,
            other => panic!("{other:?} after {:?}", self.events),
        }
    }

    fn failure(&self) -> (&str, &str, Option<i32>) {
        match &self.report.end {
            End::Failed {
                step,
                message,
                exit_code,
            } => (step, message, *exit_code),
            other => panic!("{other:?}"),
        }
    }

    fn log(&self) -> Vec<&str> {
        fn text(event: &Event) -> Option<&str> {
            match event {
                Event::Log { text, .. } => Some(text),
                _ => None,
            }
        }
        self.events.iter().filter_map(text).collect()
    }
}

/// A tool that runs a shell script; its outputs are all files of the work folder.
fn shell(script: &str) -> Value {
    json!({
        "cwlVersion": "v1.2", "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script], "inputs": [],
        "outputs": {"files": {"type": "File[]", "outputBinding": {"glob": "*"}}},
    })
}

fn two_steps() -> Value {
    json!({
        "cwlVersion": "v1.2", "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"texts": "File[]", "suffix": "string"},
        "outputs": {"count": {"type": "int", "outputSource": "count/n"},
                    "all": {"type": "File", "outputSource": "join/out"}},
        "steps": {
            "join": {
                "run": {"class": "CommandLineTool", "baseCommand": "cat",
                        "inputs": {"texts": {"type": "File[]", "inputBinding": {}}, "suffix": "string"},
                        "outputs": {"out": "stdout"},
                        "stdout": "$(inputs.texts[0].nameroot + inputs.suffix)"},
                "in": {"texts": "texts", "suffix": "suffix"}, "out": ["out"],
            },
            "count": {
                "run": {"class": "CommandLineTool", "baseCommand": ["wc", "-l"],
                        "inputs": {"text": "File"}, "stdin": "$(inputs.text.path)", "stdout": "n",
                        "outputs": {"n": {"type": "int", "outputBinding": {
                            "glob": "n", "loadContents": true,
                            "outputEval": "$(parseInt(self[0].contents))"}}}},
                "in": {"text": "join/out"}, "out": ["n"],
            },
        },
    })
}

#[test]
fn a_fragment_is_staged_run_stored_and_metered() {
    let mut bench = bench();
    bench.input("in-1", "first.txt", "one\ntwo\n");
    bench.input("in-2", "second.txt", "three\n");
    let file = |name: &str| json!({"class": "File", "location": format!("input:{name}")});
    let order = json!({"texts": [file("in-1"), file("in-2")], "suffix": ".joined"});
    let told = bench.run(&two_steps(), order);
    let outputs = told.outputs();
    assert_eq!(outputs["count"], 3);
    assert_eq!(outputs["all"]["location"], "output:all/first.joined");
    assert_eq!(bench.stored("all/first.joined"), "one\ntwo\nthree\n");

    let phases: Vec<Phase> = told
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Phase { phase } => Some(*phase),
            _ => None,
        })
        .collect();
    assert_eq!(phases, [Phase::Staging, Phase::Running, Phase::Storing]);
    let ended: Vec<(&str, Option<i32>)> = told
        .events
        .iter()
        .filter_map(|event| match event {
            Event::StepEnded {
                step, exit_code, ..
            } => Some((step.as_str(), *exit_code)),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [("join", Some(0)), ("count", Some(0))]);
    let used = told.report.used;
    assert_eq!((used.bytes_in, used.bytes_out), (14, 14));
    assert!(used.wall_ms > 0 && used.peak_memory_bytes > 0, "{used:?}");
}

#[test]
fn what_a_tool_prints_reaches_the_node_line_by_line() {
    let told = bench().run(
        &shell("echo out; echo err >&2; printf unfinished"),
        json!({}),
    );
    told.outputs();
    let mut log = told.log();
    log.sort_unstable();
    assert_eq!(log, ["err", "out", "unfinished"]);
}

#[test]
fn a_program_that_is_missing_is_named() {
    let tool = json!({"cwlVersion": "v1.2", "class": "CommandLineTool",
                      "baseCommand": "gdal_nonsense", "inputs": [], "outputs": []});
    let workflow = json!({"cwlVersion": "v1.2", "class": "Workflow", "inputs": [], "outputs": [],
                          "steps": {"picture": {"run": tool, "in": [], "out": []}}});
    let told = bench().run(&workflow, json!({}));
    let (step, message, exit_code) = told.failure();
    assert_eq!((step, exit_code), ("picture", None));
    assert!(
        message.contains("`gdal_nonsense` is not installed on this node"),
        "{message}"
    );
}

#[test]
fn a_tool_that_fails_shows_its_step_and_code_and_its_last_lines_are_in_the_log() {
    let told = bench().run(&shell("echo cannot open x.tif >&2; exit 7"), json!({}));
    let (_, message, exit_code) = told.failure();
    assert_eq!(exit_code, Some(7));
    assert!(message.starts_with("`sh` failed"), "{message}");
    assert_eq!(told.log(), ["cannot open x.tif"]);
}

#[test]
fn files_of_the_node_cannot_be_named_by_a_document() {
    let load = |location: &str| {
        json!({
            "cwlVersion": "v1.2", "class": "ExpressionTool",
            "requirements": {"InlineJavascriptRequirement": {}},
            "inputs": {"f": {"type": "File", "loadContents": true,
                             "default": {"class": "File", "location": location}}},
            "outputs": {"text": "string"},
            "expression": "${ return {text: inputs.f.contents}; }",
        })
    };
    let computed = json!({
        "cwlVersion": "v1.2", "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": [], "outputs": {"f": {"type": "File", "outputSource": "make/f"}},
        "steps": {"make": {"in": [], "out": ["f"], "run": {
            "class": "ExpressionTool", "inputs": [], "outputs": {"f": "File"},
            "expression": "${ return {f: {class: 'File', location: 'file:///etc/passwd'}}; }"}}},
    });
    let listed = json!({
        "cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": "true", "inputs": [],
        "requirements": {"InitialWorkDirRequirement": {"listing": [
            {"class": "File", "location": "file:///etc/passwd"}]}},
        "outputs": {"f": {"type": "File", "outputBinding": {"glob": "passwd"}}},
    });
    for document in [
        load("file:///etc/passwd"),
        load("file:///etc/hostname"),
        computed,
        listed,
    ] {
        let bench = bench();
        let told = bench.run(&document, json!({}));
        let (_, message, _) = told.failure();
        assert!(message.contains("/etc/"), "{message}");
        assert!(bench.fake.shelf().stored.is_empty());
    }
}

#[test]
fn a_link_that_a_tool_plants_is_taken_away_and_reported() {
    let bench = bench();
    let told = bench.run(
        &shell("echo fine > good; ln -s /etc/passwd bad; ln -s /proc/self/mem worse"),
        json!({}),
    );
    assert_eq!(told.outputs()["files"].as_array().unwrap().len(), 1);
    assert_eq!(bench.stored("files/good"), "fine\n");
    let log = told.log();
    assert!(
        log.contains(&"took away `bad`: it is a link to `/etc/passwd`"),
        "{log:?}"
    );
    assert_eq!(log.len(), 2);
}

#[test]
fn a_limit_that_a_tool_hits_is_named_with_its_number() {
    let mut bench = bench();
    bench.limits.memory_bytes = 300 * MIB;
    let told = bench.run(
        &shell("perl -e 'my @a; push @a, \"x\" x 1000000 while 1'"),
        json!({}),
    );
    let (_, message, _) = told.failure();
    assert!(
        message.contains("the memory limit of 314572800 bytes"),
        "{message}"
    );
}

#[test]
fn a_tool_that_asks_for_more_than_there_is_is_refused_with_both_numbers() {
    let mut tool = shell("true");
    tool["requirements"] = json!({"ResourceRequirement": {"coresMin": 8}});
    let told = bench().run(&tool, json!({}));
    let (_, message, _) = told.failure();
    assert!(
        message.contains("it asks for 8 cores and the attempt has 2"),
        "{message}"
    );
}

#[test]
fn an_attempt_ends_when_its_time_does() {
    let mut bench = bench();
    bench.limits.wall_ms = 1500;
    let told = bench.run(&shell("sleep 1000"), json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("time"), "{message}");
    assert!(
        (1400..10_000).contains(&told.report.used.wall_ms),
        "{:?}",
        told.report.used
    );
}

#[test]
fn outputs_over_the_limit_are_refused_with_both_numbers() {
    let mut bench = bench();
    bench.limits.output_bytes = 5;
    let told = bench.run(&shell("echo larger > f"), json!({}));
    let (_, message, _) = told.failure();
    assert_eq!(
        message,
        "the outputs have 7 bytes and the attempt may store 5"
    );
}

#[test]
fn a_container_that_is_required_is_refused() {
    let mut tool = shell("true");
    tool["requirements"] = json!({"DockerRequirement": {"dockerPull": "debian:12"}});
    let told = bench().run(&tool, json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("container"), "{message}");
}

#[test]
fn scripts_run_in_a_sandbox_that_goes_with_the_attempt() {
    let document = json!({
        "cwlVersion": "v1.2", "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": [], "outputs": {"n": "int"},
        "expression": "${ var a = []; while (true) { a.push(new Array(100000).join('x')); } }",
    });
    let told = bench().run(&document, json!({}));
    let (_, message, _) = told.failure();
    assert!(message.contains("memory"), "{message}");
}

/// Processes whose command line names this folder.
fn processes_of(folder: &Path) -> usize {
    let needle = folder.to_str().unwrap().as_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.windows(needle.len()).any(|window| window == needle))
        .count()
}

fn eventually(what: &str, mut predicate: impl FnMut() -> bool) {
    let since = Instant::now();
    while !predicate() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "not within 20 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn until_a_tool_prints(running: &mut Running) {
    loop {
        match running.next() {
            Some(Event::Log { .. }) => return,
            Some(Event::Ended { report }) => panic!("{report:?}"),
            Some(_) => {}
            None => panic!("no more events"),
        }
    }
}

#[test]
fn the_end_of_standard_input_stops_everything() {
    let bench = bench();
    let mut running = bench.start(&shell("echo begun; sleep 1000"), json!({}));
    until_a_tool_prints(&mut running);
    assert!(processes_of(&bench.folder()) > 0);
    drop(running.process.stdin.take());
    let told = running.finish();
    assert_eq!(told.report.end, End::Stopped);
    assert_eq!(processes_of(&bench.folder()), 0);
}

#[test]
fn a_runner_that_is_killed_leaves_no_process() {
    let bench = bench();
    let mut running = bench.start(
        &shell("echo begun; setsid sleep 1000 & sleep 1000"),
        json!({}),
    );
    until_a_tool_prints(&mut running);
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    eventually("its tools are gone", || processes_of(&bench.folder()) == 0);
}

#[test]
fn a_runner_dies_with_its_parent_even_while_its_standard_input_is_open() {
    let bench = bench();
    let job = bench.job(&shell("echo begun; sleep 1000"), json!({}));
    let mut parent = Command::new("sh")
        .args(["-c", r#"exec 3<&0; "$0" run "$1" <&3 & wait"#])
        .arg(env!("CARGO_BIN_EXE_oc-step"))
        .arg(&job)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(parent.stdin.as_mut().unwrap(), "{MACAROON}").unwrap();
    let events = BufReader::new(parent.stdout.take().unwrap());
    let mut running = Running {
        process: parent,
        events,
    };
    until_a_tool_prints(&mut running);
    let _kept_open = running.process.stdin.take();
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    eventually("the runner and its tools are gone", || {
        processes_of(bench.folder.path()) == 0
    });
}
