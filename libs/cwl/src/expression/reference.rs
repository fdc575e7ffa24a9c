//! Parameter references: the part of the expression language that needs no interpreter
//! (CWL v1.2, section 3.5.1).

use serde_json::Value;

/// What a reference begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Inputs,
    Own,
    Runtime,
}

/// One step of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// `inputs.a['b'][0]` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParameterReference {
    pub(crate) root: Root,
    pub(crate) segments: Vec<Segment>,
}

impl ParameterReference {
    /// The reference, where the text is one and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let root = match &text[..end] {
            "inputs" => Root::Inputs,
            "self" => Root::Own,
            "runtime" => Root::Runtime,
            _ => return None,
        };
        let mut segments = Vec::new();
        let mut rest = &text[end..];
        while !rest.is_empty() {
            let (segment, after) = segment(rest)?;
            segments.push(segment);
            rest = after;
        }
        Some(Self { root, segments })
    }

    /// The value it refers to. With `lenient`, which is JavaScript's way, a property that is missing is
    /// null; otherwise it is a fault.
    pub(crate) fn look_up(&self, root: &Value, lenient: bool) -> Result<Value, String> {
        let mut value = root;
        for (position, segment) in self.segments.iter().enumerate() {
            let last = position + 1 == self.segments.len();
            match (segment, value) {
                (_, Value::Null) => return Err(format!("{} of null", segment.describe())),
                (Segment::Key(key), Value::Object(map)) => match map.get(key) {
                    Some(found) => value = found,
                    None if lenient && last => return Ok(Value::Null),
                    None => return Err(format!("there is no {}", segment.describe())),
                },
                (Segment::Index(index), Value::Array(items)) => match items.get(*index) {
                    Some(found) => value = found,
                    None if lenient && last => return Ok(Value::Null),
                    None => return Err(format!("the list has no element {index}")),
                },
                (Segment::Key(key), Value::Array(items)) if key == "length" && last => {
                    return Ok(items.len().into());
                }
                (Segment::Key(key), Value::String(text)) if lenient && key == "length" && last => {
                    return Ok(text.encode_utf16().count().into());
                }
                _ if lenient && last => return Ok(Value::Null),
                (segment, other) => {
                    let what = kind(other);
                    return Err(format!("{what} has no {}", segment.describe()));
                }
            }
        }
        Ok(value.clone())
    }
}

impl Segment {
    fn describe(&self) -> String {
        match self {
            Self::Key(key) => format!("`{key}`"),
            Self::Index(index) => format!("element {index}"),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn segment(text: &str) -> Option<(Segment, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        return Some((Segment::Key(rest[..end].to_owned()), &rest[end..]));
    }
    let rest = text.strip_prefix('[')?;
    let first = rest.chars().next()?;
    if first == '\'' || first == '"' {
        return quoted(&rest[1..], first);
    }
    let (digits, after) = rest.split_once(']')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Segment::Index(digits.parse().ok()?), after))
}

fn quoted(text: &str, quote: char) -> Option<(Segment, &str)> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((Segment::Key(key), text[at + 1..].strip_prefix(']')?));
        }
        if character == '\\' {
            let (_, escaped) = characters.next()?;
            if escaped != quote && escaped != '\\' {
                return None;
            }
            key.push(escaped);
            continue;
        }
        key.push(character);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn look_up(text: &str, root: &Value) -> Result<Value, String> {
        ParameterReference::parse(text)
            .unwrap()
            .look_up(root, false)
    }

    #[test]
    fn every_form_of_segment_is_followed() {
        let root = json!({"a": {"b c": [10, {"d'": "x"}]}});
        assert_eq!(look_up("inputs.a['b c'][0]", &root), Ok(json!(10)));
        assert_eq!(
            look_up(r#"inputs["a"]['b c'][1]['d\'']"#, &root),
            Ok(json!("x"))
        );
        assert_eq!(look_up("inputs.a['b c'].length", &root), Ok(json!(2)));
    }

    #[test]
    fn code_is_no_reference() {
        for text in [
            "inputs.a + 1",
            "foo.bar",
            "inputs.f()",
            "inputs[x]",
            "inputs.",
            "1",
        ] {
            assert_eq!(ParameterReference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_a_fault_unless_javascript_rules() {
        let root = json!({"a": null, "n": 5});
        assert!(look_up("inputs.b", &root).is_err());
        assert!(look_up("inputs.a.b", &root).is_err());
        assert!(look_up("inputs.n.length", &root).is_err());
        let missing = ParameterReference::parse("inputs.b").unwrap();
        assert_eq!(missing.look_up(&root, true), Ok(Value::Null));
    }
}
