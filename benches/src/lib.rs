//! `oc-bench`: measures what `docs/performance.md` shows, beside the incumbent where that can run here.
//!
//! Each benchmark is a module that gives rows; a row has a value, its bar and how it was had. It knows the public
//! API, the command line, the libraries and what services offer to whoever composes them; nothing of their inside. Figures are of release builds,
//! and absolute ones only hold for the machine that is printed with them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod authority;
mod books;
mod call;
mod catalogue;
mod engine;
mod figures;
mod http_load;
mod machine;
mod node;
mod planning;
mod stac;
mod workflows;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};

use crate::figures::{Report, Row};

#[derive(Parser)]
#[command(name = "oc-bench", about = "Measure Open Cloud against its bars")]
struct Arguments {
    /// What to measure [default: everything]
    names: Vec<Name>,
    /// The incumbent of the CWL benchmarks; without it they have no column beside them
    #[arg(long, value_name = "PROGRAM")]
    cwltool: Option<PathBuf>,
    /// Also write the report, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Macaroons and delegations
    Authority,
    /// CWL tools and workflows on the command line, beside cwltool
    Cwl,
    /// A large workflow from its text to its plan
    Workflow,
    /// Where 200 steps go on 100 sites
    Placement,
    /// A node from start to idle, and the main job
    Node,
    /// Calls from one organisation to another
    Call,
    /// Catalogue searches over 10,000 offers
    Catalogue,
    /// STAC searches over 100,000 items
    Stac,
    /// Usage records: written, signed for, read and summed
    Books,
}

/// The program `oc-bench`.
pub fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let names = match arguments.names.as_slice() {
        [] => Name::value_variants(),
        some => some,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut report = Report::of(machine::here()?);
    let mut failed = Vec::new();
    for name in names {
        eprintln!("measuring {name:?}");
        match runtime.block_on(measure(*name, arguments)) {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => failed.push(format!("{name:?}: {error:#}")),
        }
    }
    eprint!("{}", report.table());
    let json = serde_json::to_string_pretty(&report)?;
    println!("{json}");
    if let Some(file) = &arguments.out {
        std::fs::write(file, json).with_context(|| format!("write {}", file.display()))?;
    }
    // One that fails takes none of the others' figures with it.
    ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
    Ok(())
}

async fn measure(name: Name, arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    match name {
        Name::Authority => authority::measure(),
        Name::Cwl => engine::measure(arguments.cwltool.as_deref()),
        Name::Workflow => workflows::measure(arguments.cwltool.as_deref()),
        Name::Placement => planning::measure(),
        Name::Node => node::measure().await,
        Name::Call => call::measure().await,
        Name::Catalogue => catalogue::measure().await,
        Name::Stac => stac::measure().await,
        Name::Books => books::measure().await,
    }
}
