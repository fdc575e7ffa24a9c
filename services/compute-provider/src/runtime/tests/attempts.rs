//! Attempts with the real runner and real tools.

use std::sync::Arc;

use oc_kernel::SystemClock;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::bench::{Bench, bench, bench_with, finish, input, open, shell, spec, until_it_prints};
use crate::domain::runtime::{End, Event, Runtime};
use crate::runtime::process::{ProcessRuntime, ProcessSettings};

/// Processes whose command line holds these words.
fn processes_with(words: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            String::from_utf8_lossy(line)
                .replace('\0', " ")
                .contains(words)
        })
        .count()
}

fn tools() -> Value {
    json!({
        "cwlVersion": "v1.2", "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"text": "File"},
        "outputs": {"lines": {"type": "int", "outputSource": "count/n"},
                    "upper": {"type": "File", "outputSource": "shout/out"}},
        "steps": {
            "shout": {"in": {"text": "text"}, "out": ["out"], "run": {
                "class": "CommandLineTool", "baseCommand": ["tr", "a-z", "A-Z"],
                "inputs": {"text": "File"}, "stdin": "$(inputs.text.path)",
                "outputs": {"out": "stdout"}, "stdout": "$(inputs.text.nameroot + '.upper')"}},
            "count": {"in": {"text": "shout/out"}, "out": ["n"], "run": {
                "class": "CommandLineTool", "baseCommand": ["wc", "-l"],
                "inputs": {"text": {"type": "File", "inputBinding": {}}}, "stdout": "n",
                "outputs": {"n": {"type": "int", "outputBinding": {"glob": "n", "loadContents": true,
                    "outputEval": "$(parseInt(self[0].contents))"}}}}},
        },
    })
}

#[tokio::test]
async fn a_fragment_runs_with_its_inputs_and_outputs_over_the_routes() {
    let text = "one\ntwo\n";
    let bench = bench_with(&[("in-1", text)]).await;
    let order = json!({"text": {"class": "File", "location": "input:in-1"}});
    let spec = spec(&tools(), &order, vec![input("in-1", text)]);
    let key = spec.key;
    let (events, report) = bench.run(spec).await;
    let End::Succeeded { outputs } = &report.end else {
        panic!("{report:?} after {events:?}")
    };
    let outputs: Value = serde_json::from_str(outputs).unwrap();
    assert_eq!(outputs["lines"], 2);
    assert_eq!(outputs["upper"]["location"], "output:upper/in-1.upper");
    let name = "upper/in-1.upper".parse().unwrap();
    assert_eq!(bench.shelf.stored.lock().unwrap()[&name], "ONE\nTWO\n");
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Step(step) => Some((step.step.as_str(), step.exit_code)),
            _ => None,
        })
        .collect();
    let zero = Some(0);
    assert_eq!(
        steps,
        [
            ("shout", None),
            ("shout", zero),
            ("count", None),
            ("count", zero)
        ]
    );
    assert_eq!((report.used.bytes_in, report.used.bytes_out), (8, 8));
    assert!(
        report.used.wall_ms > 0 && report.used.peak_memory_bytes > 0,
        "{:?}",
        report.used
    );
    assert!(bench.runtime.sandbox().await.isolated);

    bench.runtime.stop(&key).await.unwrap();
    assert_eq!(bench.attempt_folders(), 1);
    bench.runtime.sweep(&key).await.unwrap();
    assert_eq!(bench.attempt_folders(), 0);
}

#[tokio::test]
async fn a_missing_program_is_named_with_its_step() {
    let tool = json!({"class": "CommandLineTool", "baseCommand": "gdal_nonsense", "inputs": [],
                      "outputs": []});
    let workflow = json!({"cwlVersion": "v1.2", "class": "Workflow", "inputs": [], "outputs": [],
                          "steps": {"picture": {"run": tool, "in": [], "out": []}}});
    let bench = bench().await;
    let (_, report) = bench.run(spec(&workflow, &json!({}), Vec::new())).await;
    let End::Failed {
        step,
        message,
        exit_code,
        ..
    } = report.end
    else {
        panic!("{report:?}")
    };
    assert_eq!((step.as_str(), exit_code), ("picture", None));
    assert!(
        message.contains("`gdal_nonsense` is not installed on this node"),
        "{message}"
    );
}

#[tokio::test]
async fn an_input_that_the_node_refuses_fails_the_attempt_with_its_words() {
    let bench = bench().await;
    let order = json!({"text": {"class": "File", "location": "input:in-1"}});
    let (_, report) = bench
        .run(spec(&tools(), &order, vec![input("in-1", "x")]))
        .await;
    let End::Failed { message, .. } = report.end else {
        panic!("{report:?}")
    };
    assert_eq!(
        message,
        "fetch input `in-1`: no object `in-1` in this attempt"
    );
}

#[tokio::test]
async fn a_stopped_attempt_leaves_no_process_and_says_so() {
    let bench = bench().await;
    let seconds = format!("{}.1", 200_000 + std::process::id());
    let spec = shell(&format!(
        "echo begun; setsid sleep {seconds} & sleep {seconds}"
    ));
    let key = spec.key;
    let mut events = bench.start(spec).await;
    until_it_prints(&mut events).await;
    assert_eq!(bench.runtime.running().await, [key]);
    assert!(processes_with(&format!("sleep {seconds}")) > 0);
    let collected = tokio::spawn(finish(events));
    bench.runtime.stop(&key).await.unwrap();
    assert_eq!(processes_with(&format!("sleep {seconds}")), 0);
    assert_eq!(bench.runtime.running().await, []);
    let (_, report) = collected.await.unwrap();
    assert_eq!(report.end, End::Stopped);
    assert!(report.used.wall_ms > 0);
}

