//! CWL documents of this machine as a node takes them: in one piece.
//!
//! A document may run, import and include other files. They are packed into it, if they lie in its folder or below: a
//! document from somebody else must not carry away what lies elsewhere.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use oc_cwl::{
    Document, Finding, Limits, LoadError, LocalFiles, ResolveError, Resolver, Severity,
    to_decimal_json, uri_of_path,
};

use super::CommandError;
use super::default_files::left_behind;
use super::file::{self, unreadable};
use super::output::{Output, hint};

/// The file and the process in it that a person names as `FILE` or `FILE#ID`.
fn parts(named: &Path) -> (PathBuf, Option<&str>) {
    let text = named.to_str().unwrap_or_default();
    match text.rsplit_once('#') {
        Some((file, id)) if !named.exists() => (PathBuf::from(file), Some(id)),
        _ => (named.to_owned(), None),
    }
}

/// True when a person names a file that is there.
pub(crate) fn is_there(named: &Path) -> bool {
    parts(named).0.is_file()
}

/// The text that a node takes for a document: as it is where it names no other file, else packed.
///
/// # Errors
/// When it cannot be read; with all faults when it cannot be packed.
pub(crate) fn read(named: &Path, output: Output) -> Result<String, CommandError> {
    let (text, document) = load_for_node(named)?;
    if let Some(note) = document.as_ref().and_then(left_behind)
        && !output.is_json()
    {
        hint(&note);
    }
    Ok(text)
}

/// As [`read`] for a run: the text, and the document where it could be read here.
///
/// # Errors
/// As [`read`].
pub(crate) fn load_for_node(named: &Path) -> Result<(String, Option<Document>), CommandError> {
    let (path, id) = parts(named);
    let text = file::text(&path)?;
    let (loaded, files) = load(&path, id)?;
    // A document of one file is judged by the node, which tells lines of the same text; not one that names that file.
    if files <= 1 && id.is_none() && is_same_alone(&text, &loaded) {
        return Ok((text, loaded.ok()));
    }
    let document = checked(loaded)?;
    Ok((to_decimal_json(&document.pack()), Some(document)))
}

/// True when the text without its file is as good, or has the same faults.
fn is_same_alone(text: &str, loaded: &Result<Document, LoadError>) -> bool {
    let messages = |error: &LoadError| {
        let findings = error.findings().iter();
        findings.map(|it| it.message.clone()).collect::<Vec<_>>()
    };
    match (
        Document::parse(text, "document", &Limits::default()),
        loaded,
    ) {
        (Ok(_), _) => true,
        (Err(alone), Err(here)) => messages(&alone) == messages(here),
        (Err(_), Ok(_)) => false,
    }
}

/// What a document names outside its folder, which may run here and goes to no node, as warnings.
pub(crate) fn outside(named: &Path) -> Vec<Finding> {
    let (path, id) = parts(named);
    if !path.is_file() {
        return Vec::new();
    }
    let faults = match load(&path, id) {
        Ok((Err(error), _)) => error.into_findings(),
        _ => Vec::new(),
    };
    let warning = |fault: Finding| Finding {
        severity: Severity::Warning,
        message: format!("{}, or no node takes it", fault.message),
        ..fault
    };
    faults.into_iter().map(warning).collect()
}

/// A document with all files that it names.
///
/// # Errors
/// As [`read`].
pub(crate) fn open(named: &Path) -> Result<Document, CommandError> {
    let (path, id) = parts(named);
    let (loaded, _) = load(&path, id)?;
    checked(loaded)
}

fn checked(loaded: Result<Document, LoadError>) -> Result<Document, CommandError> {
    let document = loaded.map_err(|error| CommandError::Document(error.into_findings()))?;
    let faults = document.check().into_iter();
    let faults: Vec<Finding> = faults
        .filter(|fault| fault.severity == Severity::Error)
        .collect();
    match faults.is_empty() {
        true => Ok(document),
        false => Err(CommandError::Document(faults)),
    }
}

