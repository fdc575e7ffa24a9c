//! `opencloud cwl`: checking, packing and running CWL documents on this machine, without a node.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use oc_cwl::{
    Cancellation, Document, Engine, Event, Limits, Observer, RunError, Settings, Severity, Silent,
    read_inputs, to_decimal_json,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::names::Names;
use super::output::Output;
use super::{document, exit_code};

#[derive(Debug, Subcommand)]
pub(crate) enum CwlCommand {
    /// Check a document; print every fault as file:line:column: message
    Check {
        /// The document, `-` for standard input; file.cwl#id picks one process of several
        doc: String,
    },
    /// Print a document with all that it names in its folder and below as one JSON document, a $graph
    Pack {
        /// The document; file.cwl#id picks one process of several
        doc: PathBuf,
    },
    /// Run a document; print the output object as JSON
    Run(RunArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Folder for the outputs
    #[arg(long, value_name = "DIR", default_value = ".")]
    outdir: PathBuf,
    /// Say nothing but the output object and errors
    #[arg(long, overrides_with = "quiet")]
    quiet: bool,
    /// Never use a container: a tool that requires one is unsupported (exit 33)
    #[arg(long, overrides_with = "no_container")]
    no_container: bool,
    /// The document, `-` for standard input; file.cwl#id picks one process of several
    doc: String,
    /// The input object, in YAML or JSON; `-` for standard input
    job: Option<String>,
}

pub(crate) fn run(command: CwlCommand, output: Output) -> ExitCode {
    match command {
        CwlCommand::Check { doc } => check(&doc, output),
        CwlCommand::Pack { doc } => match document::open(&doc) {
            Ok(document) => {
                anstream::println!("{}", to_decimal_json(&document.pack()));
                ExitCode::SUCCESS
            }
            Err(error) => {
                let failure = Failure::of(&error, None, &Names::default());
                failure.show(output.is_json());
                ExitCode::from(exit_code(&error))
            }
        },
        CwlCommand::Run(arguments) => match execute(&arguments) {
            Ok(outputs) => {
                anstream::println!("{}", to_decimal_json(&Value::Object(outputs)));
                ExitCode::SUCCESS
            }
            Err(error) => {
                let red = anstyle::AnsiColor::Red.on_default().bold();
                anstream::eprintln!("{red}error{red:#}: {error}");
                ExitCode::from(error.exit_code())
            }
        },
    }
}

/// A fault for programs.
#[derive(Serialize)]
struct Fault<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    message: &'a str,
    error: bool,
}

fn check(doc: &str, output: Output) -> ExitCode {
    let findings = match Document::open(doc, &Limits::default()) {
        Ok(document) => [document.check(), document::outside(Path::new(doc))].concat(),
        Err(error) => error.into_findings(),
    };
    let faults = findings.iter().map(|finding| Fault {
        file: &finding.file,
        line: finding.line,
        column: finding.column,
        message: &finding.message,
        error: finding.severity == Severity::Error,
    });
    let faults: Vec<_> = faults.collect();
    let shown = output.show(&faults, |_| {
        for finding in &findings {
            anstream::println!("{finding}");
        }
        if findings.is_empty() {
            anstream::eprintln!("no faults");
        }
    });
    if shown.is_err() || faults.iter().any(|fault| fault.error) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// No container runtime is known here, so `--no-container` only makes sure that this stays so.
fn execute(arguments: &RunArguments) -> Result<Map<String, Value>, RunError> {
    let limits = Limits::default();
    let document = Document::open(&arguments.doc, &limits)?;
    let inputs = match &arguments.job {
        Some(job) => read_inputs(job, &limits)?,
        None => Map::new(),
    };
    let cancellation = Cancellation::default();
    let on_interrupt = cancellation.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    });
    let observer: Arc<dyn Observer> = if arguments.quiet {
        Arc::new(Silent)
    } else {
        Arc::new(Narrator)
    };
    Engine::new(Settings::default())
        .with_observer(observer)
        .run(&document, inputs, &arguments.outdir, &cancellation)
}

/// Tells on standard error what runs.
struct Narrator;

impl Observer for Narrator {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::ToolStarted { command } => {
                let step = if command.step.is_empty() {
                    "tool"
                } else {
                    &command.step
                };
                anstream::eprintln!("{step}: {}", command.argv.join(" "));
            }
            Event::StepSkipped { step } => anstream::eprintln!("{step}: skipped"),
            _ => {}
        }
    }
}
