//! Everything that has to pass, cheapest first, with the totals at the end.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::process::{check, root};
use crate::setup::Tools;
use crate::workspace;

/// Runs the gate. Every step runs, so that one failure does not hide another.
pub(crate) fn run(tools: &Tools) -> anyhow::Result<ExitCode> {
    let mut totals = Totals::default();
    totals.step("format", || check("cargo", &["fmt", "--all", "--check"]));
    totals.step("workspace", workspace::check);
    totals.step("proto lint", || {
        let status = Command::new(tools.path("buf"))
            .arg("lint")
            .current_dir(root().join("proto"))
            .status()
            .context("start buf")?;
        anyhow::ensure!(status.success(), "buf lint failed");
        Ok(())
    });
    totals.step("clippy", || {
        check(
            "cargo",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
        )
    });
    totals.step("documentation", || {
        let status = Command::new("cargo")
            .args(["doc", "--quiet", "--workspace", "--no-deps", "--locked"])
            .arg("--document-private-items")
            .env("RUSTDOCFLAGS", "-D warnings")
            .current_dir(root())
            .status()
            .context("start cargo")?;
        anyhow::ensure!(status.success(), "a comment links to what is not there");
        Ok(())
    });
    totals.step("build", crate::process::build_programs);
    totals.step("conformance", || {
        let code = crate::conformance::run(&[])?;
        anyhow::ensure!(
            code == ExitCode::SUCCESS,
            "the suite did not pass, see above"
        );
        Ok(())
    });
    totals.tests(tools)?;
    println!();
    for failed in &totals.failures {
        println!("failed: {failed}");
    }
    println!("{} passed, {} failed", totals.passed, totals.failed);
    Ok(if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
}

impl Totals {
    fn step(&mut self, name: &str, run: impl FnOnce() -> anyhow::Result<()>) {
        let begin = Instant::now();
        println!("== {name}");
        match run() {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
        println!("== {name}: {:.1} s", begin.elapsed().as_secs_f64());
    }

    /// nextest prints its summary on stderr; it is shown as it comes and its counts are kept.
    fn tests(&mut self, tools: &Tools) -> anyhow::Result<()> {
        println!("== tests");
        let mut child = Command::new(tools.path("cargo-nextest"))
            .args([
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--profile",
                "ci",
            ])
            .args(["--color", "never"])
            .current_dir(root())
            .stderr(Stdio::piped())
            .spawn()
            .context("start cargo-nextest")?;
        let mut summary = None;
        if let Some(stderr) = child.stderr.take() {
            use std::io::BufRead as _;
            for line in std::io::BufReader::new(stderr).lines() {
                let line = line.context("read the output of nextest")?;
                eprintln!("{line}");
                if line.trim_start().starts_with("Summary [") {
                    summary = Some(line);
                }
            }
        }
        let status = child.wait().context("wait for nextest")?;
        let passed = summary.as_deref().map_or(0, |line| count(line, "passed"));
        let failed = summary
            .as_deref()
            .map_or(0, |line| count(line, "failed") + count(line, "timed out"));
        self.passed += passed;
        self.failed += failed;
        if !status.success() && failed == 0 {
            self.failed += 1;
            self.failures
                .push("tests: nextest did not come to its end".to_owned());
        } else if failed > 0 {
            self.failures.push(format!("tests: {failed}, see above"));
        }
        Ok(())
    }
}

/// The number in front of `word` in nextest's summary line.
fn count(summary: &str, word: &str) -> u64 {
    let words: Vec<&str> = summary
        .split([' ', ',', ':', '(', ')'])
        .filter(|w| !w.is_empty())
        .collect();
    let wanted: Vec<&str> = word.split(' ').collect();
    words
        .windows(wanted.len() + 1)
        .find(|window| window[1..] == wanted[..])
        .and_then(|window| window[0].parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_read_from_the_summary_line() {
        let line = "     Summary [   3.212s] 48 tests run: 45 passed (2 slow), 2 failed, 1 timed out, 4 skipped";
        assert_eq!(count(line, "passed"), 45);
        assert_eq!(count(line, "failed"), 2);
        assert_eq!(count(line, "timed out"), 1);
        assert_eq!(
            count("Summary [ 1s] 3 tests run: 3 passed, 0 skipped", "failed"),
            0
        );
    }
}