/// Loads a document, and says how many files that took.
fn load(
    path: &Path,
    id: Option<&str>,
) -> Result<(Result<Document, LoadError>, usize), CommandError> {
    let failed = |error: std::io::Error| unreadable(path, &error);
    let real = path.canonicalize().map_err(failed)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let files = Counted {
        files: LocalFiles::below([folder]).map_err(failed)?,
        read: AtomicUsize::new(0),
    };
    let uri = match id {
        Some(id) => format!("{}#{id}", uri_of_path(&real)),
        None => uri_of_path(&real),
    };
    let loaded = Document::load(&uri, &files, &Limits::default());
    Ok((loaded, files.read.into_inner()))
}

/// Files, and how often one was asked for.
struct Counted {
    files: LocalFiles,
    read: AtomicUsize,
}

impl Resolver for Counted {
    fn fetch(&self, uri: &str, limit: usize) -> Result<String, ResolveError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.files.fetch(uri, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = "cwlVersion: v1.2\nclass: Operation\ninputs: []\noutputs: []\n";

    fn workflow(run: &str) -> String {
        format!(
            "cwlVersion: v1.2\nclass: Workflow\ninputs: []\noutputs: []\nsteps: {{s: {{in: [], out: [], run: {run}}}}}\n"
        )
    }

    fn refused(error: CommandError) -> String {
        match error {
            CommandError::Document(findings) => findings[0].to_string(),
            other => other.to_string(),
        }
    }

    #[test]
    fn a_document_of_one_file_is_sent_as_it_is_and_one_of_several_packed() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        std::fs::write(path("tool.cwl"), TOOL).unwrap();
        std::fs::write(path("wf.cwl"), workflow("tool.cwl")).unwrap();
        assert_eq!(read(&path("tool.cwl"), Output::new(true)).unwrap(), TOOL);
        let packed = read(&path("wf.cwl"), Output::new(true)).unwrap();
        let main = Document::parse(&packed, "packed", &Limits::default()).unwrap();
        assert_eq!(main.process().class(), "Workflow");
        std::fs::write(path("packed.cwl"), &packed).unwrap();
        assert_eq!(
            read(&path("packed.cwl"), Output::new(true)).unwrap(),
            packed
        );
        let one = read(&path("packed.cwl#s"), Output::new(true)).unwrap();
        let one = Document::parse(&one, "one", &Limits::default()).unwrap();
        assert_eq!(one.process().class(), "Operation");
    }

    #[test]
    fn a_fault_is_told_with_its_file_and_what_lies_outside_is_named() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(base.path().join("tool.cwl"), TOOL).unwrap();
        std::fs::write(inner.join("bad.cwl"), TOOL.replace("Operation", "Operator")).unwrap();
        for (run, said) in [
            ("bad.cwl", "inner/bad.cwl:2:"),
            (
                "../tool.cwl",
                "tool.cwl` is not allowed here: it lies outside the folder of the document: put it there",
            ),
            ("wf.cwl", "wf.cwl:5:35: this process runs itself"),
            ("gone.cwl", "gone.cwl"),
        ] {
            let path = inner.join("wf.cwl");
            std::fs::write(&path, workflow(run)).unwrap();
            let refused = refused(read(&path, Output::new(true)).unwrap_err());
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn what_lies_outside_is_a_warning_where_it_is_only_checked() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(base.path().join("tool.cwl"), TOOL).unwrap();
        let path = inner.join("wf.cwl");
        std::fs::write(&path, workflow("../tool.cwl")).unwrap();
        let warnings = outside(&path);
        let shown = warnings[0].to_string();
        assert!(
            shown.contains("wf.cwl:5:") && shown.ends_with("no node takes it (warning)"),
            "{shown}"
        );
        std::fs::write(inner.join("tool.cwl"), TOOL).unwrap();
        std::fs::write(&path, workflow("tool.cwl")).unwrap();
        assert_eq!(outside(&path), []);
    }
}
