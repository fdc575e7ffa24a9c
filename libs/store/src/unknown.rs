//! Fields of a stored document that this version does not know, kept for the one that does.

use serde_json::{Map, Value};

/// What a document holds beyond the type it was read into.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Unknown(Map<String, Value>);

impl Unknown {
    /// The fields of `stored` that are lost when it is read into a type and written again as `known`.
    /// Objects are compared field by field; arrays are taken as a whole.
    pub(crate) fn between(stored: &Value, known: &Value) -> Self {
        let (Value::Object(stored), Value::Object(known)) = (stored, known) else {
            return Self::default();
        };
        let mut lost = Map::new();
        for (name, value) in stored {
            match known.get(name) {
                None => {
                    lost.insert(name.clone(), value.clone());
                }
                Some(kept) => {
                    let inner = Self::between(value, kept).0;
                    if !inner.is_empty() {
                        lost.insert(name.clone(), Value::Object(inner));
                    }
                }
            }
        }
        Self(lost)
    }

    /// Puts the fields back, unless the document now has something else in their place.
    pub(crate) fn restore(&self, document: &mut Value) {
        let Value::Object(fields) = document else {
            return;
        };
        for (name, value) in &self.0 {
            match (fields.get_mut(name), value) {
                (None, _) => {
                    fields.insert(name.clone(), value.clone());
                }
                (Some(inner @ Value::Object(_)), Value::Object(lost)) => {
                    Self(lost.clone()).restore(inner);
                }
                (Some(_), _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_come_back_and_known_ones_win() {
        let stored =
            json!({"a": 1, "new": true, "inner": {"b": 2, "deep": [1]}, "list": [{"x": 1}]});
        let known = json!({"a": 1, "inner": {"b": 2}, "list": [{}]});
        let unknown = Unknown::between(&stored, &known);

        let mut written = json!({"a": 5, "inner": {"b": 6}, "list": []});
        unknown.restore(&mut written);
        assert_eq!(
            written,
            json!({"a": 5, "inner": {"b": 6, "deep": [1]}, "list": [], "new": true})
        );
    }

    #[test]
    fn an_object_that_is_gone_does_not_come_back() {
        let unknown = Unknown::between(&json!({"inner": {"b": 1}}), &json!({"inner": {"b": 1}}));
        let mut written = json!({});
        unknown.restore(&mut written);
        assert_eq!(written, json!({}));
    }
}
