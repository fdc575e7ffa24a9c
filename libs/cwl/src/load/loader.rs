//! Fetching files, drawing in what they import, and finding processes in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oc_kernel::Kind;

use super::Document;
use super::reading::Trail;
use super::typing::TypeScope;
use crate::resolve::{self, ResolveError, Resolver};
use crate::syntax::{self, Mark, Node, SyntaxError};
use crate::{Finding, Limits, LoadError, Process, Severity, Version};

/// More faults than these help nobody.
const MOST_FINDINGS: usize = 200;

pub(super) struct Loader<'r> {
    resolver: &'r dyn Resolver,
    pub(super) limits: &'r Limits,
    sources: Vec<String>,
    pub(super) files: HashMap<String, Arc<LoadedFile>>,
    pub(super) processes: HashMap<(String, String), Arc<Process>>,
    /// The processes that are being loaded, outermost first: one that is met again runs itself.
    pub(super) active: Vec<(String, String)>,
    pub(super) importing: Vec<String>,
    schemas: Vec<String>,
    total_bytes: usize,
    pub(super) steps: usize,
    findings: Vec<Finding>,
    malformed: bool,
}

/// A file after its imports were drawn in.
pub(super) struct LoadedFile {
    pub(super) uri: String,
    pub(super) root: Node,
    pub(super) version: Option<Version>,
    pub(super) namespaces: Arc<BTreeMap<String, String>>,
    /// Position in `$graph` by short id.
    pub(super) graph: Option<HashMap<String, usize>>,
}

/// What surrounds a place in a document.
#[derive(Clone)]
pub(super) struct Scope {
    pub(super) file: Arc<LoadedFile>,
    pub(super) version: Version,
    pub(super) types: Arc<TypeScope>,
}

impl<'r> Loader<'r> {
    pub(super) fn new(resolver: &'r dyn Resolver, limits: &'r Limits) -> Self {
        Self {
            resolver,
            limits,
            sources: Vec::new(),
            files: HashMap::new(),
            processes: HashMap::new(),
            active: Vec::new(),
            importing: Vec::new(),
            schemas: Vec::new(),
            total_bytes: 0,
            steps: 0,
            findings: Vec::new(),
            malformed: false,
        }
    }

    pub(super) fn document(mut self, uri: &str) -> Result<Document, LoadError> {
        let (file_uri, id) = match uri.split_once('#') {
            Some((file, id)) => (file.to_owned(), Some(id.to_owned())),
            None => (uri.to_owned(), None),
        };
        let place = Mark {
            file: 0,
            line: 1,
            column: 1,
        };
        self.sources.push(file_uri.clone());
        let text = self.fetch(&file_uri, place, &Trail::ROOT);
        self.finish(text, &file_uri, id.as_deref())
    }

    pub(super) fn given(mut self, text: &str, name: &str) -> Result<Document, LoadError> {
        self.sources.push(name.to_owned());
        self.finish(Some(text.to_owned()), name, None)
    }

