//! Fetching files, drawing in what they import, and finding processes in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oc_kernel::Kind;

use super::Document;
use super::reading::Trail;
use super::typing::TypeScope;
use crate::resolve::{self, ResolveError, Resolver};
use crate::syntax::{self, Data, Entry, Map, Mark, Node, SyntaxError};
use crate::{Finding, Limits, LoadError, Process, Severity, Version};

/// More faults than these help nobody.
const MOST_FINDINGS: usize = 200;

pub(super) struct Loader<'r> {
    resolver: &'r dyn Resolver,
    pub(super) limits: &'r Limits,
    sources: Vec<String>,
    files: HashMap<String, Arc<LoadedFile>>,
    processes: HashMap<(String, String), Arc<Process>>,
    /// The processes that are being loaded, outermost first: one that is met again runs itself.
    active: Vec<(String, String)>,
    importing: Vec<String>,
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
    graph: Option<HashMap<String, usize>>,
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
        let faulty = self
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error);
        let (Some(file), Some(process), false) = (file, process, faulty) else {
            let mut findings = self.findings;
            findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
            return Err(LoadError::new(
                if self.malformed { Kind::Malformed } else { Kind::Invalid },
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
            file: file.map(|uri| resolve::display_uri(uri)).unwrap_or_default(),
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

    fn fetch(&mut self, uri: &str, place: Mark, trail: &Trail<'_>) -> Option<String> {
        match self.resolver.fetch(uri, self.limits.bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                self.malformed |= matches!(error, ResolveError::TooLarge { .. });
                self.error(place, trail, error.to_string());
                None
            }
        }
    }

    fn parse(&mut self, text: &str, number: u16, trail: &Trail<'_>) -> Option<Node> {
        self.total_bytes += text.len();
        let result = if self.total_bytes > self.limits.total_bytes {
            let limit = self.limits.total_bytes;
            let message = format!("the document's files have more than {limit} bytes together");
            Err(SyntaxError::new(1, 1, message))
        } else {
            syntax::parse(text, number, self.limits)
        };
        match result {
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
    fn number(&mut self, uri: &str, place: Mark, trail: &Trail<'_>) -> Option<u16> {
        if self.sources.len() >= self.limits.files {
            let limit = self.limits.files;
            self.error(place, trail, format!("the document draws in more than {limit} files"));
            return None;
        }
        let number = u16::try_from(self.sources.len()).ok()?;
        self.sources.push(uri.to_owned());
        Some(number)
    }

    fn read(&mut self, text: String, uri: &str, number: u16) -> Option<Arc<LoadedFile>> {
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

    fn index(&mut self, graph: &Node) -> HashMap<String, usize> {
        let trail = Trail::ROOT.at("$graph");
        let Data::List(items) = &graph.data else {
            self.error(graph.mark, &trail, "`$graph` must be a list of processes");
            return HashMap::new();
        };
        let mut index = HashMap::new();
        for (position, item) in items.iter().enumerate() {
            match item.get("id").and_then(Node::as_text) {
                Some(id) => {
                    if index.insert(fragment(id).to_owned(), position).is_some() {
                        self.error(item.mark, &trail, format!("`{id}` is the id of two processes"));
                    }
                }
                None => self.error(item.mark, &trail, "a process in `$graph` needs an `id`"),
            }
        }
        index
    }

    /// Replaces `$import`, `$include` and `$mixin` by what they name (Schema Salad, section 3).
    fn draw_in(&mut self, node: Node, trail: &Trail<'_>) -> Option<Node> {
        let mark = node.mark;
        let data = match node.data {
            Data::List(items) => {
                let mut drawn = Vec::with_capacity(items.len());
                for item in items {
                    let is_import = item.as_map().is_some_and(|map| map.contains_key("$import"));
                    match self.draw_in(item, trail)? {
                        // An imported list takes the place of the entry that imports it.
                        Node {
                            data: Data::List(imported),
                            ..
                        } if is_import => drawn.extend(imported),
                        other => drawn.push(other),
                    }
                }
                Data::List(drawn)
            }
            Data::Map(map) => return self.draw_in_map(map, mark, trail),
            other => other,
        };
        Some(Node::new(data, mark))
    }

    fn draw_in_map(&mut self, mut map: Map, mark: Mark, trail: &Trail<'_>) -> Option<Node> {
        if let Some(entry) = map.get("$import") {
            let reference = entry.node.clone();
            if map.len() > 1 {
                self.error(entry.key, trail, "`$import` must be the only field of its map");
                return None;
            }
            return self.import(&reference, trail);
        }
        if let Some(entry) = map.get("$include") {
            let reference = entry.node.clone();
            if map.len() > 1 {
                self.error(entry.key, trail, "`$include` must be the only field of its map");
                return None;
            }
            let uri = self.target(&reference, trail)?;
            let text = self.fetch(&uri, reference.mark, trail)?;
            self.total_bytes += text.len();
            return Some(Node::new(Data::Text(text), mark));
        }
        if let Some(entry) = map.shift_remove("$mixin") {
            let mixed = self.import(&entry.node, trail)?;
            if let Data::Map(mixed) = mixed.data {
                for (key, entry) in mixed {
                    map.entry(key).or_insert(entry);
                }
            }
        }
        let mut drawn = Map::with_capacity(map.len());
        for (key, entry) in map {
            let node = self.draw_in(entry.node, &trail.at(&key))?;
            drawn.insert(
                key,
                Entry {
                    key: entry.key,
                    node,
                },
            );
        }
        Some(Node::new(Data::Map(drawn), mark))
    }

    fn target(&mut self, reference: &Node, trail: &Trail<'_>) -> Option<String> {
        let Some(text) = reference.as_text() else {
            self.error(reference.mark, trail, "expected the name of a file");
            return None;
        };
        Some(resolve::join(self.base(reference.mark), text))
    }

    fn import(&mut self, reference: &Node, trail: &Trail<'_>) -> Option<Node> {
        let uri = self.target(reference, trail)?;
        if self.importing.contains(&uri) || self.importing.len() >= self.limits.depth {
            let message = format!("`{}` imports itself", resolve::display_uri(&uri));
            self.error(reference.mark, trail, message);
            return None;
        }
        let text = self.fetch(&uri, reference.mark, trail)?;
        let number = self.number(&uri, reference.mark, trail)?;
        let node = self.parse(&text, number, trail)?;
        self.importing.push(uri);
        let drawn = self.draw_in(node, trail);
        self.importing.pop();
        drawn
    }

    /// The process that `run: reference` names.
    pub(super) fn referenced(
        &mut self,
        reference: &str,
        place: Mark,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Arc<Process>> {
        let id = reference.split_once('#').map_or("", |(_, id)| id);
        let uri = resolve::join(self.base(place), reference);
        let file = match self.files.get(&uri) {
            Some(file) => Arc::clone(file),
            None => {
                let text = self.fetch(&uri, place, trail)?;
                let number = self.number(&uri, place, trail)?;
                self.read(text, &uri, number)?
            }
        };
        self.process_of(&file, id, place, Some(scope.version), trail)
    }

    fn process_of(
        &mut self,
        file: &Arc<LoadedFile>,
        id: &str,
        place: Mark,
        caller: Option<Version>,
        trail: &Trail<'_>,
    ) -> Option<Arc<Process>> {
        let node = self.find(file, id, place, trail)?;
        let key = (file.uri.clone(), node.key);
        if let Some(process) = self.processes.get(&key) {
            return Some(Arc::clone(process));
        }
        if self.active.contains(&key) || self.active.len() >= self.limits.depth {
            self.error(place, trail, "this process runs itself");
            return None;
        }
        let Some(version) = file.version.or(caller) else {
            if file.root.get("cwlVersion").is_none() {
                let mark = file.root.mark;
                self.error(mark, trail, "`cwlVersion` is missing: write cwlVersion: v1.2");
            }
            return None;
        };
        let scope = Scope {
            file: Arc::clone(file),
            version,
            types: Arc::default(),
        };
        self.active.push(key.clone());
        let process = self.process(node.node, &scope, trail).map(Arc::new);
        self.active.pop();
        let process = process?;
        self.processes.insert(key, Arc::clone(&process));
        Some(process)
    }

    fn find<'f>(
        &mut self,
        file: &'f LoadedFile,
        id: &str,
        place: Mark,
        trail: &Trail<'_>,
    ) -> Option<Found<'f>> {
        let Some(graph) = &file.graph else {
            let own = file.root.get("id").and_then(Node::as_text);
            if id.is_empty() || id == "main" || own.is_some_and(|own| fragment(own) == id) {
                return Some(Found {
                    node: &file.root,
                    key: String::new(),
                });
            }
            let message = format!("`{}` has no process `{id}`", resolve::display_uri(&file.uri));
            self.error(place, trail, message);
            return None;
        };
        let wanted = match id {
            "" if graph.len() == 1 => graph.keys().next().map_or("main", String::as_str),
            "" => "main",
            id => fragment(id),
        };
        let items = file.root.get("$graph").map(Node::each).unwrap_or_default();
        match graph.get(wanted).and_then(|position| items.get(*position)) {
            Some(node) => Some(Found {
                node,
                key: wanted.to_owned(),
            }),
            None => {
                let message = format!(
                    "`$graph` has no process `{wanted}`: name one with #id, it has {}",
                    graph.keys().take(5).cloned().collect::<Vec<_>>().join(", ")
                );
                self.error(place, trail, message);
                None
            }
        }
    }
}

struct Found<'f> {
    node: &'f Node,
    key: String,
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
