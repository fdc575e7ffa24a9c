//! One node from start to idle, and the main job of two.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use oc_testkit::{Node, program};
use serde_json::Value;

use crate::figures::{Bar, Row, Times};
use crate::machine::kibibytes;

/// What a node is left alone for before its idle figures are taken, and while they are.
const SETTLED: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(20);
/// Of `/proc/PID/stat`; Linux has shown 100 to programs on every machine since 2.6.
const TICKS_A_SECOND: f64 = 100.0;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let mut starts = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let node = Node::start("North").await;
        starts.push(start.elapsed());
        drop(node);
    }
    let ready = Times::of(starts).median_ms();
    let node = Node::start("North").await;
    tokio::time::sleep(SETTLED).await;
    let before = cpu_seconds(node.process_id())?;
    tokio::time::sleep(IDLE).await;
    let cpu = (cpu_seconds(node.process_id())? - before) / IDLE.as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{}/status", node.process_id()))?;
    let memory = kibibytes(&status, "VmRSS").context("no VmRSS")?;
    drop(node);

    let mut rows = vec![
        Row::new(
            "`opencloud up` to its first answer, on an empty folder",
            ready,
            "ms",
            "median of 5: start of the process, keys made, eight stores created, API answers",
        )
        .bar(Bar::AtMost(1_000.0)),
        Row::new(
            "memory of an idle node",
            memory as f64 / f64::from(1 << 20),
            "MiB",
            "resident, 25 s after the start",
        )
        .bar(Bar::AtMost(150.0)),
        Row::new(
            "processor time of an idle node",
            cpu * 100.0,
            "% of a core",
            "over 20 s, from 5 s after the start",
        )
        .bar(Bar::AtMost(1.0)),
    ];
    rows.extend(main_job()?);
    Ok(rows)
}

fn main_job() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let mut totals = Vec::new();
    let mut joined = Vec::new();
    for _ in 0..3 {
        let report = demo(folder.path())?;
        let timing = |name: &str| report["timings_ms"][name].as_f64().unwrap_or(f64::NAN);
        totals.push(Duration::from_secs_f64(timing("total") / 1e3));
        joined.push(Duration::from_secs_f64(
            (timing("joined") - timing("nodes_ready")) / 1e3,
        ));
    }
    Ok(vec![
        Row::new(
            "the main job, two organisations",
            Times::of(totals).median_ms() / 1e3,
            "s",
            "median of 3 of `opencloud demo`, all twelve steps and both nodes' start and end",
        )
        .bar(Bar::AtMost(15.0)),
        Row::new(
            "peer visible after joining a network",
            Times::of(joined).median_ms() / 1e3,
            "s",
            "of the same: network made, invitation, join, until both see each other",
        )
        .bar(Bar::AtMost(2.0)),
    ])
}

fn demo(folder: &Path) -> anyhow::Result<Value> {
    let file = folder.join("report.json");
    let output = Command::new(program())
        .args(["demo", "--quiet", "--json"])
        .arg(&file)
        .arg("--outdir")
        .arg(folder.join("pictures"))
        .output()?;
    if !output.status.success() {
        bail!(
            "the demonstration: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&fs::read(&file)?)?)
}

/// Processor time of a process so far, its own and the system's for it.
fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = (ticks(11).context("utime")?, ticks(12).context("stime")?);
    Ok((user + system) / TICKS_A_SECOND)
}
