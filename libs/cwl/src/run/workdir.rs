//! InitialWorkDirRequirement: what lies in the work folder before the tool starts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::{self, Object, basename, class, complete, text};
use super::scope::Scope;
use super::shared::Shared;
use super::stage::{Mode, Stage, make_room, set_path, write_file};
use crate::expression::{Context, dump};
use crate::{Listing, ListingItem, RequirementKind, RunError};

/// One thing to put into the work folder.
enum Entry {
    /// A file or folder, under a name of its own or the one given.
    Object {
        object: Object,
        name: Option<String>,
        writable: bool,
    },
    /// A file with this text.
    Text { name: String, text: String },
}

/// Fills the work folder. Inputs that are put there get their new `path`.
pub(super) fn fill(
    folder: &Path,
    stage: &mut Stage<'_>,
    inputs: &mut Value,
    scope: &Scope<'_>,
    context: Context<'_>,
    shared: &Shared<'_>,
) -> Result<(), RunError> {
    let Some(listing) = scope.find(|kind| match kind {
        RequirementKind::InitialWorkDir(listing) => Some(listing),
        _ => None,
    }) else {
        return Ok(());
    };
    let in_place = scope.find(|kind| match kind {
        RequirementKind::InplaceUpdate(yes) => Some(*yes),
        _ => None,
    });
    let mut moved = HashMap::new();
    for entry in entries(listing, context)? {
        match entry {
            Entry::Text { name, text } => {
                let target = place(folder, &name)?;
                make_room(folder, &target)?;
                write_file(&target, &text)?;
            }
            Entry::Object {
                mut object,
                name,
                writable,
            } => {
                complete(&mut object, &shared.guard)?;
                let name = name.unwrap_or_else(|| basename(&object).to_owned());
                let target = place(folder, &name)?;
                let parent = target.parent().unwrap_or(folder).to_owned();
                make_room(folder, &parent.join("_"))?;
                let mode = match (writable, in_place) {
                    (false, _) => Mode::Link,
                    (true, Some(true)) => Mode::Update,
                    (true, _) => Mode::Copy,
                };
                let last = target.file_name().unwrap_or_default().to_string_lossy();
                stage.place(&mut object, &parent, &last, mode)?;
                remember(&object, &mut moved);
            }
        }
    }
    if !moved.is_empty() {
        follow(inputs, &moved);
    }
    Ok(())
}

fn place(folder: &Path, name: &str) -> Result<PathBuf, RunError> {
    if Path::new(name).is_absolute() {
        return Err(RunError::Input(format!(
            "the entryname `{name}` is absolute, which needs a DockerRequirement"
        )));
    }
    if !files::is_inner(name) {
        return Err(RunError::Input(format!(
            "the entryname `{name}` leaves the work folder"
        )));
    }
    Ok(files::inside(folder, name))
}

fn entries(listing: &Listing, context: Context<'_>) -> Result<Vec<Entry>, RunError> {
    let mut entries = Vec::new();
    match listing {
        Listing::Expression(text) => add(context.evaluate(text)?, &mut entries)?,
        Listing::Items(items) => {
            for item in items {
                match item {
                    ListingItem::Expression(text) => {
                        add(context.evaluate(text)?, &mut entries)?;
                    }
                    ListingItem::Object(value) => {
                        add(value.clone(), &mut entries)?;
                    }
                    ListingItem::Entry {
                        name,
                        entry,
                        writable,
                    } => {
                        let name = name
                            .as_ref()
                            .map(|name| context.text(name, "entryname"))
                            .transpose()?;
                        let value = context.evaluate_exactly(entry)?;
                        add_entry(name, value, *writable, &mut entries)?;
                    }
                }
            }
        }
    }
    Ok(entries)
}

/// Files, folders, Dirents and lists of them, as an expression gives them.
fn add(value: Value, entries: &mut Vec<Entry>) -> Result<(), RunError> {
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items.into_iter().try_for_each(|item| add(item, entries)),
        Value::Object(object) if class(&Value::Object(object.clone())).is_some() => {
            entries.push(Entry::Object {
                object,
                name: None,
                writable: false,
            });
            Ok(())
        }
        Value::Object(mut object) if object.contains_key("entry") => {
            let name = match object.shift_remove("entryname") {
                Some(Value::String(name)) => Some(name),
                _ => None,
            };
            let writable = object.get("writable") == Some(&Value::Bool(true));
            let entry = object.shift_remove("entry").unwrap_or(Value::Null);
            add_entry(name, entry, writable, entries)
        }
        other => Err(RunError::Input(format!(
            "an entry of the work folder must be a File, a Directory or a Dirent, not {other}"
        ))),
    }
}

/// The value of a Dirent: files as they are, text as the content of a file, anything else as JSON.
fn add_entry(
    name: Option<String>,
    value: Value,
    writable: bool,
    entries: &mut Vec<Entry>,
) -> Result<(), RunError> {
    match value {
        Value::Null => Ok(()),
        Value::Object(object) if class(&Value::Object(object.clone())).is_some() => {
            entries.push(Entry::Object {
                object,
                name,
                writable,
            });
            Ok(())
        }
        Value::Array(items)
            if !items.is_empty() && items.iter().all(|item| class(item).is_some()) =>
        {
            if name.is_some() && items.len() > 1 {
                return Err(RunError::Input(
                    "an entry of several files cannot have one entryname".to_owned(),
                ));
            }
            for item in items {
                add_entry(name.clone(), item, writable, entries)?;
            }
            Ok(())
        }
        value => {
            let Some(name) = name else {
                return Err(RunError::Input(
                    "an entry that is text needs `entryname`".to_owned(),
                ));
            };
            let text = match value {
                Value::String(text) => text,
                other => dump(&other),
            };
            entries.push(Entry::Text { name, text });
            Ok(())
        }
    }
}

/// Where each original went.
fn remember(object: &Object, moved: &mut HashMap<String, String>) {
    if let (Some(location), Some(path)) = (text(object, "location"), text(object, "path")) {
        moved.insert(location.to_owned(), path.to_owned());
    }
    for key in ["secondaryFiles", "listing"] {
        if let Some(Value::Array(items)) = object.get(key) {
            for item in items {
                if let Value::Object(item) = item {
                    remember(item, moved);
                }
            }
        }
    }
}

/// Gives inputs the path of their place in the work folder.
fn follow(value: &mut Value, moved: &HashMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| follow(item, moved)),
        Value::Object(object) => {
            let place = text(object, "location").and_then(|location| moved.get(location));
            if let Some(place) = place.cloned() {
                set_path(object, Path::new(&place));
            }
            object.values_mut().for_each(|item| follow(item, moved));
        }
        _ => {}
    }
}
