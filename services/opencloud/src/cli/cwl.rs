//! `opencloud cwl`: checking and running CWL documents on this machine, without a node.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use oc_cwl::{
    Cancellation, Document, Engine, Event, Limits, Observer, RunError, Settings, Severity, Silent,
    read_inputs, to_decimal_json,
};
use serde_json::{Map, Value};

#[derive(Debug, Subcommand)]
pub(crate) enum CwlCommand {
    /// Check a document; print every fault as file:line:column: message
    Check {
        /// The document; file.cwl#id picks one process of several
        doc: String,
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
    /// The document; file.cwl#id picks one process of several
    doc: String,
    /// The input object, in YAML or JSON
    job: Option<String>,
}

pub(crate) fn run(command: CwlCommand) -> ExitCode {
    match command {
        CwlCommand::Check { doc } => check(&doc),
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

fn check(doc: &str) -> ExitCode {
    let findings = match Document::open(doc, &Limits::default()) {
        Ok(document) => document.check(),
        Err(error) => error.into_findings(),
    };
    for finding in &findings {
        anstream::println!("{finding}");
    }
    let is_error = |severity| severity == Severity::Error;
    if findings.iter().any(|finding| is_error(finding.severity)) {
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
