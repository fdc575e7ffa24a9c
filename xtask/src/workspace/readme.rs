//! A service's README tells the same things in the same order.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::rules::Package;
use crate::process::root;

/// What follows the first paragraph, which says what the service is for. Other chapters may stand between.
const CHAPTERS: [&str; 5] = [
    "## API",
    "## Settings",
    "## Events",
    "## What it stores",
    "## How it fails",
];

/// Checks the README of a package that serves an API.
pub(super) fn check_readme(package: &Package, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    let api = root().join("docs/openapi").join(format!("{name}.json"));
    if package.is_service() && api.is_file() {
        let file = folder.join("README.md");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        check_text(name, &text, findings);
    }
    Ok(())
}

fn check_text(name: &str, text: &str, findings: &mut Vec<String>) {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let title = format!("# {name}");
    if lines.next() != Some(&title) || lines.next().is_none_or(|line| line.starts_with('#')) {
        findings.push(format!(
            "the README of {name} does not begin with `{title}` and what it is for"
        ));
    }
    for chapter in CHAPTERS {
        if !lines.any(|line| line == chapter) {
            findings.push(format!(
                "the README of {name} has no `{chapter}` where the others have it"
            ));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_text("catalog", text, &mut findings);
        findings
    }

    #[test]
    fn a_readme_tells_everything_in_the_one_order() {
        let whole = format!(
            "# catalog\n\nWhat is offered.\n\n## How\n\n{}\n",
            CHAPTERS.join("\n\n")
        );
        assert_eq!(found(&whole), Vec::<String>::new());
        let without = found(&whole.replace("## Events\n", ""));
        assert_eq!(
            without,
            ["the README of catalog has no `## Events` where the others have it"]
        );
        let turned = whole.replace("## API", "## Later") + "## API\n";
        assert_eq!(found(&turned).len(), 1);
    }

    #[test]
    fn a_readme_says_first_what_the_service_is_for() {
        let chapters = CHAPTERS.join("\n");
        assert_eq!(found(&format!("# catalog\n{chapters}")).len(), 2);
        assert_eq!(found(&format!("# other\nText.\n{chapters}")).len(), 1);
    }
}
