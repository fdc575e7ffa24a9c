//! Runs a document with plain processes, as the conformance suite wants it:
//! `cwl_run [--outdir DIR] [--quiet] [--no-container] DOC [JOB]`. The output object goes to standard
//! output; the exit code is 33 where a feature is not supported.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command line program"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use oc_cwl::{
    Cancellation, Document, Engine, Limits, RunError, Settings, read_inputs, to_decimal_json,
};
use serde_json::{Map, Value};

fn main() -> ExitCode {
    let mut folder = PathBuf::from(".");
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), argument.strip_prefix("--outdir=")) {
            (_, Some(path)) => folder = path.into(),
            ("--outdir", _) => folder = arguments.next().unwrap_or_default().into(),
            ("--quiet" | "--no-container", _) => {}
            _ => files.push(argument),
        }
    }
    let Some(document) = files.first() else {
        eprintln!("usage: cwl_run [--outdir DIR] [--quiet] [--no-container] DOC [JOB]");
        return ExitCode::from(2);
    };
    match run(document, files.get(1), &folder) {
        Ok(outputs) => {
            println!("{}", to_decimal_json(&Value::Object(outputs)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(
    document: &str,
    job: Option<&String>,
    folder: &std::path::Path,
) -> Result<Map<String, Value>, RunError> {
    let limits = Limits::default();
    let document = Document::open(document, &limits)?;
    let inputs = match job {
        Some(job) => read_inputs(job, &limits)?,
        None => Map::new(),
    };
    Engine::new(Settings::default()).run(&document, inputs, folder, &Cancellation::default())
}
