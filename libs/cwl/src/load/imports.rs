//! Drawing in what a document imports.

use super::loader::Loader;
use super::reading::Trail;
use crate::resolve;
use crate::syntax::{Data, Entry, Map, Mark, Node};

impl Loader<'_> {
    /// Replaces `$import`, `$include` and `$mixin` by what they name (Schema Salad, section 3).
    pub(super) fn draw_in(&mut self, node: Node, trail: &Trail<'_>) -> Option<Node> {
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
                self.error(
                    entry.key,
                    trail,
                    "`$import` must be the only field of its map",
                );
                return None;
            }
            return self.import(&reference, trail);
        }
        if let Some(entry) = map.get("$include") {
            let reference = entry.node.clone();
            if map.len() > 1 {
                self.error(
                    entry.key,
                    trail,
                    "`$include` must be the only field of its map",
                );
                return None;
            }
            let uri = self.target(&reference, trail)?;
            let text = self.fetch(&uri, reference.mark, trail)?;
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
}
