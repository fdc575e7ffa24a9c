//! Secondary files: which names belong to a primary file, and finding them beside it
//! (CWL v1.2, SecondaryFileSchema).

use std::path::Path;

use serde_json::Value;

use super::files::{self, Object, basename, class, complete, object_of, source, split_name};
use super::shared::Shared;
use crate::expression::{Context, is_dynamic};
use crate::{Required, RunError, SecondaryFile};

/// What a pattern gives for one primary file.
enum Candidate {
    /// A name in the folder of the primary file.
    Name(String),
    /// A file or folder as the expression made it.
    Object(Object),
}

/// How secondary files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Search {
    /// Whether one must exist where the document does not say so: yes for inputs, no for outputs.
    pub(super) required: bool,
    /// Whether they are looked for beside the primary file. A step inside a workflow has only what its
    /// links bring.
    pub(super) beside: bool,
}

/// Adds the secondary files that are declared and exist.
pub(super) fn attach(
    primary: &mut Object,
    declared: &[SecondaryFile],
    search: Search,
    context: Context<'_>,
    shared: &Shared<'_>,
    settle: &mut dyn FnMut(&mut Object) -> Result<(), RunError>,
) -> Result<(), RunError> {
    if declared.is_empty() {
        return Ok(());
    }
    let own = Value::Object(primary.clone());
    let context = context.with_self(&own);
    let mut found = match primary.shift_remove("secondaryFiles") {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    for file in declared {
        let required = is_required(file, search.required, context)?;
        for candidate in candidates(primary, file, context)? {
            let name = match &candidate {
                Candidate::Name(name) => name.clone(),
                Candidate::Object(object) => basename(object).to_owned(),
            };
            let known = |item: &Value| item.get("basename").and_then(Value::as_str) == Some(&name);
            if found.iter().any(known) {
                continue;
            }
            let object = match candidate {
                Candidate::Object(mut object) => {
                    settle(&mut object)?;
                    Some(object)
                }
                Candidate::Name(name) if search.beside => {
                    beside(primary, file, &name, shared, settle)?
                }
                Candidate::Name(_) => None,
            };
            match object {
                Some(object) => found.push(Value::Object(object)),
                None if required => {
                    return Err(RunError::Input(format!(
                        "the secondary file `{name}` of `{}` is missing",
                        basename(primary)
                    )));
                }
                None => {}
            }
        }
    }
    if !found.is_empty() {
        primary.insert("secondaryFiles".to_owned(), Value::Array(found));
    }
    Ok(())
}

fn is_required(
    file: &SecondaryFile,
    by_default: bool,
    context: Context<'_>,
) -> Result<bool, RunError> {
    match &file.required {
        Required::Default => Ok(by_default),
        Required::Fixed(required) => Ok(*required),
        Required::Expression(text) => match context.evaluate(text)? {
            Value::Bool(required) => Ok(required),
            Value::Null => Ok(false),
            other => Err(RunError::Input(format!(
                "`required` of a secondary file must be true or false, not {other}"
            ))),
        },
    }
}

fn candidates(
    primary: &Object,
    file: &SecondaryFile,
    context: Context<'_>,
) -> Result<Vec<Candidate>, RunError> {
    if !is_dynamic(&file.pattern.text) {
        let name = suffixed(basename(primary), &file.pattern.text);
        return Ok(vec![Candidate::Name(name)]);
    }
    let values = match context.evaluate(&file.pattern)? {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    values
        .into_iter()
        .filter(|value| !value.is_null())
        .map(|value| match value {
            Value::String(name) => Ok(Candidate::Name(name)),
            Value::Object(mut object) if class(&Value::Object(object.clone())).is_some() => {
                name_object(&mut object);
                Ok(Candidate::Object(object))
            }
            other => Err(RunError::Input(format!(
                "a secondary file must be a name, a File or a Directory, not {other}"
            ))),
        })
        .collect()
}

/// An object that an expression made may lack its name.
fn name_object(object: &mut Object) {
    if object.contains_key("basename") {
        return;
    }
    let path = files::text(object, "path")
        .map(std::path::PathBuf::from)
        .or_else(|| source(object));
    if let Some(name) = path.as_deref().and_then(Path::file_name) {
        let name = name.to_string_lossy().into_owned();
        object.insert("basename".to_owned(), name.into());
    }
}

/// The file of that name in the folder where the primary file lies.
fn beside(
    primary: &Object,
    file: &SecondaryFile,
    name: &str,
    shared: &Shared<'_>,
    settle: &mut dyn FnMut(&mut Object) -> Result<(), RunError>,
) -> Result<Option<Object>, RunError> {
    let Some(path) = source(primary) else {
        return Ok(None);
    };
    if !files::is_inner(name) {
        return Err(RunError::Input(format!(
            "`{name}` cannot be the name of a secondary file: it leaves the folder"
        )));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut place = folder.join(name);
    if !place.exists() && !is_dynamic(&file.pattern.text) {
        // The primary file may carry another name than on disk; its companions then do too.
        let on_disk = path.file_name().unwrap_or_default().to_string_lossy();
        place = folder.join(suffixed(&on_disk, &file.pattern.text));
    }
    if !place.exists() {
        return Ok(None);
    }
    let mut object = object_of(&place)?;
    let last = name.rsplit('/').next().unwrap_or(name);
    object.insert("basename".to_owned(), last.into());
    complete(&mut object, &shared.guard)?;
    settle(&mut object)?;
    Ok(Some(object))
}

/// Takes one extension away for each leading caret and appends the rest of the pattern.
fn suffixed(name: &str, pattern: &str) -> String {
    let mut name = name;
    let mut pattern = pattern;
    while let Some(rest) = pattern.strip_prefix('^') {
        name = split_name(name).0;
        pattern = rest;
    }
    format!("{name}{pattern}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_take_extensions_away() {
        assert_eq!(suffixed("a.bam", ".bai"), "a.bam.bai");
        assert_eq!(suffixed("a.b.bam", "^.bai"), "a.b.bai");
        assert_eq!(suffixed("a.b.bam", "^^.bai"), "a.bai");
        assert_eq!(suffixed("a", "^.bai"), "a.bai");
    }
}
