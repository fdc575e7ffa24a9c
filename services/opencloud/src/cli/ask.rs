//! A question before something is lost or paid for.

use std::io::IsTerminal as _;

use super::output::safe;
use super::typed::with_options;
use super::{CommandError, Context, Outcome};

impl Context {
    /// Goes on only after a yes: from `--yes`, or from a person at a terminal.
    pub(crate) fn confirm(&self, question: &str) -> Outcome {
        confirm(self.yes, question)
    }
}

/// The same for a command that speaks to no node.
pub(super) fn confirm(yes: bool, question: &str) -> Outcome {
    if yes {
        return Ok(());
    }
    let question = asked(question, std::io::stdin().is_terminal())?;
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

/// A question as a terminal shows it; where nobody reads it, a failure, whose commands are completed as it is told.
fn asked(question: &str, somebody_is_there: bool) -> Result<String, CommandError> {
    match somebody_is_there {
        true => Ok(safe(&with_options(question))),
        false => Err(CommandError::Unanswered(question.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::failure::Failure;
    use super::super::names::Names;
    use super::super::{Arguments, typed};
    use super::*;

    #[test]
    fn a_command_in_a_question_names_the_node_once_whether_it_is_answered_or_not() {
        let typed = ["opencloud", "--data", "south", "runs"];
        typed::note(&Arguments::parse_from(typed).node);
        let question = "Withdraw it? `opencloud storage remove s --all` empties it.";
        let shown = asked(question, true).unwrap();
        let unanswered = asked(question, false).unwrap_err();
        let told = Failure::of(&unanswered, None, &Names::default());
        let told = serde_json::to_value(&told).unwrap()["detail"].to_string();
        for text in [shown, told] {
            assert!(
                text.contains("`opencloud --data south storage remove"),
                "{text}"
            );
            assert_eq!(text.matches("--data").count(), 1, "{text}");
        }
    }
}
