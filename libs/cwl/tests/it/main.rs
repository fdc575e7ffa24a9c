//! Loading, checking, cutting and running documents, seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its bench has failed"
)]

mod checking;
mod fragments;
mod fuzzing;
mod loading;
mod packing;
mod partition;
mod running;
mod safety;
mod streams;
mod workflows;

use std::path::{Path, PathBuf};

use oc_cwl::{
    Cancellation, Document, Engine, Finding, Limits, RunError, Settings, Severity, parse_inputs,
    uri_of_path,
};
use serde_json::{Map, Value};

/// A document that names no other file.
fn document(text: &str) -> Document {
    match Document::parse(text, "doc.cwl", &Limits::default()) {
        Ok(document) => document,
        Err(error) => panic!("{error}"),
    }
}

/// Every fault of a document as `line:column: message`.
fn faults(text: &str) -> Vec<String> {
    let findings = match Document::parse(text, "doc.cwl", &Limits::default()) {
        Ok(document) => document.check(),
        Err(error) => error.into_findings(),
    };
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    findings
        .into_iter()
        .filter(is_error)
        .map(|finding| format!("{}:{}: {}", finding.line, finding.column, finding.message))
        .collect()
}

/// A folder with what a run needs and makes.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data", "out", "scratch"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an input file and returns its path.
    fn data(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("data").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn settings(&self) -> Settings {
        Settings {
            cores: 2,
            scratch: self.path("scratch"),
            readable: None,
            copied_bytes: None,
            keep_names: false,
        }
    }

    fn inputs(&self, job: &str) -> Map<String, Value> {
        let base = uri_of_path(&self.path("data").join("job.yml"));
        parse_inputs(job, &base, &Limits::default()).unwrap()
    }

    fn run(&self, text: &str, job: &str) -> Result<Map<String, Value>, RunError> {
        self.run_with(&Engine::new(self.settings()), text, job)
    }

    fn run_with(
        &self,
        engine: &Engine,
        text: &str,
        job: &str,
    ) -> Result<Map<String, Value>, RunError> {
        engine.run(
            &document(text),
            self.inputs(job),
            &self.path("out"),
            &Cancellation::default(),
        )
    }

    /// The outputs of a run that must succeed.
    fn outputs(&self, text: &str, job: &str) -> Map<String, Value> {
        match self.run(text, job) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The text of a `File` object.
fn text_of(file: &Value) -> String {
    let path = file["path"].as_str().unwrap();
    std::fs::read_to_string(Path::new(path)).unwrap()
}
