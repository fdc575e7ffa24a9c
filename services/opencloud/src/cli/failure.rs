//! What a command says when it fails: a sentence and what to do for people, a problem (RFC 9457) for programs.

use oc_client::{ClientError, Place};
use oc_cwl::Finding;
use oc_kernel::{Classify as _, Code, Kind};
use serde::Serialize;

use super::CommandError;
use super::advice::Lookup;
use super::names::Names;
use super::output::safe;
use super::typed::with_options;

/// The members of a problem; `status` is there where a node answered.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(rename = "type")]
    type_uri: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
    /// What the workflow takes, where that is what was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
}

impl Failure {
    pub(crate) fn of(error: &CommandError, lookup: Option<Lookup>, names: &Names) -> Self {
        let (kind, advice, problem) = match error {
            // There is nothing to look up before the address is one.
            CommandError::Client(error @ ClientError::Address(_)) => (error.kind(), None, None),
            CommandError::Client(error) => {
                let advice = error.advice().or_else(|| lookup?.advice(error.kind()));
                (error.kind(), advice, error.problem())
            }
            CommandError::Inputs { error, advice, .. } => {
                (error.kind(), Some(advice.clone()), error.problem())
            }
            CommandError::Upload { error, .. } => {
                let advice = error.advice().unwrap_or_else(|| {
                    "`opencloud offer list` shows the room that there is; --storage names another".to_owned()
                });
                (error.kind(), Some(advice), error.problem())
            }
            CommandError::Document(_) | CommandError::Input(_) => (Kind::Invalid, None, None),
            CommandError::Missing(_) => (Kind::NotFound, None, None),
            CommandError::Declined | CommandError::Unanswered(_) | CommandError::Left(_) => {
                (Kind::Precondition, None, None)
            }
            CommandError::Unavailable(_) => (Kind::Unavailable, None, None),
            CommandError::Failed(_) | CommandError::Other(_) => (Kind::Internal, None, None),
        };
        // A run that failed is no fault of a program.
        let kind_word = match error {
            CommandError::Failed(_) => "failed",
            _ => kind.as_str(),
        };
        let local = || format!("https://open-cloud.dev/problems/{kind_word}");
        Self {
            type_uri: problem.map_or_else(local, |problem| problem.type_uri.clone()),
            title: kind_word.replace('-', " "),
            status: problem.map(|problem| problem.status),
            code: problem.and_then(|problem| problem.code),
            detail: with_options(&names.in_text(&error.to_string())),
            instance: problem.and_then(|problem| problem.instance.clone()),
            advice: advice.map(|advice| with_options(&names.in_text(&advice))),
            errors: match error {
                CommandError::Document(findings) => findings.iter().map(place).collect(),
                _ => problem.map_or_else(Vec::new, |problem| problem.errors.clone()),
            },
            inputs: match error {
                CommandError::Inputs { takes, .. } => takes.clone(),
                _ => Vec::new(),
            },
        }
    }

    /// Tells it on standard error.
    pub(crate) fn show(&self, json: bool) {
        if json && let Ok(text) = serde_json::to_string_pretty(self) {
            anstream::eprintln!("{text}");
            return;
        }
        let red = anstyle::AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{red}error{red:#}: {}", safe(&self.detail));
        for place in &self.errors {
            let position = match (place.line, place.column) {
                (Some(line), Some(column)) => format!("{line}:{column}: "),
                _ => String::new(),
            };
            anstream::eprintln!("  {position}{}", safe(&place.message));
        }
        if !self.inputs.is_empty() {
            anstream::eprintln!("its inputs:");
        }
        for input in &self.inputs {
            anstream::eprintln!("  {}", safe(input));
        }
        if let Some(advice) = &self.advice {
            let bold = anstyle::Style::new().bold();
            anstream::eprintln!("{bold}what to do{bold:#}: {}", safe(advice));
        }
    }
}

/// A fault of a document of this machine, which may lie in several files.
fn place(finding: &Finding) -> Place {
    Place {
        message: finding.to_string(),
        line: None,
        column: None,
        pointer: None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn a_program_is_told_a_problem() {
        let failure = Failure::of(
            &CommandError::input("no such file"),
            None,
            &Names::default(),
        );
        let json = serde_json::to_value(&failure).unwrap();
        assert_eq!(json["type"], "https://open-cloud.dev/problems/invalid");
        assert_eq!(json["detail"], "no such file");
        assert!(json.get("status").is_none(), "{json}");
        let failed = CommandError::Failed("the run did not succeed".to_owned());
        let failed = Failure::of(&failed, None, &Names::default());
        assert!(failed.type_uri.ends_with("/failed"), "{}", failed.type_uri);
    }

    #[test]
    fn nothing_is_advised_where_the_address_is_none() {
        let arguments = Arguments::parse_from(["opencloud", "runs"]);
        let lookup = Lookup::of(&arguments.command);
        let error = ClientError::Address("X".to_owned()).into();
        let failure = Failure::of(&error, lookup, &Names::default());
        assert_eq!(failure.advice, None);
        assert!(failure.detail.contains("http://"), "{}", failure.detail);
    }
}
