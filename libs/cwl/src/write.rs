//! The canonical form of a document: one self-contained JSON object of CWL v1.2 in a fixed order, the
//! same bytes for the same content, whatever shorthands it was written with.

mod pack;
mod parameters;
mod processes;
mod requirements;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::decimal::to_compact_json;
use crate::{Document, Process, Step, Text};

impl Document {
    /// The canonical form as a value. Every process is embedded where it runs.
    pub fn to_value(&self) -> Value {
        let mut map = self.heads();
        map.extend(processes::process(self.process(), &embedded));
        Value::Object(map)
    }

    /// What stands above the processes.
    fn heads(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("cwlVersion".to_owned(), "v1.2".into());
        if !self.namespaces().is_empty() {
            let namespaces = self.namespaces().iter();
            map.insert(
                "$namespaces".to_owned(),
                namespaces
                    .map(|(prefix, iri)| (prefix.clone(), Value::from(iri.as_str())))
                    .collect::<Map<_, _>>()
                    .into(),
            );
        }
        if !self.schemas().is_empty() {
            map.insert("$schemas".to_owned(), self.schemas().into());
        }
        map
    }

    /// The canonical form as text, without white space between tokens.
    pub fn to_json(&self) -> String {
        to_compact_json(&self.to_value())
    }

    /// The SHA-256 digest of the canonical form, in hex.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.to_json()))
    }
}

impl Process {
    /// The canonical form of this process alone, without `cwlVersion`.
    pub fn to_value(&self) -> Value {
        Value::Object(processes::process(self, &embedded))
    }
}

fn embedded(step: &Step) -> Value {
    step.run.to_value()
}

/// A JSON object under construction: absent things leave no trace.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    fn text(&mut self, key: &str, text: Option<&Text>) -> &mut Self {
        self.maybe(key, text.map(|text| text.text.as_str()))
    }

    fn flag(&mut self, key: &str, flag: bool) -> &mut Self {
        self.maybe(key, flag.then_some(true))
    }

    fn list(&mut self, key: &str, items: Vec<Value>) -> &mut Self {
        self.maybe(key, (!items.is_empty()).then_some(items))
    }
}

fn texts(texts: &[Text]) -> Vec<Value> {
    texts.iter().map(|text| text.text.as_str().into()).collect()
}
