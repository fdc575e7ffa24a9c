//! Names, heads and sizes of files, and what the rules of a service must not name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::root;

/// Longest file of ours in lines, generated ones apart.
const LONGEST_FILE: usize = 500;

/// Words that say nothing, refused as names of files and folders.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helper", "helpers", "common", "manager"];

/// What a service's rules (`src/domain*`) must not name: faces and drivers.
const NOT_IN_DOMAIN: [&str; 6] = [
    "axum::",
    "tonic::",
    "rusqlite::",
    "libp2p::",
    "reqwest::",
    "object_store::",
];

/// What asks a text for its words, in services outside of tests.
const ASKS: [&str; 3] = [".contains(", ".starts_with(", ".ends_with("];

/// Every source file below a folder, generated ones apart.
pub(super) fn source_files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path
                .file_name()
                .is_some_and(|name| name != "gen" && name != "target")
            {
                source_files(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// Checks one file.
pub(super) fn check_file(path: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    check_head(path, &text, findings);
    check_text(path, &text, findings);
    Ok(())
}

fn check_head(path: &Path, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//! ") {
        let shown = path.strip_prefix(root()).unwrap_or(path).display();
        findings.push(format!("{shown} does not say what it is for"));
    }
}

fn check_text(path: &Path, text: &str, findings: &mut Vec<String>) {
    let path = path.strip_prefix(root()).unwrap_or(path);
    let shown = path.display();
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if stem == "mod" {
        findings.push(format!(
            "{shown}: no mod.rs, name the file after the module"
        ));
    }
    let parts = path
        .components()
        .filter_map(|part| part.as_os_str().to_str());
    if parts.chain([stem]).any(|part| EMPTY_NAMES.contains(&part)) {
        findings.push(format!("{shown}: the name says nothing"));
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        findings.push(format!(
            "{shown}: {lines} lines, {LONGEST_FILE} are enough for one idea"
        ));
    }
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    if let ["services", _, "src", first, ..] = parts.as_slice()
        && (*first == "domain" || *first == "domain.rs")
    {
        for named in NOT_IN_DOMAIN.iter().filter(|name| text.contains(*name)) {
            findings.push(format!("{shown}: rules must not name {named}"));
        }
    }
    for words in words_looked_for(&parts, text) {
        findings.push(format!(
            "{shown}: looks for `{words}` in a text, errors are told apart by kind and code"
        ));
    }
}

/// The words that a service's code looks for in a text. Errors are told apart by their kind and code: a partner says
/// the same in other words. What a foreign program prints is named in a constant.
fn words_looked_for<'a>(parts: &[&str], text: &'a str) -> Vec<&'a str> {
    let ["services", _, "src", below @ ..] = parts else {
        return Vec::new();
    };
    if below
        .iter()
        .any(|part| matches!(*part, "tests" | "tests.rs"))
    {
        return Vec::new();
    }
    let tested = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(crate) mod "];
    let ends = tested.iter().filter_map(|begin| text.find(begin));
    let text = &text[..ends.min().unwrap_or(text.len())];
    let asks = ASKS.iter().flat_map(|ask| text.split(ask).skip(1));
    let literals = asks.filter_map(|after| after.trim_start().strip_prefix('"')?.split('"').next());
    let sentence =
        |text: &str| text.contains(' ') && text.contains(|c: char| c.is_ascii_alphabetic());
    let word = |text: &str| text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    literals
        .filter(|text| sentence(text) || word(text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_text(&root().join(path), text, &mut findings);
        findings
    }

    #[test]
    fn rules_name_no_face_and_no_driver() {
        let uses = "use tonic::Status;";
        assert_eq!(found("services/catalog/src/domain/own.rs", uses).len(), 1);
        assert_eq!(found("services/catalog/src/domain.rs", uses).len(), 1);
        assert!(found("services/catalog/src/grpc.rs", uses).is_empty());
    }

    #[test]
    fn no_service_tells_errors_apart_by_their_words() {
        let path = "services/catalog/src/grpc.rs";
        let phrase = "if error.to_string().contains(\"is revoked\") {";
        assert_eq!(found(path, phrase).len(), 1);
        assert_eq!(found(path, "text\n.starts_with(\n\"isolate\",\n)").len(), 1);
        for begin in ["mod", "pub(crate) mod"] {
            let tested = format!("#[cfg(test)]\n{begin} tests {{\n{phrase}");
            assert!(found(path, &tested).is_empty(), "{tested}");
        }
        assert!(found("services/catalog/src/own/tests.rs", phrase).is_empty());
        assert!(found(path, "id.starts_with(\"compute.\")").is_empty());
        assert!(found(path, "path.ends_with(\"/Hello\")").is_empty());
        assert!(found(path, "href.contains(\"://\")").is_empty());
    }

    #[test]
    fn a_file_says_first_what_it_is_for() {
        let found = |text: &str| {
            let mut findings = Vec::new();
            check_head(
                &root().join("libs/cwl/tests/it/main.rs"),
                text,
                &mut findings,
            );
            findings
        };
        assert_eq!(found("//! Documents.\n"), Vec::<String>::new());
        let told = "libs/cwl/tests/it/main.rs does not say what it is for";
        assert_eq!(found("use std::fs;\n"), [told]);
        assert_eq!(found(""), [told]);
    }

    #[test]
    fn empty_names_and_endless_files_are_refused() {
        assert_eq!(found("libs/cwl/src/helpers.rs", "").len(), 1);
        assert_eq!(found("libs/cwl/src/util/walk.rs", "").len(), 1);
        assert_eq!(found("libs/cwl/src/run/mod.rs", "").len(), 1);
        let long = "//\n".repeat(LONGEST_FILE + 1);
        assert_eq!(found("libs/cwl/src/run.rs", &long).len(), 1);
        assert!(found("libs/cwl/src/run.rs", "").is_empty());
    }
}
