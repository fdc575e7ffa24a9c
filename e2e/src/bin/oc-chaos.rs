//! `oc-chaos`: plays the story under fire for many seeds, and says which invariants did not hold. `cargo xtask chaos`
//! builds what it needs and runs it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use oc_e2e::chaos::{Outcome, Plan, play_all};

#[derive(Parser)]
#[command(name = "oc-chaos", about = "Play the story under random faults")]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many are played side by side
    #[arg(long, default_value_t = 2)]
    together: usize,
    /// Leave the folders of all organisations, not only of those where something was found
    #[arg(long)]
    keep: bool,
    /// Write all outcomes as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the plans and play nothing
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.runs);
    if arguments.plan {
        for seed in seeds {
            print!("{}", Plan::of(seed));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begin = Instant::now();
    let outcomes = play_all(seeds, arguments.together, arguments.keep, tell);
    let failed: Vec<u64> = outcomes
        .iter()
        .filter(|outcome| !outcome.held())
        .map(|outcome| outcome.seed)
        .collect();
    println!(
        "{} seeds, {} with findings {failed:?}, {:.0} s",
        outcomes.len(),
        failed.len(),
        begin.elapsed().as_secs_f64()
    );
    if let Some(path) = &arguments.json {
        let text = serde_json::to_vec_pretty(&outcomes)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn tell(outcome: &Outcome) {
    match outcome.held() {
        true => println!(
            "seed {} held in {:.1} s: {}",
            outcome.seed,
            outcome.took_ms as f64 / 1000.0,
            outcome.works.join(", ")
        ),
        false => println!("{outcome}"),
    }
}
