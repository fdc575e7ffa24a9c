//! Input objects: reading them, and checking them against a document before anything runs.

use oc_kernel::Kind;
use serde_json::{Map, Value};

use super::accept::accept;
use crate::load::{expand, resolve_locations};
use crate::resolve::{self, Resolver as _};
use crate::syntax::{self, SyntaxError};
use crate::typed::Typed;
use crate::{Document, Finding, Limits, LoadError, Requirement, Severity};

/// The field of an input object that adds requirements (CWL v1.2, section 3.7).
const REQUIREMENTS: &str = "cwl:requirements";

/// Reads an input object (YAML or JSON) from a local file, a pipe, or with `-` standard input. Relative locations in
/// it become absolute; those of a pipe are seen from the current folder.
///
/// # Errors
/// When the file cannot be read or is no map.
pub fn read_inputs(path: &str, limits: &Limits) -> Result<Map<String, Value>, LoadError> {
    let typed = Typed::new(path);
    let uri = typed.base();
    let text = typed
        .fetch(&uri, limits.bytes)
        .map_err(|error| fault(&uri, 1, 1, error.to_string()))?;
    parse_inputs(&text, &uri, limits)
}

/// Reads an input object that is given as text. Relative locations in it are seen from `base`, a URI.
///
/// # Errors
/// When the text is no map.
pub fn parse_inputs(
    text: &str,
    base: &str,
    limits: &Limits,
) -> Result<Map<String, Value>, LoadError> {
    let node = syntax::parse(text, 0, limits).map_err(|error| {
        let SyntaxError {
            line,
            column,
            message,
        } = error;
        fault(base, line, column, message)
    })?;
    let mut value = node.to_value();
    resolve_locations(&mut value, base);
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => {
            let message = format!("an input object must be a map, not {}", node.describe());
            Err(fault(base, node.mark.line, node.mark.column, message))
        }
    }
}

fn fault(uri: &str, line: u32, column: u32, message: String) -> LoadError {
    let finding = Finding {
        file: resolve::display_uri(uri),
        line,
        column,
        path: String::new(),
        message,
        severity: Severity::Error,
    };
    LoadError::new(Kind::Malformed, vec![finding])
}

/// Takes the requirements out of an input object.
pub(super) fn take_requirements(
    inputs: &mut Map<String, Value>,
) -> Result<Vec<Requirement>, LoadError> {
    let Some(requirements) = inputs.shift_remove(REQUIREMENTS) else {
        return Ok(Vec::new());
    };
    // Read by the loader, as those of the smallest document that can have some.
    let document = serde_json::json!({
        "cwlVersion": "v1.2",
        "class": "Operation",
        "inputs": [],
        "outputs": [],
        "requirements": requirements,
    });
    let text = document.to_string();
    let document = Document::parse(&text, REQUIREMENTS, &Limits::default())?;
    Ok(document.process().requirements.clone())
}

/// Replaces the prefixes of formats by the IRIs they stand for in the document.
pub(super) fn expand_formats(value: &mut Value, document: &Document) {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| expand_formats(item, document)),
        Value::Object(map) => {
            let is_file = map.get("class").and_then(Value::as_str) == Some("File");
            if is_file && let Some(Value::String(format)) = map.get_mut("format") {
                *format = expand(format, document.namespaces());
            }
            map.values_mut()
                .for_each(|item| expand_formats(item, document));
        }
        _ => {}
    }
}

impl Document {
    /// What is wrong with an input object: required inputs that are missing and values of the wrong
    /// type. Files are not looked at.
    pub fn check_inputs(&self, inputs: &Map<String, Value>) -> Vec<String> {
        let mut faults = Vec::new();
        for input in &self.process().inputs {
            match inputs.get(&input.id) {
                None | Some(Value::Null) if input.is_required() => {
                    faults.push(format!("input `{}` ({}) is missing", input.id, input.type_))
                }
                None | Some(Value::Null) => {}
                Some(value) => {
                    if let Err(reason) = accept(&input.type_, value) {
                        faults.push(format!("input `{}`: {reason}", input.id));
                    }
                }
            }
        }
        faults
    }
}
