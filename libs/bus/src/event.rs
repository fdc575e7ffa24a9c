//! The envelope: CloudEvents 1.0 in its JSON format.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event that is not a CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A required attribute is empty.
    #[error("the event's `{0}` must not be empty")]
    Empty(&'static str),
    /// Another version of the specification.
    #[error("specversion `{0}` is not known, only 1.0 is")]
    Version(String),
    /// The name of an extension breaks the rule of CloudEvents 1.0, section "Naming Conventions".
    #[error("extension `{0}` must be named with lower-case letters and digits")]
    Extension(String),
}

/// A CloudEvents 1.0 event with JSON data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique together with `source`; a consumer may tell repetitions by it.
    pub id: String,
    /// Who says so, a URI reference, for example `/north/catalog`.
    pub source: String,
    /// What happened, for example `oc.run.state-changed.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about; events of one subject are delivered in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Media type of `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Extension attributes. From an outbox: `dockey` and `revision` of the document it left with.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

impl CloudEvent {
    /// An event without data.
    pub fn new(id: impl Into<String>, source: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            data: None,
            extensions: BTreeMap::new(),
        }
    }

    /// The same event about `subject`.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The same event at `time`.
    #[must_use]
    pub fn with_time(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// The same event with JSON data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.datacontenttype = Some("application/json".to_owned());
        self.data = Some(data);
        self
    }

    /// The same event with an extension attribute.
    #[must_use]
    pub fn with_extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The revision of the document the event left with, where it came from an outbox.
    pub fn revision(&self) -> Option<u64> {
        self.extensions.get("revision")?.as_u64()
    }

    /// The key of the document the event left with, where it came from an outbox.
    pub fn document_key(&self) -> Option<&str> {
        self.extensions.get("dockey")?.as_str()
    }

    /// Checks the rules of CloudEvents 1.0 that the type does not already hold.
    ///
    /// # Errors
    /// When an attribute breaks one.
    pub fn validate(&self) -> Result<(), EventError> {
        let required = [
            ("id", &self.id),
            ("source", &self.source),
            ("type", &self.kind),
        ];
        if let Some((name, _)) = required.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(EventError::Empty(name));
        }
        if self.specversion != "1.0" {
            return Err(EventError::Version(self.specversion.clone()));
        }
        if self.subject.as_deref() == Some("") {
            return Err(EventError::Empty("subject"));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let odd = |name: &&String| name.is_empty() || !name.chars().all(plain);
        match self.extensions.keys().find(odd) {
            Some(name) => Err(EventError::Extension(name.clone())),
            None => Ok(()),
        }
    }

    /// Events with the same key are delivered in order; one without subject has no order to keep.
    pub(crate) fn order_key(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_form_is_that_of_the_specification() {
        let event = CloudEvent::new("1", "/north/catalog", "oc.listing.published.v1")
            .with_subject("listing-1")
            .with_time("2026-01-02T03:04:05Z".parse().unwrap())
            .with_data(json!({"a": 1}))
            .with_extension("revision", 7u64);
        let text = json!({
            "specversion": "1.0",
            "id": "1",
            "source": "/north/catalog",
            "type": "oc.listing.published.v1",
            "subject": "listing-1",
            "time": "2026-01-02T03:04:05Z",
            "datacontenttype": "application/json",
            "data": {"a": 1},
            "revision": 7,
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), text);
        assert_eq!(serde_json::from_value::<CloudEvent>(text).unwrap(), event);
        assert_eq!(event.revision(), Some(7));
    }

    #[test]
    fn what_breaks_the_specification_is_refused() {
        let good = CloudEvent::new("1", "/a", "t");
        assert_eq!(good.validate(), Ok(()));
        let no_id = CloudEvent::new("", "/a", "t");
        assert_eq!(no_id.validate(), Err(EventError::Empty("id")));
        let mut other_version = good.clone();
        other_version.specversion = "0.3".into();
        assert!(matches!(
            other_version.validate(),
            Err(EventError::Version(_))
        ));
        let odd = good.with_extension("Trace-Id", "x");
        assert!(matches!(odd.validate(), Err(EventError::Extension(_))));
    }
}
