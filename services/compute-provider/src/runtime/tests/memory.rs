//! What a partner's document can take of this machine's memory by way of the runner.

use serde_json::{Value, json};

use super::bench::{Bench, bench, finish, open_with, runner, shell, spec, until_it_prints};
use crate::domain::runtime::{AttemptSpec, End, Runtime};
use crate::runtime::process::ProcessSettings;

/// Two lists of `each` elements, every combination a job.
fn scatter(each: u32, method: &str) -> AttemptSpec {
    let tool = json!({"class": "CommandLineTool", "baseCommand": "true",
                      "inputs": {"a": "int", "b": "int"}, "outputs": []});
    let workflow = json!({
        "cwlVersion": "v1.2", "class": "Workflow", "inputs": {"as": "int[]", "bs": "int[]"}, "outputs": [],
        "requirements": {"ScatterFeatureRequirement": {}},
        "steps": {"wide": {"run": tool, "in": {"a": "as", "b": "bs"}, "out": [],
                           "scatter": ["a", "b"], "scatterMethod": method}},
    });
    let list: Vec<u32> = (0..each).collect();
    spec(&workflow, &json!({"as": list, "bs": list}), Vec::new())
}

async fn fails(bench: &Bench, spec: AttemptSpec) -> (String, String) {
    let (_, report) = bench.run(spec).await;
    match report.end {
        End::Failed { step, message, .. } => (step, message),
        end => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn a_scatter_too_wide_fails_its_step_before_a_job_is_made() {
    let bench = bench().await;
    for method in ["flat_crossproduct", "nested_crossproduct"] {
        for each in [6_000, 100_000] {
            let (step, message) = fails(&bench, scatter(each, method)).await;
            assert_eq!(step, "wide");
            assert!(message.contains("more than 20000 jobs"), "{message}");
        }
    }
}

fn data_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max data size"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[tokio::test]
async fn the_runner_stands_under_a_limit_of_memory_and_its_tools_under_their_own() {
    let bench = bench().await;
    let attempt = shell("grep 'Max data' /proc/self/limits; echo; sleep 1000");
    let key = attempt.key;
    let mut events = bench.start(attempt).await;
    let tool = until_it_prints(&mut events).await;
    let runner = bench.runner_pid();
    let limits = std::fs::read_to_string(format!("/proc/{runner}/limits")).unwrap();
    assert_eq!(data_limit(&limits), Some((512 + 16) << 20), "{limits}");
    assert!(tool.starts_with("Max data size"), "{tool}");
    assert_ne!(data_limit(&tool), data_limit(&limits), "{tool}");
    let collected = tokio::spawn(finish(events));
    bench.runtime.stop(&key).await.unwrap();
    collected.await.unwrap();
}

#[tokio::test]
async fn a_document_above_the_runners_memory_fails_with_the_reason() {
    let bench = bench().await;
    let settings = ProcessSettings {
        runner: runner(),
        runner_memory_bytes: 0,
        ..ProcessSettings::default()
    };
    let small = Bench {
        runtime: open_with(&settings, bench.folder.path(), &bench.address),
        ..bench
    };
    let mut spec = scatter(1, "dotproduct");
    let list: Value = (0..400_000).collect();
    spec.job = json!({"as": list, "bs": list}).to_string();
    let (_, message) = fails(&small, spec).await;
    assert!(
        message.contains("more than the 16 MiB that the runner has"),
        "{message}"
    );
    assert!(!message.contains("RUST_BACKTRACE"), "{message}");
}
