//! A tree of values in which each value and each key knows where it was written.

use indexmap::IndexMap;
use serde_json::{Number, Value};

/// A place in a source: the number of the file in the loader's list, and line and column from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Index into the document's list of sources.
    pub file: u16,
    /// Line, from 1; 0 where the value was made by the program.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

pub(crate) type Map = IndexMap<String, Entry>;

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where the key stands.
    pub(crate) key: Mark,
    pub(crate) node: Node,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) mark: Mark,
}

impl Node {
    pub(crate) fn new(data: Data, mark: Mark) -> Self {
        Self { data, mark }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.data {
            Data::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The field of a map; none for other nodes and for an explicit null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let node = &self.as_map()?.get(key)?.node;
        (!node.is_null()).then_some(node)
    }

    /// The elements of a list, or the node itself as the only element; nothing for null.
    pub(crate) fn each(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            Data::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// What the node is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "a string",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// The value without its positions.
    pub(crate) fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Data::Map(map) => Value::Object(
                map.iter()
                    .map(|(key, entry)| (key.clone(), entry.node.to_value()))
                    .collect(),
            ),
        }
    }
}
