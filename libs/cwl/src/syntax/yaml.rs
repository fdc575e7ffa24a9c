//! YAML 1.2 (core schema) with line and column of every value and key; merge keys are understood.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::Number;

use super::{Data, Entry, Map, Mark, Node, SyntaxError};
use crate::Limits;

pub(super) fn parse(text: &str, file: u16, limits: &Limits) -> Result<Node, SyntaxError> {
    let mut builder = Builder {
        file,
        limits,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) =
            next.map_err(|error| fail(*error.marker(), format!("not YAML: {}", error.info())))?;
        builder.event(event, span.start)?;
    }
    let empty = Node::new(
        Data::Null,
        Mark {
            file,
            line: 1,
            column: 1,
        },
    );
    Ok(builder.root.unwrap_or(empty))
}

fn fail(at: Marker, message: impl Into<String>) -> SyntaxError {
    let mark = to_mark(0, at);
    SyntaxError::new(mark.line, mark.column, message)
}

fn to_mark(file: u16, at: Marker) -> Mark {
    Mark {
        file,
        line: u32::try_from(at.line()).unwrap_or(u32::MAX),
        column: u32::try_from(at.col() + 1).unwrap_or(u32::MAX),
    }
}

enum Open {
    List(Vec<Node>),
    Map {
        map: Map,
        key: Option<(String, Mark)>,
    },
}

struct Level {
    open: Open,
    mark: Mark,
    anchor: usize,
    /// How many nodes had been made when this one was opened.
    before: usize,
}

struct Builder<'l> {
    file: u16,
    limits: &'l Limits,
    open: Vec<Level>,
    root: Option<Node>,
    /// Each anchored node with the number of nodes in it.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: Marker) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, at)?;
                let node = Node::new(scalar(text, style, tag.as_deref()), to_mark(self.file, at));
                self.close(node, anchor, 1, at)
            }
            Event::SequenceStart(anchor, _) => self.start(Open::List(Vec::new()), anchor, at),
            Event::MappingStart(anchor, _) => {
                let map = Map::new();
                self.start(Open::Map { map, key: None }, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(fail(at, "an alias stands inside the value it names"));
                };
                let (mut node, size) = (node.clone(), *size);
                node.mark = to_mark(self.file, at);
                self.count(size, at)?;
                self.close(node, 0, size, at)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(fail(at, "a second document begins: one file holds one"))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn count(&mut self, more: usize, at: Marker) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > self.limits.nodes {
            let limit = self.limits.nodes;
            return Err(fail(
                at,
                format!("more than {limit} values, aliases counted out"),
            ));
        }
        Ok(())
    }

    fn start(&mut self, open: Open, anchor: usize, at: Marker) -> Result<(), SyntaxError> {
        if self.open.len() >= self.limits.depth {
            let limit = self.limits.depth;
            return Err(fail(at, format!("nested deeper than {limit} levels")));
        }
        let before = self.nodes;
        self.count(1, at)?;
        self.open.push(Level {
            open,
            mark: to_mark(self.file, at),
            anchor,
            before,
        });
        Ok(())
    }

    fn end(&mut self, at: Marker) -> Result<(), SyntaxError> {
        let Some(level) = self.open.pop() else {
            return Err(fail(at, "the document is not balanced"));
        };
        let data = match level.open {
            Open::List(items) => Data::List(items),
            Open::Map { map, .. } => Data::Map(merge(map)),
        };
        let size = self.nodes - level.before;
        self.close(Node::new(data, level.mark), level.anchor, size, at)
    }

    /// Puts a finished node where it belongs.
    fn close(
        &mut self,
        node: Node,
        anchor: usize,
        size: usize,
        at: Marker,
    ) -> Result<(), SyntaxError> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(level) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut level.open {
            Open::List(items) => items.push(node),
            Open::Map { map, key } => match key.take() {
                None => *key = Some((key_text(&node, at)?, node.mark)),
                Some((name, key_mark)) => {
                    if map.contains_key(&name) {
                        return Err(SyntaxError::new(
                            key_mark.line,
                            key_mark.column,
                            format!("the key `{name}` is written twice"),
                        ));
                    }
                    let entry = Entry {
                        key: key_mark,
                        node,
                    };
                    map.insert(name, entry);
                }
            },
        }
        Ok(())
    }
}

fn key_text(node: &Node, at: Marker) -> Result<String, SyntaxError> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        Data::Number(number) => Ok(number.to_string()),
        Data::Bool(value) => Ok(value.to_string()),
        Data::Null => Ok("null".to_owned()),
        Data::List(_) | Data::Map(_) => Err(fail(at, "a key must be a scalar")),
    }
}

/// Applies `<<: *anchor`: what the map itself says wins.
fn merge(mut map: Map) -> Map {
    let Some(merged) = map.shift_remove("<<") else {
        return map;
    };
    for source in merged.node.each() {
        if let Some(source) = source.as_map() {
            for (key, entry) in source {
                if !map.contains_key(key) {
                    map.insert(key.clone(), entry.clone());
                }
            }
        }
    }
    map
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Data {
    let core = tag
        .filter(|tag| tag.is_yaml_core_schema())
        .map(|tag| tag.suffix.as_str());
    if style != ScalarStyle::Plain || core == Some("str") {
        return Data::Text(text.into_owned());
    }
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        plain => number(plain).map_or_else(|| Data::Text(plain.to_owned()), Data::Number),
    }
}

/// The numbers of the core schema (YAML 1.2.2, section 10.3.2); infinities stay strings, JSON has none.
fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let first = unsigned.bytes().next()?;
    if !(first.is_ascii_digit() || first == b'.') || !unsigned.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let signed = text.strip_prefix('+').unwrap_or(text);
        if let Ok(value) = signed.parse::<i64>() {
            return Some(Number::from(value));
        }
        if let Ok(value) = signed.parse::<u64>() {
            return Some(Number::from(value));
        }
    }
    if !unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    Number::from_f64(text.parse().ok()?)
}
