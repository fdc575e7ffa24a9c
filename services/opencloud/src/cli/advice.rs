//! What to do about a refusal that says only what is wrong: where a command finds the names it takes.

use oc_kernel::Kind;

use super::Command;
use super::grant::GrantCommand;

/// Where to look for what a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lookup {
    /// The command, for its `--help`.
    command: &'static str,
    /// The command that lists what there is.
    list: &'static str,
}

impl Lookup {
    /// None for commands that speak to no node.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        let (command, list) = match command {
            Command::Network(_) => ("network", "network list"),
            Command::Peers(_) => ("peers", "peers"),
            Command::User(_) => ("user", "user list"),
            Command::Catalog(_) => ("catalog", "catalog search"),
            Command::Dataset(_) => ("dataset", "dataset list"),
            Command::Service(_) => ("service", "service list"),
            Command::Offer(_) => ("offer", "offer list"),
            Command::Storage(_) => ("storage", "storage list"),
            Command::Grant(GrantCommand::Request { .. }) => ("grant request", "catalog search"),
            Command::Grant(_) => ("grant", "grant list"),
            Command::Favorite(_) => ("favorite", "favorite list"),
            Command::Plan(_) => ("plan", "catalog search"),
            Command::Run(_) => ("run", "catalog search"),
            Command::Runs(_) => ("runs", "runs"),
            Command::Logs(_) => ("logs", "runs"),
            Command::Cancel(_) => ("cancel", "runs"),
            Command::Retry(_) => ("retry", "runs"),
            Command::Results(_) => ("results", "runs"),
            Command::Explain(_) => ("explain", "runs"),
            Command::Usage(_) => ("usage", "usage records"),
            Command::Up(_)
            | Command::Demo(_)
            | Command::Cwl(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Doctor
            | Command::Completions { .. } => return None,
        };
        Some(Self { command, list })
    }

    /// What to do about a refusal of this kind.
    pub(crate) fn advice(self, kind: Kind) -> Option<String> {
        let Self { command, list } = self;
        match kind {
            Kind::NotFound => Some(format!("`opencloud {list}` shows what there is")),
            Kind::Malformed | Kind::Invalid => Some(format!(
                "`opencloud {command} --help` shows what it takes, `opencloud {list}` what there is"
            )),
            Kind::Unavailable | Kind::Timeout | Kind::Exhausted => {
                Some("try again in a moment; `opencloud doctor` checks this node".to_owned())
            }
            Kind::Internal => {
                Some("`opencloud doctor` checks this node; its log tells more".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::Arguments;
    use super::*;

    #[test]
    fn every_command_that_is_named_is_one() {
        let whole = Arguments::command();
        for line in [
            "network list",
            "peers",
            "user list",
            "catalog search",
            "dataset list",
            "service list",
            "offer list",
            "grant list",
            "favorite list",
            "runs",
        ] {
            let mut at = &whole;
            for word in line.split(' ') {
                at = at
                    .find_subcommand(word)
                    .unwrap_or_else(|| panic!("no `{line}`"));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_looked_for_in_the_list() {
        let arguments = Arguments::parse_from(["opencloud", "grant", "show", "x"]);
        let lookup = Lookup::of(&arguments.command).unwrap();
        let advice = lookup.advice(Kind::NotFound).unwrap();
        assert_eq!(advice, "`opencloud grant list` shows what there is");
        assert!(
            lookup
                .advice(Kind::Malformed)
                .unwrap()
                .contains("grant --help")
        );
    }
}
