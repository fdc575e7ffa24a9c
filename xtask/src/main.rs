//! The tasks around the code: set up a machine, run the gate, check the workspace, play the demo.
//!
//! Knows the repository's layout and the tools it needs; none of the product's rules.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod chaos;
mod conformance;
mod fuzz;
mod gate;
mod page;
mod process;
mod setup;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks around Open Cloud's code")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up what is missing, build, and play the main job with two organisations
    Demo {
        /// Options of `opencloud demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Set up what is missing, build, and start one node
    Up {
        /// Options of `opencloud up`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Build everything
    Build,
    /// Everything that has to pass
    Test,
    /// Run the CWL conformance suite, where it lies beside the repository
    Conformance {
        /// Options of the suite
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Measure release builds against their bars, beside the incumbents that can run here
    Bench {
        /// What to measure, and options of the benchmarks
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Play the story under random faults and check every invariant by its name
    Chaos {
        /// `--runs N --seed S [--together N] [--keep] [--json FILE] [--plan]`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// What takes too long for the gate; writes its figures into docs/reliability.md
    Nightly {
        #[command(subcommand)]
        part: Nightly,
    },
    /// Check manifests, who depends on whom, names and sizes of files
    CheckWorkspace,
}

#[derive(Subcommand)]
enum Nightly {
    /// The story under random faults, at least 300 times
    Chaos {
        /// Options of `cargo xtask chaos`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Bytes of strangers at every reader of them, with libFuzzer
    Fuzz(fuzz::Night),
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            let by_hand = error.downcast_ref::<setup::ByHand>().is_some();
            ExitCode::from(if by_hand { 2 } else { 1 })
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Demo { options } => {
            setup::for_running()?;
            process::build_programs()?;
            process::opencloud("demo", &options)
        }
        Task::Up { options } => {
            setup::for_running()?;
            process::build_programs()?;
            process::opencloud("up", &options)
        }
        Task::Build => {
            process::build_programs()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Test => {
            setup::for_running()?;
            let tools = setup::for_testing()?;
            gate::run(&tools)
        }
        Task::Conformance { options } => {
            process::build_programs()?;
            conformance::run(&options)
        }
        Task::Bench { options } => bench::run(&options),
        Task::Chaos { options } => chaos::run(&options),
        Task::Nightly {
            part: Nightly::Chaos { options },
        } => chaos::nightly(&options),
        Task::Nightly {
            part: Nightly::Fuzz(night),
        } => fuzz::nightly(&night),
        Task::CheckWorkspace => {
            workspace::check()?;
            println!("the workspace is in order");
            Ok(ExitCode::SUCCESS)
        }
    }
}
