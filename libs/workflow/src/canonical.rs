//! One spelling for a JSON document, so that equal documents have equal digests.
//!
//! Keys are sorted by their bytes, nothing stands between the tokens, numbers are written as
//! `serde_json` writes them: integers as digits, others in the shortest form that reads back the same.

use oc_kernel::Digest;
use std::collections::BTreeMap;

use serde_json::Value;

/// The canonical bytes of a document.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// The digest of a workflow together with what it reads: the canonical document, then each input's
/// name and checksum in order of name. Equal digests mean equal work.
pub fn work_digest(document: &Value, inputs: &BTreeMap<String, Digest>) -> Digest {
    let mut bytes = Digest::of(&canonical(document)).as_bytes().to_vec();
    for (name, checksum) in inputs {
        // Length first: no two lists of names and checksums spell the same bytes.
        bytes.extend((name.len() as u64).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(checksum.as_bytes());
    }
    Digest::of(&bytes)
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&str, &Value> = fields
                .iter()
                .map(|(key, field)| (key.as_str(), field))
                .collect();
            out.push(b'{');
            for (at, (key, field)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend(Value::from(key).to_string().into_bytes());
                out.push(b':');
                write(field, out);
            }
            out.push(b'}');
        }
        scalar => out.extend(scalar.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_and_the_spacing_do_not_matter() {
        let one: Value =
            serde_json::from_str(r#"{"b": [1, {"d": 1.50, "c": "é\n"}], "a": null}"#).unwrap();
        let other: Value =
            serde_json::from_str(r#"{"a":null,"b":[1,{"c":"\u00e9\n","d":1.5}]}"#).unwrap();
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(
            String::from_utf8(canonical(&one)).unwrap(),
            r#"{"a":null,"b":[1,{"c":"é\n","d":1.5}]}"#
        );
    }

    #[test]
    fn another_document_or_another_checksum_is_other_work() {
        let inputs = |name: &str, text: &str| {
            BTreeMap::from([(name.to_owned(), Digest::of(text.as_bytes()))])
        };
        let digest = work_digest(&json!({"a": 1}), &inputs("x", "1"));
        assert_eq!(digest, work_digest(&json!({"a": 1}), &inputs("x", "1")));
        assert_ne!(digest, work_digest(&json!({"a": 2}), &inputs("x", "1")));
        assert_ne!(digest, work_digest(&json!({"a": 1}), &inputs("x", "2")));
        assert_ne!(digest, work_digest(&json!({"a": 1}), &inputs("y", "1")));
        assert_ne!(digest, work_digest(&json!({"a": 1}), &BTreeMap::new()));
    }
}
