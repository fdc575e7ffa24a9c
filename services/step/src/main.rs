//! `oc-step run` runs one attempt for the node that started it; `oc-step eval` is what it starts in a
//! sandbox for JavaScript.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use oc_runner::Job;
use oc_step::{Attempt, Reporter, Stop, evaluate_all};

/// How long an attempt may take to end after it was told to.
const GRACE: Duration = Duration::from_secs(20);

/// Longest macaroon in bytes.
const MACAROON: u64 = 64 * 1024;

#[derive(Parser)]
#[command(about = "Run one attempt at a fragment for a node", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the attempt that a job file describes. The first line of standard input is its macaroon; the
    /// end of standard input stops it. Events come on standard output, a JSON document a line.
    Run {
        /// The job file.
        job: PathBuf,
    },
    /// Evaluate scripts, a JSON document a line, from standard input to standard output.
    Eval,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let done = match arguments.task {
        Task::Run { job } => run(&job),
        Task::Eval => evaluate_all(std::io::stdin().lock(), std::io::stdout()).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: &Path) -> anyhow::Result<()> {
    // A thread that is gone is waited for by the others until the attempt's time is up.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}");
        std::process::abort();
    }));
    // Nothing may outlive the node. The end of standard input says the same, but only to whoever reads.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("tie this process to its parent")?;
    let mut input = BufReader::new(std::io::stdin());
    let mut macaroon = String::new();
    input
        .by_ref()
        .take(MACAROON)
        .read_line(&mut macaroon)
        .context("read the macaroon")?;
    // Only now: the node sends the macaroon once this process stands under its limit of memory.
    let text = std::fs::read(job).with_context(|| format!("read the job `{}`", job.display()))?;
    let job: Job = serde_json::from_slice(&text).context("read the job")?;
    drop(text);
    let stop = Stop::new().context("open a pipe")?;
    stop_at_end(input, stop.clone())?;
    let (reporter, writer) =
        Reporter::start(std::io::stdout(), job.limits.log_bytes).context("start a thread")?;
    let program = std::env::current_exe().context("find this program")?;
    Attempt {
        job,
        macaroon: macaroon.trim().to_owned(),
        program,
        reporter,
        stop,
    }
    .run();
    writer.finish().context("tell the node what happened")
}

/// Stops the attempt when standard input ends; leaves altogether when it does not stop in time.
fn stop_at_end(mut input: impl Read + Send + 'static, stop: Stop) -> anyhow::Result<()> {
    let wait = move || {
        let _rest = std::io::copy(&mut input, &mut std::io::sink());
        stop.stop();
        std::thread::sleep(GRACE);
        tracing::error!("the attempt did not stop in time");
        std::process::exit(1);
    };
    std::thread::Builder::new()
        .name("lifeline".into())
        .spawn(wait)
        .context("start a thread")?;
    Ok(())
}
