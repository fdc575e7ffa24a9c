//! Finding processes: by reference, in files and in `$graph`.

use std::collections::HashMap;
use std::sync::Arc;

use super::loader::{LoadedFile, Loader, Scope, fragment};
use super::reading::Trail;
use crate::resolve;
use crate::syntax::{Data, Mark, Node};
use crate::{Process, Version};

struct Found<'f> {
    node: &'f Node,
    key: String,
}

impl Loader<'_> {
    /// Positions of the processes of a `$graph` by id.
    pub(super) fn index(&mut self, graph: &Node) -> HashMap<String, usize> {
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
                        self.error(
                            item.mark,
                            &trail,
                            format!("`{id}` is the id of two processes"),
                        );
                    }
                }
                None => self.error(item.mark, &trail, "a process in `$graph` needs an `id`"),
            }
        }
        index
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

    pub(super) fn process_of(
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
                self.error(
                    mark,
                    trail,
                    "`cwlVersion` is missing: write cwlVersion: v1.2",
                );
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
            let message = format!(
                "`{}` has no process `{id}`",
                resolve::display_uri(&file.uri)
            );
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
