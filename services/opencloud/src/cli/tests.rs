//! What people are given to type, in the README, in helps and in advice, can be typed.

use clap::{CommandFactory as _, Parser as _};

use super::Arguments;

#[test]
fn every_command_has_arguments_that_do_not_clash() {
    Arguments::command().debug_assert();
}

/// Every Rust file below the sources of our crates.
fn sources() -> Vec<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let mut folders = vec![root.join("libs"), root.join("services")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// What is wrong with a command that a text names, where `{}` stands for what is filled in.
fn fault_of(line: &str) -> Option<String> {
    let whole = Arguments::command();
    let mut at = &whole;
    let mut words = line.split_whitespace().skip(1).peekable();
    while let Some(word) = words.next_if(|word| word.chars().all(|c| c.is_ascii_lowercase())) {
        match at.find_subcommand(word) {
            Some(next) => at = next,
            None if at.has_subcommands() => return Some(format!("no command `{word}`")),
            None => break,
        }
    }
    let options = words.filter_map(|word| word.strip_prefix("--"));
    let known = |name: &str| {
        let mut named = at.get_arguments().chain(whole.get_arguments());
        name == "help" || named.any(|one| one.get_long() == Some(name))
    };
    let mut unknown = options.filter(|name| !known(name.split('=').next().unwrap_or(name)));
    unknown.next().map(|name| format!("no option `--{name}`"))
}

#[test]
fn every_command_that_is_advised_anywhere_exists() {
    let (mut checked, mut faults) = (0, Vec::new());
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        // A string goes on behind a backslash, a comment behind its slashes.
        let lines = text
            .lines()
            .map(|line| line.trim().trim_start_matches(['/', '!']));
        let text = lines.collect::<Vec<_>>().join(" ").replace("\\ ", "");
        for part in text.split("`opencloud ").skip(1) {
            let line = format!("opencloud {}", part.split('`').next().unwrap());
            if line.contains("{command}") || line.contains("{list}") {
                continue;
            }
            checked += 1;
            if let Some(fault) = fault_of(&line) {
                faults.push(format!("{}: `{line}`: {fault}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(checked > 60, "only {checked} were found");
    assert!(fault_of("opencloud offer create").is_some());
    assert!(fault_of("opencloud grant list --every").is_some());
    assert!(fault_of("opencloud runs RUN").is_none());
}

#[test]
fn a_size_below_nothing_is_refused_as_a_size() {
    let line = ["opencloud", "offer", "storage", "x", "--size", "-1GiB"];
    let error = Arguments::try_parse_from(line).unwrap_err().to_string();
    assert!(error.contains("`-1GiB` is no size"), "{error}");
}

fn each_command(command: &clap::Command, see: &mut impl FnMut(&clap::Command)) {
    see(command);
    for below in command.get_subcommands() {
        each_command(below, see);
    }
}

#[test]
fn no_help_shows_an_empty_default() {
    each_command(&Arguments::command(), &mut |command| {
        for argument in command.get_arguments() {
            let empty = argument.get_default_values().iter().any(|it| it.is_empty());
            let (command, id) = (command.get_name(), argument.get_id());
            assert!(
                !empty || argument.is_hide_default_value_set(),
                "{command} {id}"
            );
        }
    });
}

#[test]
fn every_example_of_a_help_can_be_typed() {
    let mut seen = 0;
    each_command(&Arguments::command(), &mut |command| {
        let text = command.get_after_help().map(ToString::to_string);
        for line in text.unwrap_or_default().lines() {
            let Some(typed) = line.strip_prefix("  ") else {
                continue;
            };
            let typed = typed.split(" | ").next().unwrap_or_default();
            if let Err(error) = Arguments::try_parse_from(typed.split_whitespace()) {
                panic!("{line}\n{error}");
            }
            seen += 1;
        }
    });
    assert!(seen >= 10, "{seen}");
}

/// What the README gives to type, in its prose and in its indented blocks.
fn commands_of_the_pages() -> Vec<String> {
    let pages = concat!(
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/operating.md")
    );
    let unfenced: String = pages.split("```").step_by(2).collect();
    let unbroken = unfenced.replace("\\\n", " ");
    let (typed, prose): (Vec<_>, Vec<_>) =
        unbroken.lines().partition(|line| line.starts_with("    "));
    let prose = prose.join(" ");
    let quoted = prose.split('`').skip(1).step_by(2);
    let lines = typed.into_iter().chain(quoted).filter_map(|line| {
        let line = line.split(" #").next()?.split(" | ").next()?;
        let at = line.match_indices("opencloud ").map(|(at, _)| at);
        let at = at.filter(|at| matches!(line[..*at].chars().last(), None | Some(' ')));
        Some(line[at.min()?..].to_owned())
    });
    lines.collect()
}

#[test]
fn every_command_of_the_readme_and_the_operators_page_can_be_typed() {
    let commands = commands_of_the_pages();
    assert!(commands.len() > 30, "{commands:#?}");
    for command in commands {
        // What stands in quotes is one word.
        let parts = command.split(['"', '\'']).enumerate();
        let joined: String = parts
            .map(|(at, part)| {
                if at % 2 == 1 {
                    part.replace(' ', "_")
                } else {
                    part.to_owned()
                }
            })
            .collect();
        let words = joined.split_whitespace();
        if let Err(error) = Arguments::try_parse_from(words) {
            panic!("{command}\n{error}");
        }
    }
}
