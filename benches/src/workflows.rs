//! A workflow of 200 steps, packed in one document: load, check, plan, and compile into what each site is sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use oc_cwl::{Document, Limits, Severity};
use oc_workflow::Steps;
use oc_workflow::plan::{Placement, Question, plan};

use crate::figures::{Bar, Row, timed};
use crate::planning::{Sites, now};

const STEPS: usize = 200;
const ROUNDS: usize = 50;

pub(crate) fn measure(cwltool: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let text = packed(STEPS);
    compile(&text)?;
    let ours = timed(ROUNDS, || {
        let _ = black_box(compile(&text));
    });
    let incumbent = cwltool
        .map(|program| validate(program, &text))
        .transpose()?;
    let row = Row::new(
        format!("a workflow of {STEPS} steps: load, check, plan, compile"),
        ours.median_ms(),
        "ms",
        format!(
            "median of {ROUNDS} in the process; three sites; one fragment's document and digest for each site; \
             beside it `cwltool --validate`, which does not plan"
        ),
    );
    let larger = packed(5_000);
    let lone = timed(3, || {
        let _ = black_box(Document::parse(&larger, "large.cwl", &Limits::default()));
    });
    let quarter = packed(1_250);
    let part = timed(3, || {
        let _ = black_box(Document::parse(&quarter, "large.cwl", &Limits::default()));
    });
    Document::parse(&larger, "large.cwl", &Limits::default()).context("5,000 steps")?;
    Ok(vec![
        row.bar(Bar::AtMost(50.0)).beside("cwltool", incumbent),
        Row::new(
            "5,000 steps loaded, against four times 1,250 steps",
            lone.median_ms() / (4.0 * part.median_ms()),
            "times",
            format!(
                "median of 3: {:.0} ms against {:.0} ms; 1.0 is linear",
                lone.median_ms(),
                part.median_ms()
            ),
        )
        .bar(Bar::AtMost(1.5)),
    ])
}

/// From text to one document for each fragment.
fn compile(text: &str) -> anyhow::Result<usize> {
    let document = Document::parse(text, "workflow.cwl", &Limits::default())?;
    if let Some(fault) = document
        .check()
        .into_iter()
        .find(|finding| finding.severity == Severity::Error)
    {
        bail!("{}", fault.message);
    }
    let steps = Steps::of(document.process(), &BTreeMap::new());
    let Sites { sites, storage } = Sites::few();
    let plan = plan(
        &Question {
            steps: &steps,
            data: &BTreeMap::new(),
            storage: &storage,
            sites: &sites,
            placement: &Placement::default(),
        },
        now(),
    )?;
    let mut bytes = 0;
    for fragment in &plan.fragments {
        let part = document.fragment(&fragment.steps)?;
        bytes += part.document.to_json().to_string().len();
    }
    Ok(bytes)
}

fn validate(cwltool: &Path, text: &str) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("workflow.cwl");
    std::fs::write(&file, text)?;
    let run = || {
        let mut command = Command::new(cwltool);
        command.args(["--validate", "--quiet"]).arg(&file);
        command.output()
    };
    let first = run().with_context(|| format!("start {}", cwltool.display()))?;
    if !first.status.success() {
        bail!("cwltool: {}", String::from_utf8_lossy(&first.stderr));
    }
    let times = timed(5, || {
        let _ = black_box(run());
    });
    Ok(times.median_ms())
}

/// A chain of layers of ten, in one `$graph`.
fn packed(steps: usize) -> String {
    let mut text = String::from(
        "cwlVersion: v1.2\n$graph:\n- id: tool\n  class: CommandLineTool\n  baseCommand: echo\n  inputs:\n    \
         message: {type: string, inputBinding: {}}\n    \
         after: {type: 'File?'}\n  outputs:\n    out: {type: stdout}\n\
         - id: main\n  class: Workflow\n  inputs:\n    message: string\n  outputs:\n    last: {type: File, \
         outputSource: ",
    );
    let _ = writeln!(text, "s{}/out}}\n  steps:", steps - 1);
    for number in 0..steps {
        let _ = writeln!(text, "    s{number}:\n      run: '#tool'\n      in:");
        let _ = writeln!(text, "        message: message");
        if number >= 10 {
            let _ = writeln!(text, "        after: s{}/out", number - 10);
        }
        let _ = writeln!(text, "      out: [out]");
    }
    text
}
