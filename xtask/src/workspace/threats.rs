//! The page of threats names tests that exist.

use std::collections::BTreeSet;

/// The page, from the root of the repository.
pub(super) const PAGE: &str = "docs/security.md";

/// Collects the names of functions that a file declares.
pub(super) fn functions(text: &str, names: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices("fn ") {
        let name = text[at + 3..]
            .split(|c: char| c != '_' && !c.is_ascii_alphanumeric())
            .next();
        names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
    }
}

/// Checks that each row of a table whose last column is `tests` names some, and that there are such.
pub(super) fn check_page(text: &str, functions: &BTreeSet<String>, findings: &mut Vec<String>) {
    let mut of_tests = false;
    for line in text.lines() {
        let Some(row) = line
            .strip_prefix("| ")
            .and_then(|row| row.strip_suffix('|'))
        else {
            of_tests = false;
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (what, tests) = (cells[0], cells[cells.len() - 1]);
        if tests == "tests" {
            of_tests = true;
            continue;
        }
        if !of_tests || what.starts_with("---") {
            continue;
        }
        let mut named = tests.split('`').skip(1).step_by(2).peekable();
        if named.peek().is_none() {
            findings.push(format!("{PAGE}: no test for `{what}`"));
        }
        for name in named.filter(|name| !functions.contains(*name)) {
            findings.push(format!("{PAGE}: there is no test `{name}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut names = BTreeSet::new();
        functions(
            "#[test]\nfn it_holds() {}\nasync fn it_holds_too() {}",
            &mut names,
        );
        let mut findings = Vec::new();
        check_page(text, &names, &mut findings);
        findings
    }

    #[test]
    fn a_threat_without_a_test_or_with_one_that_is_not_there_is_named() {
        let head = "| they try | answer | tests |\n| --- | --- | --- |\n";
        let row = "| to pass | a `wall` | `it_holds`, `it_holds_too` |\n";
        assert_eq!(found(&format!("{head}{row}")), Vec::<String>::new());
        let gone = row.replace("it_holds_too", "it_held");
        assert_eq!(
            found(&format!("{head}{gone}")),
            ["docs/security.md: there is no test `it_held`"]
        );
        let none = "| to pass | a wall |  |\n";
        assert_eq!(
            found(&format!("{head}{row}{none}")),
            ["docs/security.md: no test for `to pass`"]
        );
    }

    #[test]
    fn other_tables_name_what_they_like() {
        let table = "| who | has |\n| --- | --- |\n| a tool | `inputs` |\n";
        assert_eq!(found(table), Vec::<String>::new());
    }
}
