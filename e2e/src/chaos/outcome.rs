//! What came of a play, for people and for programs.

use std::fmt;
use std::path::PathBuf;

use oc_proto::pipeline::v1::{Run, RunState};
use serde::Serialize;

use super::invariants::Held;
use super::plan::Plan;
use super::story::Started;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name in ARCHITECTURE.md; `play` where the play itself broke.
    pub invariant: &'static str,
    /// What was found.
    pub text: String,
}

/// What came of one seed.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The plan, a line each.
    pub plan: String,
    /// The kinds of its faults.
    pub faults: Vec<&'static str>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How often the ledgers of both were looked at while it was played.
    pub samples: usize,
    /// How each work ended.
    pub works: Vec<String>,
    /// What did not hold; nothing is good.
    pub findings: Vec<Finding>,
    /// Where the folders are, when they were kept.
    pub folders: Vec<PathBuf>,
}

/// What is gathered while it is played.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) samples: usize,
    works: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) folders: Vec<PathBuf>,
}

impl Found {
    /// Notes an invariant that did not hold.
    pub(super) fn note(&mut self, invariant: &'static str, held: Held) {
        if let Err(text) = held {
            self.findings.push(Finding { invariant, text });
        }
    }

    /// The same, at one of the two organisations.
    pub(super) fn note_at(&mut self, side: &str, invariant: &'static str, held: Held) {
        self.note(invariant, held.map_err(|text| format!("{side}: {text}")));
    }

    /// Notes how each work ended.
    pub(super) fn works(&mut self, started: &[Started], runs: &[Run]) {
        self.works = started.iter().map(|work| ended(work, runs)).collect();
    }
}

fn ended(work: &Started, runs: &[Run]) -> String {
    let number = work.work;
    let run_id = match &work.run {
        Ok(run_id) => run_id,
        Err(why) => return format!("{number} refused: {why}"),
    };
    let Some(run) = runs.iter().find(|run| run.run_id == *run_id) else {
        return format!("{number} goes on");
    };
    let cause = run.cause.clone().unwrap_or_default();
    match RunState::try_from(run.state) {
        Ok(RunState::Succeeded) => format!("{number} succeeded"),
        Ok(RunState::Cancelled) => format!("{number} cancelled"),
        _ => format!("{number} failed: {} ({})", cause.text, cause.code),
    }
}

impl Outcome {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            seed: plan.seed,
            plan: plan.to_string(),
            faults: plan.faults.iter().map(|fault| fault.what.kind()).collect(),
            took_ms: 0,
            samples: 0,
            works: Vec::new(),
            findings: Vec::new(),
            folders: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, found: Found) {
        self.samples = found.samples;
        self.works = found.works;
        self.findings = found.findings;
        self.folders = found.folders;
    }

    pub(super) fn broke(&mut self, text: &str) {
        self.findings.push(Finding {
            invariant: "play",
            text: text.to_owned(),
        });
    }

    /// True when every invariant held.
    pub fn held(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plan)?;
        for work in &self.works {
            writeln!(f, "  work {work}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{} does not hold: {}", finding.invariant, finding.text)?;
        }
        for folder in &self.folders {
            writeln!(f, "kept in {}", folder.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_play_is_told_with_its_seed_its_plan_and_what_was_found() {
        let mut outcome = Outcome::new(&Plan::of(7));
        assert!(outcome.held());
        let mut found = Found::default();
        found.note_at("South", "no_oversell", Err("3 of 2 cores".to_owned()));
        found.note("no_silence", Ok(()));
        found.folders = vec!["/tmp/south".into()];
        outcome.take(found);
        let told = outcome.to_string();
        assert!(!outcome.held());
        for words in [
            "seed 7\n",
            &outcome.plan,
            "no_oversell does not hold: South: 3 of 2 cores",
            "kept in /tmp/south",
        ] {
            assert!(told.contains(words), "{told}");
        }
        assert!(!told.contains("no_silence"));
    }
}
