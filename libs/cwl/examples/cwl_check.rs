//! Checks documents: `cwl_check FILE..` prints each fault as `file:line:column: message`.
#![expect(clippy::print_stdout, reason = "this is a command line program")]

use std::process::ExitCode;

use oc_cwl::{Document, Limits, Severity};

fn main() -> ExitCode {
    let mut faulty = false;
    for path in std::env::args().skip(1) {
        let findings = match Document::open(&path, &Limits::default()) {
            Ok(document) => document.check(),
            Err(error) => error.into_findings(),
        };
        faulty |= findings.iter().any(|one| one.severity == Severity::Error);
        for finding in findings {
            println!("{finding}");
        }
    }
    ExitCode::from(u8::from(faulty))
}
