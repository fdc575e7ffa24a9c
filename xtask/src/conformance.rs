//! The CWL v1.2 conformance suite against `opencloud cwl run`. The suite is no part of the repository;
//! where it is missing, the task says so and is content.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::process::{root, target};
use crate::setup;

/// Fewest tests that have to pass of the suite's 378.
const FEWEST: usize = 360;

/// How our error begins where a feature is not supported; the report carries it.
const UNSUPPORTED: &str = "unsupported: ";

/// Runs the suite, or the part of it that `cwltest` options select (`-n 1-20`, `-s id,id`).
pub(crate) fn run(options: &[String]) -> anyhow::Result<ExitCode> {
    let suite = suite();
    if !suite.join("conformance_tests.yaml").is_file() {
        println!(
            "skipped: {} is missing; put common-workflow-language/cwl-v1.2 there or name its place \
             in OC_CWL_SUITE",
            suite.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let tools = setup::for_testing()?;
    let report = target().join("conformance.xml");
    // The exit code says whether every test passed, which is not what is asked here.
    Command::new(tools.path("cwltest"))
        .args([
            "--test",
            "conformance_tests.yaml",
            "-j2",
            "--timeout",
            "120",
        ])
        .arg("--tool")
        .arg(target().join("debug/opencloud"))
        .arg("--junit-xml")
        .arg(&report)
        .args(options)
        .args(["--", "cwl", "run", "--no-container"])
        .current_dir(&suite)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("start cwltest")?;
    let text =
        std::fs::read_to_string(&report).with_context(|| format!("read {}", report.display()))?;
    Ok(judge(&cases(&text), options.is_empty()))
}

/// Beside the repository, unless the environment names another place.
fn suite() -> PathBuf {
    std::env::var_os("OC_CWL_SUITE")
        .map_or_else(|| root().join("../shared/data/cwl-v1.2"), PathBuf::from)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    /// It needs something that is not there, which is a container everywhere in this suite.
    Unsupported,
}

struct Case {
    id: String,
    required: bool,
    ending: Ending,
}

/// How each test ended, from the report in JUnit's form.
fn cases(report: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for case in report.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        let Some(id) = attribute(case, "file") else {
            continue;
        };
        let sound = !case.contains("<failure") && !case.contains("<skipped");
        // cwltest counts an unsupported feature as a failure where a test is tagged `required`.
        let ending = match sound {
            true => Ending::Passed,
            false if case.contains(UNSUPPORTED) => Ending::Unsupported,
            false => Ending::Failed,
        };
        let tags = attribute(case, "class").unwrap_or_default();
        cases.push(Case {
            id: id.to_owned(),
            required: tags.split(", ").any(|tag| tag == "required"),
            ending,
        });
    }
    cases
}

fn attribute<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

fn judge(cases: &[Case], whole: bool) -> ExitCode {
    let count = |ending| cases.iter().filter(|case| case.ending == ending).count();
    let passed = count(Ending::Passed);
    println!(
        "conformance: {passed} of {} passed, {} failed, {} need a container",
        cases.len(),
        count(Ending::Failed),
        count(Ending::Unsupported)
    );
    let mut missed = 0;
    for case in cases {
        let required = if case.required { " (required)" } else { "" };
        match case.ending {
            Ending::Passed => {}
            Ending::Unsupported => println!("needs a container: {}{required}", case.id),
            Ending::Failed => {
                missed += usize::from(case.required);
                println!("failed: {}{required}", case.id);
            }
        }
    }
    let enough = !whole || passed >= FEWEST;
    if !enough {
        println!("at least {FEWEST} have to pass");
    }
    if missed == 0 && enough {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
