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
use oc_e2e::chaos::{Outcome, Plan, play};
use tokio::task::JoinSet;

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

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.runs);
    if arguments.plan {
        for seed in seeds {
            print!("{}", Plan::of(seed));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begin = Instant::now();
    let mut outcomes = Vec::new();
    let mut playing = JoinSet::new();
    for seed in seeds {
        if playing.len() >= arguments.together.max(1) {
            outcomes.extend(next(&mut playing).await?);
        }
        playing.spawn_blocking(move || play(seed, arguments.keep));
    }
    while let Some(outcome) = next(&mut playing).await? {
        outcomes.push(outcome);
    }
    outcomes.sort_by_key(|outcome| outcome.seed);
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

async fn next(playing: &mut JoinSet<Outcome>) -> anyhow::Result<Option<Outcome>> {
    let Some(done) = playing.join_next().await else {
        return Ok(None);
    };
    let outcome = done?;
    match outcome.held() {
        true => println!(
            "seed {} held in {:.1} s: {}",
            outcome.seed,
            outcome.took_ms as f64 / 1000.0,
            outcome.works.join(", ")
        ),
        false => println!("{outcome}"),
    }
    Ok(Some(outcome))
}
