//! The story under random faults, for as many seeds as asked for, and what came of it for people to read.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context;
use serde::Deserialize;

use crate::page;
use crate::process::{build_programs, target};
use crate::setup;

/// Fewest seeds that a night is worth.
const NIGHT: u64 = 300;
/// What `oc-chaos` says of a seed, as far as it is told on.
#[derive(Debug, Deserialize)]
struct Outcome {
    seed: u64,
    took_ms: u64,
    samples: u64,
    faults: Vec<String>,
    works: Vec<String>,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    invariant: String,
    text: String,
}

/// Builds everything and plays; the options go to `oc-chaos`.
pub(crate) fn run(options: &[String]) -> anyhow::Result<ExitCode> {
    setup::for_running()?;
    build_programs()?;
    play(options)
}

/// Plays at least [`NIGHT`] seeds and writes what came of it into docs/reliability.md.
pub(crate) fn nightly(options: &[String]) -> anyhow::Result<ExitCode> {
    let json = target().join("chaos.json");
    let night = [
        "--runs".to_owned(),
        NIGHT.to_string(),
        "--json".to_owned(),
        json.display().to_string(),
    ];
    let _ = fs::remove_file(&json);
    let code = run(&[&night, options].concat())?;
    write(&json)?;
    Ok(code)
}

fn play(options: &[String]) -> anyhow::Result<ExitCode> {
    let program: PathBuf = target().join("debug/oc-chaos");
    let status = Command::new(&program).args(options).status();
    let status = status.with_context(|| format!("start {}", program.display()))?;
    let code = u8::try_from(status.code().unwrap_or(1)).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Puts the outcomes in place of the last ones.
fn write(json: &std::path::Path) -> anyhow::Result<()> {
    let outcomes = fs::read(json).with_context(|| format!("read {}", json.display()))?;
    let outcomes: Vec<Outcome> = serde_json::from_slice(&outcomes).context("read the outcomes")?;
    page::write("chaos", &told(&outcomes))
}

fn told(outcomes: &[Outcome]) -> String {
    let seeds = outcomes.iter().map(|outcome| outcome.seed);
    let (first, last) = (seeds.clone().min().unwrap_or(0), seeds.max().unwrap_or(0));
    let bad: Vec<&Outcome> = outcomes
        .iter()
        .filter(|it| !it.findings.is_empty())
        .collect();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for fault in outcomes.iter().flat_map(|outcome| &outcome.faults) {
        *faults.entry(fault).or_default() += 1;
    }
    let faults: Vec<String> = faults
        .iter()
        .map(|(kind, times)| format!("{kind} {times}"))
        .collect();
    let works = || outcomes.iter().flat_map(|outcome| &outcome.works);
    let ended = |word: &str| {
        works()
            .filter(|work| {
                work.split(' ')
                    .nth(1)
                    .is_some_and(|it| it.trim_end_matches(':') == word)
            })
            .count()
    };
    let mut took: Vec<u64> = outcomes.iter().map(|outcome| outcome.took_ms).collect();
    took.sort_unstable();
    let second = |at: Option<&u64>| at.map_or(0.0, |ms| *ms as f64 / 1000.0);
    let samples: u64 = outcomes.iter().map(|outcome| outcome.samples).sum();
    let mut text = format!(
        "\n| what | figure |\n| --- | --- |\n| seeds | {first} to {last} ({} runs) |\n\
         | runs in which every invariant held | {} |\n| faults | {} |\n\
         | workflows | {} succeeded, {} cancelled, {} failed with a cause, {} refused with a reason |\n\
         | looks at the ledgers meanwhile | {samples} |\n\
         | time of a run | median {:.1} s, longest {:.1} s |\n\n",
        outcomes.len(),
        outcomes.len() - bad.len(),
        faults.join(", "),
        ended("succeeded"),
        ended("cancelled"),
        ended("failed"),
        ended("refused"),
        second(took.get(took.len() / 2)),
        second(took.last()),
    );
    for outcome in bad {
        for finding in &outcome.findings {
            let line = finding.text.lines().next().unwrap_or_default();
            let line: String = line.chars().take(160).collect();
            text.push_str(&format!(
                "- seed {}: `{}`: {line}\n",
                outcome.seed, finding.invariant
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seed: u64, findings: Vec<Finding>) -> Outcome {
        Outcome {
            seed,
            took_ms: 10_000 + seed,
            samples: 7,
            faults: vec!["cut".to_owned(), "kill".to_owned()],
            works: vec!["0 succeeded".to_owned(), "1 failed: no more".to_owned()],
            findings,
        }
    }

    #[test]
    fn a_night_is_told_with_its_seeds_its_faults_and_what_did_not_hold() {
        let finding = Finding {
            invariant: "no_oversell".to_owned(),
            text: "3 of 2 cores\nand more".to_owned(),
        };
        let text = told(&[outcome(1, Vec::new()), outcome(2, vec![finding])]);
        for words in [
            "| seeds | 1 to 2 (2 runs) |",
            "| runs in which every invariant held | 1 |",
            "cut 2, kill 2",
            "2 succeeded, 0 cancelled, 2 failed with a cause, 0 refused",
            "- seed 2: `no_oversell`: 3 of 2 cores\n",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
    }
}