    fn finish(
        mut self,
        text: Option<String>,
        uri: &str,
        id: Option<&str>,
    ) -> Result<Document, LoadError> {
        let file = text.and_then(|text| self.read(text, uri, 0));
        let process = file.as_ref().and_then(|file| {
            let place = file.root.mark;
            let id = id.unwrap_or_default();
            self.process_of(file, id, place, None, &Trail::ROOT)
        });
        if let (Some(file), Some(process)) = (&file, &process)
            && unfolded(process, &mut HashMap::new()) > self.limits.steps
        {
            let limit = self.limits.steps;
            let message = format!(
                "running this takes more than {limit} steps, with each subworkflow counted as often as it is run"
            );
            self.error(file.root.mark, &Trail::ROOT, message);
        }
        let faulty = self
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error);
        let (Some(file), Some(process), false) = (file, process, faulty) else {
            let mut findings = self.findings;
            findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
            return Err(LoadError::new(
                if self.malformed {
                    Kind::Malformed
                } else {
                    Kind::Invalid
                },
                findings,
            ));
        };
        Ok(Document {
            process,
            sources: self.sources.into(),
            namespaces: Arc::clone(&file.namespaces),
            schemas: self.schemas.into(),
        })
    }

    pub(super) fn error(&mut self, mark: Mark, trail: &Trail<'_>, message: impl Into<String>) {
        if self.findings.len() >= MOST_FINDINGS {
            return;
        }
        let file = self.sources.get(usize::from(mark.file));
        self.findings.push(Finding {
            file: file
                .map(|uri| resolve::display_uri(uri))
                .unwrap_or_default(),
            line: mark.line,
            column: mark.column,
            path: trail.to_string(),
            message: message.into(),
            severity: Severity::Error,
        });
    }

    /// The URI that references at this place are relative to.
    pub(super) fn base(&self, mark: Mark) -> &str {
        self.sources
            .get(usize::from(mark.file))
            .map_or("", String::as_str)
    }

    pub(super) fn fetch(&mut self, uri: &str, place: Mark, trail: &Trail<'_>) -> Option<String> {
        let text = match self.resolver.fetch(uri, self.limits.bytes) {
            Ok(text) => text,
            Err(error) => {
                self.malformed |= matches!(error, ResolveError::TooLarge { .. });
                self.error(place, trail, error.to_string());
                return None;
            }
        };
        self.total_bytes += text.len();
        if self.total_bytes > self.limits.total_bytes {
            let limit = self.limits.total_bytes;
            self.malformed = true;
            let message = format!("the document's files have more than {limit} bytes together");
            self.error(place, trail, message);
            return None;
        }
        Some(text)
    }

    pub(super) fn parse(&mut self, text: &str, number: u16, trail: &Trail<'_>) -> Option<Node> {
        match syntax::parse(text, number, self.limits) {
            Ok(node) => Some(node),
            Err(SyntaxError {
                line,
                column,
                message,
            }) => {
                self.malformed = true;
                let mark = Mark {
                    file: number,
                    line,
                    column,
                };
                self.error(mark, trail, message);
                None
            }
        }
    }

    /// Gives a file its number, which marks carry.
    pub(super) fn number(&mut self, uri: &str, place: Mark, trail: &Trail<'_>) -> Option<u16> {
        if self.sources.len() >= self.limits.files {
            let limit = self.limits.files;
            self.error(
                place,
                trail,
                format!("the document draws in more than {limit} files"),
            );
            return None;
        }
        let number = u16::try_from(self.sources.len()).ok()?;
        self.sources.push(uri.to_owned());
        Some(number)
    }

    pub(super) fn read(&mut self, text: String, uri: &str, number: u16) -> Option<Arc<LoadedFile>> {
        let node = self.parse(&text, number, &Trail::ROOT)?;
        drop(text);
        let root = self.draw_in(node, &Trail::ROOT)?;
        let version = self.version_of(&root);
        let namespaces = root
            .get("$namespaces")
            .and_then(Node::as_map)
            .map(|map| {
                map.iter()
                    .filter_map(|(prefix, entry)| {
                        Some((prefix.clone(), entry.node.as_text()?.to_owned()))
                    })
                    .collect()
            })
            .unwrap_or_default();
        for schema in root.get("$schemas").map(Node::each).unwrap_or_default() {
            if let Some(reference) = schema.as_text() {
                let schema = resolve::join(self.base(schema.mark), reference);
                if !self.schemas.contains(&schema) {
                    self.schemas.push(schema);
                }
            }
        }
        let graph = root.get("$graph").map(|graph| self.index(graph));
        let file = Arc::new(LoadedFile {
            uri: uri.to_owned(),
            root,
            version,
            namespaces: Arc::new(namespaces),
            graph,
        });
        self.files.insert(uri.to_owned(), Arc::clone(&file));
        Some(file)
    }

    fn version_of(&mut self, root: &Node) -> Option<Version> {
        let node = root.get("cwlVersion")?;
        let trail = Trail::ROOT.at("cwlVersion");
        let version = node.as_text().and_then(Version::parse);
        if version.is_none() {
            let written = match node.as_text() {
                Some(text) => format!("`{text}`"),
                None => node.describe().to_owned(),
            };
            self.error(
                node.mark,
                &trail,
                format!("{written} is not a version: write v1.0, v1.1 or v1.2"),
            );
        }
        version
    }
}

/// What follows the `#` of an id, or all of it.
pub(super) fn fragment(id: &str) -> &str {
    id.split_once('#').map_or(id, |(_, fragment)| fragment)
}

/// The last part of an id: `file.cwl#main/step/in` names `in`.
pub(super) fn short(id: &str) -> &str {
    let fragment = fragment(id);
    fragment.rsplit_once('/').map_or(fragment, |(_, last)| last)
}

/// Steps that a run of the process has. A document of a few lines can name the same subworkflow again and again, so
/// that each level multiplies: whoever walks the steps one by one must know before.
fn unfolded(process: &Process, known: &mut HashMap<*const Process, usize>) -> usize {
    let steps = process.workflow().map(|workflow| &workflow.steps);
    steps.into_iter().flatten().fold(0_usize, |sum, step| {
        let of = Arc::as_ptr(&step.run);
        let inner = match known.get(&of) {
            Some(inner) => *inner,
            None => {
                let inner = unfolded(&step.run, known);
                known.insert(of, inner);
                inner
            }
        };
        sum.saturating_add(inner).saturating_add(1)
    })
}
