//! A question before something is lost or paid for.

use std::io::IsTerminal as _;

use super::output::safe;
use super::typed::with_options;
use super::{CommandError, Context, Outcome};

impl Context {
    /// Goes on only after a yes: from `--yes`, or from a person at a terminal.
    pub(crate) fn confirm(&self, question: &str) -> Outcome {
        if self.yes {
            return Ok(());
        }
        let question = safe(&with_options(question));
        if !std::io::stdin().is_terminal() {
            return Err(CommandError::Unanswered(question));
        }
        let answer = dialoguer::Confirm::new()
            .with_prompt(question)
            .default(false)
            .interact();
        match answer {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommandError::Declined),
            Err(error) => Err(anyhow::Error::from(error).into()),
        }
    }
}
