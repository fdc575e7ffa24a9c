//! Parts of pages that a task writes: what stands between two marks, and nothing else.

use std::fs;

use anyhow::Context;

use crate::process::root;

/// The page that tells what held under fire, from the root of the repository.
const RELIABILITY: &str = "docs/reliability.md";

/// Writes the part of docs/reliability.md that belongs to a task.
pub(crate) fn write(part: &str, text: &str) -> anyhow::Result<()> {
    let file = root().join(RELIABILITY);
    let page = fs::read_to_string(&file).with_context(|| format!("read {RELIABILITY}"))?;
    let written = replaced(&page, part, text)
        .with_context(|| format!("{RELIABILITY} has no part for {part}"))?;
    fs::write(&file, written).with_context(|| format!("write {RELIABILITY}"))
}

/// The page with another part between the marks; none where they are not.
fn replaced(page: &str, part: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- {part}: written by `cargo xtask nightly {part}` -->");
    let end = format!("<!-- end of {part} -->");
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_written() {
        let page = |text: &str| {
            format!(
                "before\n<!-- fuzz: written by `cargo xtask nightly fuzz` -->\n{text}<!-- end of fuzz -->\nafter\n"
            )
        };
        assert_eq!(
            replaced(&page("old\n"), "fuzz", "new\n"),
            Some(page("new\n"))
        );
        assert_eq!(replaced(&page("old\n"), "chaos", "new\n"), None);
        assert_eq!(replaced("no marks", "fuzz", "new"), None);
    }
}
