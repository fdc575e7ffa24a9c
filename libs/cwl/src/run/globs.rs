//! Output globs: patterns of POSIX names, seen from the work folder.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::RunError;

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a pattern matches, in the order of the bytes of the names.
pub(super) fn matches(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, RunError> {
    let inner = relative(folder, pattern)?;
    if inner.is_empty() || inner == "." {
        return Ok(vec![folder.to_owned()]);
    }
    // A name may hold characters of patterns, above all one that comes from an input.
    let literal = folder.join(inner);
    if literal.symlink_metadata().is_ok() {
        return Ok(vec![crate::resolve::normal(&literal)]);
    }
    let mut found = vec![folder.to_owned()];
    for part in inner.split('/').filter(|part| !matches!(*part, "" | ".")) {
        let wanted = Pattern::new(part)
            .map_err(|error| RunError::Output(format!("the glob `{pattern}` is wrong: {error}")))?;
        let mut below = Vec::new();
        for folder in found {
            below.extend(entries(&folder, &wanted)?);
        }
        found = below;
    }
    found.sort();
    Ok(found)
}

/// What of a folder a pattern of one name matches; nothing where it is no folder, or cannot be read.
fn entries(folder: &Path, wanted: &Pattern) -> Result<Vec<PathBuf>, RunError> {
    let mut found = Vec::new();
    let Ok(entries) = folder.read_dir() else {
        return Ok(found);
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(RunError::Output(format!(
                "the name of `{}` is not UTF-8, and an output's has to be: give it another",
                name.display()
            )));
        };
        if wanted.matches_with(name, OPTIONS) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn relative<'p>(folder: &Path, pattern: &'p str) -> Result<&'p str, RunError> {
    let inner = match pattern.strip_prefix(folder.to_string_lossy().as_ref()) {
        Some("") => "",
        Some(below) if below.starts_with('/') => below.trim_start_matches('/'),
        _ => pattern,
    };
    let climbs = inner.split('/').any(|part| part == "..");
    if inner.starts_with('/') || climbs {
        return Err(RunError::Output(format!(
            "the glob `{pattern}` leaves the work folder"
        )));
    }
    Ok(inner.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, pattern: &str) -> Vec<String> {
        matches(folder, pattern)
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(folder).unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn patterns_match_names_in_the_folder_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        for name in ["b.tif", "a.tif", ".hidden.tif", "d/c.tif", "x[1]*.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(names(folder.path(), "*.tif"), ["a.tif", "b.tif"]);
        assert_eq!(names(folder.path(), "d/*"), ["d/c.tif"]);
        assert_eq!(names(folder.path(), "[ab].tif"), ["a.tif", "b.tif"]);
        assert_eq!(names(folder.path(), "x[1]*.txt"), ["x[1]*.txt"]);
        assert_eq!(names(folder.path(), "./a.tif"), ["a.tif"]);
        let whole = format!("{}/d", folder.path().display());
        assert_eq!(names(folder.path(), &whole), ["d"]);
    }

    #[test]
    fn a_name_that_is_no_text_is_told() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
        std::fs::write(folder.path().join(name), "").unwrap();
        let error = matches(folder.path(), "*").unwrap_err().to_string();
        assert!(error.contains("is not UTF-8"), "{error}");
    }

    #[test]
    fn a_pattern_that_leaves_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for pattern in ["/etc/passwd", "../x", "a/../../x"] {
            assert!(matches(folder.path(), pattern).is_err(), "{pattern}");
        }
    }
}
