//! CWL on the command line, in turns with cwltool: what a person waits for, start of the program included.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use oc_testkit::program;

use crate::figures::{Bar, Row, Times};

const ECHO: &str = "cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs:
  message: {type: string, inputBinding: {}}
outputs:
  out: {type: stdout}
";

const SCATTER: &str = "cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {messages: 'string[]'}
outputs:
  out: {type: 'File[]', outputSource: each/out}
steps:
  each: {run: echo.cwl, scatter: message, in: {message: messages}, out: [out]}
";

const WIDTH: usize = 200;

pub(crate) fn measure(cwltool: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let place = folder.path();
    fs::write(place.join("echo.cwl"), ECHO)?;
    fs::write(place.join("echo.yml"), "message: hello\n")?;
    fs::write(place.join("scatter.cwl"), SCATTER)?;
    let messages: Vec<String> = (0..WIDTH)
        .map(|number| format!("message {number}"))
        .collect();
    let messages = serde_json::json!({ "messages": messages });
    fs::write(place.join("scatter.json"), messages.to_string())?;

    let echo = turns(place, cwltool, "echo.cwl", "echo.yml", (31, 5))?;
    let scatter = turns(place, cwltool, "scatter.cwl", "scatter.json", (9, 3))?;
    let how = "median of our 31 runs and the incumbent's 5, in turns; from the start of the program to its end";
    let width = format!("a scatter of {WIDTH} echoes");
    Ok(vec![
        Row::new("CWL: one echo", echo.0, "ms", how)
            .bar(Bar::AtMost(10.0))
            .beside("cwltool", echo.1),
        Row::new(
            format!("CWL: {width}"),
            scatter.0,
            "ms",
            "the same, 9 runs and 3; cwltool with --parallel",
        )
        .bar(Bar::AtMost(400.0))
        .beside("cwltool", scatter.1),
    ])
}

/// Medians of ours and of the incumbent, each run next to the other's.
fn turns(
    place: &Path,
    cwltool: Option<&Path>,
    document: &str,
    job: &str,
    (ours, theirs): (usize, usize),
) -> anyhow::Result<(f64, Option<f64>)> {
    let our = || {
        let mut command = Command::new(program());
        command.args(["cwl", "run", "--quiet", "--no-container", "--outdir", "out"]);
        command
    };
    let their = |program: &Path| {
        let mut command = Command::new(program);
        command.args(["--quiet", "--no-container", "--parallel", "--outdir", "out"]);
        command
    };
    let run = |mut command: Command| -> anyhow::Result<Duration> {
        command.args([document, job]).current_dir(place);
        let start = Instant::now();
        let output = command.output().context("start it")?;
        let took = start.elapsed();
        let _ = fs::remove_dir_all(place.join("out"));
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(took)
    };
    run(our())?;
    if let Some(program) = cwltool {
        run(their(program))?;
    }
    let mut times = (Vec::new(), Vec::new());
    for turn in 0..ours {
        times.0.push(run(our())?);
        if let Some(program) = cwltool.filter(|_| turn < theirs) {
            times.1.push(run(their(program))?);
        }
    }
    let incumbent = cwltool.map(|_| Times::of(times.1).median_ms());
    Ok((Times::of(times.0).median_ms(), incumbent))
}
