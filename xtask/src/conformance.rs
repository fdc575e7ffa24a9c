//! The CWL v1.2 conformance suite against `opencloud cwl run`. The suite is no part of the repository;
//! where it is missing, the task says so and is content.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::process::{root, target};
use crate::setup;

/// Tests of the suite.
const ALL: usize = 378;
/// Fewest of them that have to pass.
const FEWEST: usize = 364;

/// How our error ends where a tool demands a container; the report carries it. Nothing else may be unsupported.
const NO_CONTAINER: &str = "and there is no container runtime";

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
    if report.is_file() {
        // A run that writes none must not be judged by that of the last one.
        std::fs::remove_file(&report).with_context(|| format!("remove {}", report.display()))?;
    }
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
    let verdict = judge(&cases(&text), options.is_empty());
    for line in &verdict.lines {
        println!("{line}");
    }
    Ok(match verdict.good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
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
    /// Its tool demands a container.
    NeedsContainer,
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
            false if case.contains(NO_CONTAINER) => Ending::NeedsContainer,
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

struct Verdict {
    good: bool,
    lines: Vec<String>,
}

/// Every required test passes or needs a container; of the whole suite, no test is left out and enough pass.
fn judge(cases: &[Case], whole: bool) -> Verdict {
    let count = |ending| cases.iter().filter(|case| case.ending == ending).count();
    let passed = count(Ending::Passed);
    let mut lines = vec![format!(
        "conformance: {passed} of {} passed, {} failed, {} need a container",
        cases.len(),
        count(Ending::Failed),
        count(Ending::NeedsContainer)
    )];
    let mut good = !cases.is_empty();
    for case in cases {
        let required = if case.required { " (required)" } else { "" };
        match case.ending {
            Ending::Passed => {}
            Ending::NeedsContainer => {
                lines.push(format!("needs a container: {}{required}", case.id))
            }
            Ending::Failed => {
                good &= !case.required;
                lines.push(format!("failed: {}{required}", case.id));
            }
        }
    }
    if whole && (cases.len() != ALL || passed < FEWEST) {
        good = false;
        lines.push(format!("{ALL} have to run and {FEWEST} to pass"));
    }
    Verdict { good, lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: usize, required: bool, ending: Ending) -> Case {
        let id = id.to_string();
        Case {
            id,
            required,
            ending,
        }
    }

    fn suite_with(required: bool, endings: &[Ending]) -> Vec<Case> {
        let others = (endings.len()..ALL).map(|id| case(id, true, Ending::Passed));
        let named = endings.iter().enumerate();
        let named = named.map(|(id, ending)| case(id, required, *ending));
        named.chain(others).collect()
    }

    #[test]
    fn endings_are_read_from_a_report() {
        let report = concat!(
            r#"<testcase name="a" class="required, command_line_tool" file="one" time="1"></testcase>"#,
            r#"<testcase name="b" class="docker" file="two"><failure message="x">unsupported: `cat` requires "#,
            r#"the container image `debian`, and there is no container runtime</failure></testcase>"#,
            r#"<testcase name="c" class="required" file="three"><failure>unsupported: pipes</failure></testcase>"#,
            r#"<testcase name="d" class="x" file="four"><skipped/></testcase>"#,
        );
        let read = cases(report);
        let read: Vec<_> = read
            .iter()
            .map(|c| (&c.id[..], c.required, c.ending))
            .collect();
        let wanted = [
            ("one", true, Ending::Passed),
            ("two", false, Ending::NeedsContainer),
            ("three", true, Ending::Failed),
            ("four", false, Ending::Failed),
        ];
        assert_eq!(read, wanted);
    }

    #[test]
    fn a_whole_suite_passes_where_the_rest_needs_containers() {
        assert!(judge(&suite_with(true, &[Ending::NeedsContainer; 14]), true).good);
        assert!(!judge(&suite_with(false, &[Ending::NeedsContainer; 15]), true).good);
    }

    #[test]
    fn one_required_test_that_fails_is_too_many() {
        assert!(!judge(&suite_with(true, &[Ending::Failed]), true).good);
        assert!(judge(&suite_with(false, &[Ending::Failed]), true).good);
    }

    #[test]
    fn a_report_that_lacks_tests_is_no_success() {
        assert!(!judge(&suite_with(true, &[])[1..], true).good);
        assert!(judge(&suite_with(true, &[])[1..], false).good);
        assert!(!judge(&[], false).good);
    }
}
