//! From files to the typed model: imports, `$graph`, shorthands, names and defaults.
//!
//! Only what one place of the document can tell is judged here; what takes two places (links, types,
//! references) is the business of `check`.

mod fields;
mod files;
mod imports;
mod listing;
mod loader;
mod lookup;
mod parameters;
mod processes;
mod reading;
mod requirements;
mod steps;
mod typing;

pub(crate) use files::resolve_locations;
pub(crate) use parameters::expand;
pub(crate) use reading::nearest;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use self::loader::Loader;
use crate::resolve::{self, Resolver, Sealed};
use crate::syntax::Mark;
use crate::typed::Typed;
use crate::{Finding, Limits, LoadError, Process, Severity};

/// A loaded document: one process with everything it runs inside it.
#[derive(Debug, Clone)]
pub struct Document {
    process: Arc<Process>,
    sources: Arc<[String]>,
    namespaces: Arc<BTreeMap<String, String>>,
    schemas: Arc<[String]>,
}

impl Document {
    /// Loads the document at an absolute URI. A fragment (`#main`) picks one process of a `$graph`.
    ///
    /// # Errors
    /// Every fault that can be seen without running, with line and column, except what
    /// [`Document::check`] reports.
    pub fn load(uri: &str, resolver: &dyn Resolver, limits: &Limits) -> Result<Self, LoadError> {
        Loader::new(resolver, limits).document(uri)
    }

    /// Loads a file, a pipe, or with `-` standard input; `file.cwl#main` picks one process of a `$graph`. Other files
    /// are read wherever the document names them.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn open(path: &str, limits: &Limits) -> Result<Self, LoadError> {
        let typed = Typed::new(path);
        Self::load(&typed.base(), &typed, limits)
    }

    /// Loads a document that is given as text and names no other file. `name` stands in for the file in
    /// findings.
    ///
    /// # Errors
    /// As [`Document::load`].
    pub fn parse(text: &str, name: &str, limits: &Limits) -> Result<Self, LoadError> {
        Loader::new(&Sealed, limits).given(text, name)
    }

    pub(crate) fn with_process(&self, process: Process) -> Self {
        Self {
            process: Arc::new(process),
            ..self.clone()
        }
    }

    /// The process.
    pub const fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The prefixes that the document declares, with the IRIs they stand for.
    pub fn namespaces(&self) -> &BTreeMap<String, String> {
        &self.namespaces
    }

    /// URIs of the ontologies that the document names in `$schemas`.
    pub fn schemas(&self) -> &[String] {
        &self.schemas
    }

    /// The file of a mark, as a person would write it.
    pub fn file(&self, mark: Mark) -> String {
        self.sources
            .get(usize::from(mark.file))
            .map(|uri| resolve::display_uri(uri))
            .unwrap_or_default()
    }

    pub(crate) fn finding(
        &self,
        severity: Severity,
        mark: Mark,
        path: String,
        message: String,
    ) -> Finding {
        Finding {
            file: self.file(mark),
            line: mark.line,
            column: mark.column,
            path,
            message,
            severity,
        }
    }
}

/// The URI for what a person typed: a path or a URI, either with a fragment.
pub fn uri_of_argument(argument: &str) -> String {
    if resolve::has_scheme(argument) {
        return argument.to_owned();
    }
    let absolute = |path: &str| {
        let path = std::path::absolute(path).unwrap_or_else(|_| Path::new("/").join(path));
        resolve::uri_of_path(&resolve::normal(&path))
    };
    match argument.rsplit_once('#') {
        Some((path, id)) if !Path::new(argument).exists() => format!("{}#{id}", absolute(path)),
        _ => absolute(argument),
    }
}
