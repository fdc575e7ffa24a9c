//! Text to positioned nodes. Knows YAML 1.2 and JSON; knows nothing of CWL.

mod json;
mod node;
mod yaml;

pub use node::Mark;
pub(crate) use node::{Data, Entry, Map, Node};

use serde_json::Value;

use crate::Limits;

/// Where and why a text is neither YAML nor JSON, or is larger than allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line}, column {column}")]
pub(crate) struct SyntaxError {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
}

impl SyntaxError {
    pub(crate) fn new(line: u32, column: u32, message: impl Into<String>) -> Self {
        Self {
            line,
            column,
            message: message.into(),
        }
    }
}

/// Reads one document. JSON is tried first where the text looks like it, because YAML parsers refuse
/// JSON's tabs and surrogate escapes.
pub(crate) fn parse(text: &str, file: u16, limits: &Limits) -> Result<Node, SyntaxError> {
    if text.len() > limits.bytes {
        return Err(SyntaxError::new(
            1,
            1,
            format!(
                "the document has {} bytes, the limit is {}",
                text.len(),
                limits.bytes
            ),
        ));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        match json::parse(text, file, limits) {
            Ok(node) => return Ok(node),
            Err(json::Failure::Limit(error)) => return Err(error),
            Err(json::Failure::NotJson(error)) => {
                return yaml::parse(text, file, limits).map_err(|_| error);
            }
        }
    }
    yaml::parse(text, file, limits)
}

/// Reads JSON that a tool or a script made, with every number as exact as a float can be.
pub(crate) fn parse_json(text: &str, limits: &Limits) -> Result<Value, SyntaxError> {
    match json::parse(text, 0, limits) {
        Ok(node) => Ok(node.to_value()),
        Err(json::Failure::Limit(error) | json::Failure::NotJson(error)) => Err(error),
    }
}