#[tokio::test]
async fn a_runner_that_does_not_listen_is_killed_with_its_tools() {
    let bench = bench().await;
    let seconds = format!("{}.2", 200_000 + std::process::id());
    let spec = shell(&format!("echo begun; sleep {seconds}"));
    let key = spec.key;
    let mut events = bench.start(spec).await;
    until_it_prints(&mut events).await;
    freeze_runner_of(&bench);
    let collected = tokio::spawn(finish(events));
    bench.runtime.stop(&key).await.unwrap();
    assert_eq!(processes_with(&format!("sleep {seconds}")), 0);
    assert_eq!(collected.await.unwrap().1.end, End::Stopped);
}

fn freeze_runner_of(bench: &Bench) {
    let pid = rustix::process::Pid::from_raw(bench.runner_pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
}

#[tokio::test]
async fn a_runner_that_dies_is_reported_and_nothing_is_left() {
    let bench = bench().await;
    let settings = ProcessSettings {
        runner: "/bin/false".into(),
        ..ProcessSettings::default()
    };
    let root = bench.folder.path().join("other");
    let clock = Arc::new(SystemClock);
    let runtime = ProcessRuntime::open(&settings, &root, &bench.address, clock).unwrap();
    let (sender, events) = mpsc::channel(16);
    let spec = shell("true");
    let key = spec.key;
    // A program that ends at once may or may not still read its macaroon.
    if runtime.start(spec, sender).await.is_ok() {
        let (_, report) = finish(events).await;
        let End::Failed { message, .. } = report.end else {
            panic!("{report:?}")
        };
        assert!(
            message.starts_with("the runner ended without a report"),
            "{message}"
        );
    }
    runtime.stop(&key).await.unwrap();
    assert_eq!(runtime.running().await, []);
}

#[tokio::test]
async fn a_runner_that_is_not_installed_is_missed_before_anything_starts() {
    let bench = bench().await;
    let settings = ProcessSettings {
        runner: "/nowhere/oc-step".into(),
        ..ProcessSettings::default()
    };
    let root = bench.folder.path().join("other");
    let clock = Arc::new(SystemClock);
    let runtime = ProcessRuntime::open(&settings, &root, &bench.address, clock).unwrap();
    let report = runtime.sandbox().await;
    assert!(!report.isolated && report.missing.unwrap().contains("install oc-step"));
    let (sender, _events) = mpsc::channel(16);
    let error = runtime
        .start(shell("true"), sender)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("install oc-step"), "{error}");
    assert!(!error.contains("/nowhere"), "{error}");
    assert_eq!(runtime.running().await, []);
}

#[tokio::test]
async fn neither_log_nor_failure_names_where_attempts_lie_here() {
    let bench = bench().await;
    let mut spec = shell("pwd; echo $HOME/a.txt >&2; ln -s ../d d");
    spec.document = spec
        .document
        .replace("\"glob\":\"*\"", "\"glob\":\"nothing-*.tif\"");
    let (events, report) = bench.run(spec).await;
    let mut texts: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Log(line) => Some(line.text.clone()),
            _ => None,
        })
        .collect();
    assert!(texts.len() >= 2, "{texts:?}");
    assert!(texts[0].starts_with("work/"), "{texts:?}");
    texts.push(format!("{report:?}"));
    let here = bench.folder.path().display().to_string();
    for text in texts {
        assert!(!text.contains(&here), "{text}");
    }
    // A document that cannot be run fails with a text of the engine.
    let mut spec = shell("true");
    spec.document = spec.document.replace("\"glob\":\"*\"", "\"glob\":\"../*\"");
    let (_, report) = bench.run(spec).await;
    let End::Failed { message, .. } = report.end else {
        panic!("{report:?}")
    };
    assert!(!message.contains(&here), "{message}");
}

#[tokio::test]
async fn an_end_and_a_release_take_a_large_folder_apart_together() {
    let bench = bench().await;
    let script = "for i in $(seq 40); do mkdir -p d$i/a/b; for j in $(seq 25); do : > d$i/a/b/$j; done; done";
    let mut spec = shell(script);
    spec.document = spec.document.replace("\"glob\":\"*\"", "\"glob\":\"none\"");
    let key = spec.key;
    bench.run(spec).await;
    bench.runtime.stop(&key).await.unwrap();
    let sweeps = (0..4).map(|_| bench.runtime.sweep(&key));
    for swept in futures::future::join_all(sweeps).await {
        swept.unwrap();
    }
    assert_eq!(bench.attempt_folders(), 0);
}

#[tokio::test]
async fn an_attempt_that_runs_is_not_started_twice() {
    let bench = bench().await;
    let spec = shell("echo begun; sleep 1000");
    let mut events = bench.start(spec.clone()).await;
    until_it_prints(&mut events).await;
    let (sender, mut second) = mpsc::channel(16);
    bench.runtime.start(spec.clone(), sender).await.unwrap();
    assert!(
        second.recv().await.is_none(),
        "the second start has no events"
    );
    assert_eq!(bench.runtime.running().await, [spec.key]);
    let collected = tokio::spawn(finish(events));
    bench.runtime.stop(&spec.key).await.unwrap();
    collected.await.unwrap();
}

#[tokio::test]
async fn what_a_former_process_left_is_removed_at_the_start() {
    let bench = bench().await;
    bench.run(shell("echo x > f; chmod 000 .")).await;
    assert_eq!(bench.attempt_folders(), 1);
    let _again = open(bench.folder.path(), &bench.address);
    assert_eq!(bench.attempt_folders(), 0);
}
