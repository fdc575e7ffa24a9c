//! Files and folders of this machine in CWL values, which name them by `file:` locations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::CommandError;
use super::file::unreadable;

/// Most files of one folder.
const MOST: usize = 1000;

/// A file or folder as a job order names it.
pub(crate) fn local(path: &Path) -> Result<Value, CommandError> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    let class = if metadata.is_dir() {
        "Directory"
    } else {
        "File"
    };
    let whole = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    Ok(json!({"class": class, "location": oc_cwl::uri_of_path(&whole)}))
}

/// The value with each Directory of this machine as the list of what is in it.
pub(crate) fn listed(value: &Value) -> Result<Value, CommandError> {
    match value {
        Value::Array(items) => items.iter().map(listed).collect(),
        Value::Object(fields) => {
            let listed = fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), listed(field)?)));
            let mut listed: Map<String, Value> = listed.collect::<Result<_, CommandError>>()?;
            if fields.get("class").and_then(Value::as_str) == Some("Directory")
                && let Some(folder) = path_of(fields)
            {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                listed
                    .entry("basename")
                    .or_insert_with(|| name.as_ref().into());
                listed.remove("location");
                let mut left = MOST;
                listed.insert("listing".to_owned(), contents(&folder, &mut left)?);
            }
            Ok(Value::Object(listed))
        }
        scalar => Ok(scalar.clone()),
    }
}

/// What lies in a folder, by name; a link in it is not followed.
fn contents(folder: &Path, left: &mut usize) -> Result<Value, CommandError> {
    let failed = |error: std::io::Error| unreadable(folder, &error);
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut items = Vec::new();
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        *left = left.checked_sub(1).ok_or_else(|| {
            let text = format!("{} holds more than {MOST} files", folder.display());
            CommandError::input(format!("{text}: pack them into an archive"))
        })?;
        if kind.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let listing = contents(&path, left)?;
            items.push(json!({"class": "Directory", "basename": name, "listing": listing}));
        } else if kind.is_file() {
            items.push(local(&path)?);
        } else {
            let text = format!(
                "{} is a link or no file, and is not uploaded",
                path.display()
            );
            return Err(CommandError::input(format!(
                "{text}: take it out of the folder"
            )));
        }
    }
    Ok(Value::Array(items))
}

fn path_of(fields: &Map<String, Value>) -> Option<PathBuf> {
    oc_cwl::path_of_uri(fields.get("location")?.as_str()?)
}

/// The files of this machine that a value names.
pub(crate) fn collect(value: &Value, paths: &mut BTreeSet<PathBuf>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, paths)),
        Value::Object(fields) => {
            if fields.get("class").and_then(Value::as_str) == Some("File") {
                paths.extend(path_of(fields));
            }
            fields.values().for_each(|field| collect(field, paths));
        }
        _ => {}
    }
}

/// The first file or folder of a value that lies outside a folder, links followed.
pub(crate) fn outside(value: &Value, folder: &Path) -> Option<PathBuf> {
    first(value, &|path| match path.canonicalize() {
        Ok(real) => !real.starts_with(folder),
        // Whoever reads it says so.
        Err(_) => false,
    })
}

/// The first file or folder of this machine in a value that is one of those that are looked for.
pub(crate) fn first(value: &Value, is_wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| first(item, is_wanted)),
        Value::Object(fields) => {
            let class = fields.get("class").and_then(Value::as_str);
            let path = matches!(class, Some("File" | "Directory")).then(|| path_of(fields));
            let path = path.flatten().filter(|path| is_wanted(path));
            path.or_else(|| fields.values().find_map(|field| first(field, is_wanted)))
        }
        _ => None,
    }
}

/// The value with files of this machine named as they are sent.
pub(crate) fn replaced(value: &Value, sent: &BTreeMap<PathBuf, Value>) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| replaced(item, sent)).collect(),
        Value::Object(fields) => {
            let fields_replaced = fields.iter();
            let mut replaced: Map<String, Value> = fields_replaced
                .map(|(name, field)| (name.clone(), replaced(field, sent)))
                .collect();
            if let Some(Value::Object(file)) = path_of(fields).and_then(|path| sent.get(&path)) {
                for (name, field) in file {
                    if name != "basename" || !replaced.contains_key("basename") {
                        replaced.insert(name.clone(), field.clone());
                    }
                }
            }
            Value::Object(replaced)
        }
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_they_were_sent_wherever_they_stand() {
        let base = tempfile::tempdir().unwrap();
        let (file, folder) = (base.path().join("a b.txt"), base.path().join("d"));
        std::fs::write(&file, "x").unwrap();
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::write(folder.join("inner/c"), "y").unwrap();
        let value = json!({"one": [local(&file).unwrap()], "all": local(&folder).unwrap(), "n": 1});
        let value = listed(&value).unwrap();
        let mut paths = BTreeSet::new();
        collect(&value, &mut paths);
        assert_eq!(
            paths,
            BTreeSet::from([file.clone(), folder.join("inner/c")])
        );
        let sent = paths.into_iter().map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (
                path,
                json!({"class": "File", "location": format!("oc:{name}"), "basename": name}),
            )
        });
        let value = replaced(&value, &sent.collect());
        assert_eq!(value["one"][0]["location"], "oc:a b.txt");
        assert_eq!(value["all"]["basename"], "d");
        assert_eq!(value["all"]["listing"][0]["listing"][0]["location"], "oc:c");
        assert!(!value.to_string().contains("file:"), "{value}");
    }

    #[test]
    fn a_link_in_a_folder_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", base.path().join("x")).unwrap();
        let refused = listed(&local(base.path()).unwrap()).unwrap_err();
        assert!(refused.to_string().contains("link"), "{refused}");
    }

    #[test]
    fn what_lies_outside_a_folder_is_found_wherever_it_stands() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().canonicalize().unwrap().join("job");
        std::fs::create_dir(&folder).unwrap();
        let (near, far) = (folder.join("near"), folder.join("../far"));
        std::fs::write(&near, "x").unwrap();
        std::fs::write(&far, "y").unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&far, &link).unwrap();
        let of = |path: &Path| local(path).unwrap();
        assert_eq!(outside(&json!([of(&near), of(&folder)]), &folder), None);
        for path in [far.as_path(), &link, Path::new("/etc")] {
            let file = json!({"class": "File", "contents": "", "secondaryFiles": [of(path)]});
            let found = outside(&json!({"a": [1, file]}), &folder);
            assert!(found.is_some(), "{}", path.display());
        }
    }
}
