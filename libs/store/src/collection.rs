//! Declared collections and their indexes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A set of documents of one kind. Declare it as a `static`.
#[derive(Debug)]
pub struct Collection {
    /// Its name in the store; never reused for another kind of document.
    pub name: &'static str,
    /// The indexes that [`Query`](crate::Query) may read by.
    pub indexes: &'static [Index],
}

impl Collection {
    /// A collection with its indexes.
    pub const fn new(name: &'static str, indexes: &'static [Index]) -> Self {
        Self { name, indexes }
    }

    /// The index of that name.
    pub(crate) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The index entries of a document, without repetition, in order.
    pub(crate) fn entries(&self, document: &Value) -> Vec<(&'static str, IndexValue)> {
        let mut entries: Vec<_> = self
            .indexes
            .iter()
            .flat_map(|index| {
                let values = index.values(document);
                values.into_iter().map(|value| (index.name, value))
            })
            .collect();
        entries.sort();
        entries.dedup();
        entries
    }

    /// Changes when an index is added, removed or declared anew; a driver then builds entries afresh.
    pub(crate) fn fingerprint(&self) -> String {
        let mut parts: Vec<String> = self.indexes.iter().map(Index::fingerprint).collect();
        parts.sort();
        parts.join(" ")
    }
}

/// A declared index: one document may have none, one or several entries in it.
#[derive(Debug)]
pub struct Index {
    name: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Pointer(&'static str),
    Computed {
        version: u32,
        values: fn(&Value) -> Vec<IndexValue>,
    },
}

impl Index {
    /// The value at a JSON pointer (RFC 6901). An array gives one entry for each of its elements; a
    /// missing field, `null`, an object or a fraction gives none.
    pub const fn pointer(name: &'static str, pointer: &'static str) -> Self {
        let source = Source::Pointer(pointer);
        Self { name, source }
    }

    /// The values a function finds. Raise `version` whenever the function changes: entries are then
    /// built afresh when the collection is next used. The function must not panic, whatever the document.
    pub const fn computed(
        name: &'static str,
        version: u32,
        values: fn(&Value) -> Vec<IndexValue>,
    ) -> Self {
        let source = Source::Computed { version, values };
        Self { name, source }
    }

    fn values(&self, document: &Value) -> Vec<IndexValue> {
        match self.source {
            Source::Computed { values, .. } => values(document),
            Source::Pointer(pointer) => match document.pointer(pointer) {
                Some(Value::Array(elements)) => {
                    elements.iter().filter_map(IndexValue::of).collect()
                }
                Some(value) => IndexValue::of(value).into_iter().collect(),
                None => Vec::new(),
            },
        }
    }

    fn fingerprint(&self) -> String {
        match self.source {
            Source::Pointer(pointer) => format!("{}={pointer}", self.name),
            Source::Computed { version, .. } => format!("{}#{version}", self.name),
        }
    }
}

/// A value in an index. Numbers sort before text; text sorts by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IndexValue {
    /// A whole number, for example milliseconds since the epoch.
    Number(i64),
    /// A text.
    Text(String),
}

impl IndexValue {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number.as_i64().map(Self::Number),
            Value::Bool(truth) => Some(Self::Text(truth.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl From<&str> for IndexValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for IndexValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for IndexValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn upper(document: &Value) -> Vec<IndexValue> {
        let name = document["name"].as_str().map(str::to_uppercase);
        name.into_iter().map(IndexValue::from).collect()
    }

    static COLLECTION: Collection = Collection::new(
        "things",
        &[
            Index::pointer("tag", "/tags"),
            Index::pointer("size", "/size"),
            Index::computed("upper", 1, upper),
        ],
    );

    #[test]
    fn a_document_has_an_entry_for_each_element_and_none_for_what_is_missing() {
        let document = json!({"tags": ["b", "a", "b", null], "name": "x"});
        assert_eq!(
            COLLECTION.entries(&document),
            [
                ("tag", "a".into()),
                ("tag", "b".into()),
                ("upper", "X".into())
            ]
        );
    }

    #[test]
    fn a_fraction_is_not_indexed() {
        assert!(COLLECTION.entries(&json!({"size": 1.5})).is_empty());
        assert_eq!(
            COLLECTION.entries(&json!({"size": -3})),
            [("size", IndexValue::Number(-3))]
        );
    }

    #[test]
    fn declaring_an_index_anew_changes_the_fingerprint() {
        static OTHER: Collection = Collection::new("things", &[Index::computed("upper", 2, upper)]);
        assert_ne!(COLLECTION.fingerprint(), OTHER.fingerprint());
    }
}
