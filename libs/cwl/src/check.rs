//! The static check: what can be told about a document before it runs and that takes more than one
//! place of it to see. Loading has already refused what a single place tells.

mod compatible;
mod expressions;
mod links;

use std::collections::HashSet;

use crate::syntax::Mark;
use crate::{Body, Document, Finding, Process, RequirementKind, Severity};

impl Document {
    /// Every fault between the parts of the document, in the order of the document. It may run when
    /// none is a [`Severity::Error`].
    pub fn check(&self) -> Vec<Finding> {
        let mut check = Check {
            document: self,
            findings: Vec::new(),
            seen: HashSet::new(),
        };
        check.process(self.process(), false, "");
        let mut findings = check.findings;
        findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        findings.dedup();
        findings
    }
}

struct Check<'d> {
    document: &'d Document,
    findings: Vec<Finding>,
    /// Processes that were checked already, with whether JavaScript was allowed: many steps may run one.
    seen: HashSet<(*const Process, bool)>,
}

impl Check<'_> {
    fn error(&mut self, mark: Mark, path: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, mark, path, message);
    }

    fn warning(&mut self, mark: Mark, path: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, mark, path, message);
    }

    fn add(
        &mut self,
        severity: Severity,
        mark: Mark,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        let finding = self
            .document
            .finding(severity, mark, path.into(), message.into());
        self.findings.push(finding);
    }

    /// `javascript` says whether something around the process allows it.
    fn process(&mut self, process: &Process, javascript: bool, path: &str) {
        let javascript = javascript || allows_javascript(process);
        if !self.seen.insert((std::ptr::from_ref(process), javascript)) {
            return;
        }
        self.expressions(process, javascript, path);
        match &process.body {
            Body::Workflow(workflow) => {
                self.workflow(process, workflow, path);
                for step in &workflow.steps {
                    let javascript = javascript
                        || step
                            .requirements
                            .iter()
                            .chain(&step.hints)
                            .any(|requirement| is_javascript(&requirement.kind));
                    self.process(
                        &step.run,
                        javascript,
                        &format!("{path}steps.{}.run.", step.id),
                    );
                }
            }
            Body::Operation => self.warning(
                process.mark,
                path,
                "an Operation describes work but cannot run",
            ),
            Body::Tool(_) | Body::Expression(_) => {}
        }
    }
}

fn is_javascript(kind: &RequirementKind) -> bool {
    matches!(kind, RequirementKind::InlineJavascript(_))
}

fn allows_javascript(process: &Process) -> bool {
    process
        .requirement(|kind| is_javascript(kind).then_some(()))
        .is_some()
}
