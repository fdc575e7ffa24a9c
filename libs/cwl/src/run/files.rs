//! `File` and `Directory` objects (CWL v1.2, CommandLineTool, sections 5.1.2 and 5.1.3).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};
use sha1::{Digest, Sha1};

use crate::{LoadListing, RunError, path_of_uri, resolve, uri_of_path};

pub(super) type Object = Map<String, Value>;

/// Most bytes that `loadContents` may load (section 5.1.2, `contents`).
const CONTENTS_LIMIT: u64 = 64 * 1024;

/// Which of the two classes an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    File,
    Directory,
}

/// The class of an object that is a file or folder.
pub(super) fn class(value: &Value) -> Option<Class> {
    match value.get("class").and_then(Value::as_str) {
        Some("File") => Some(Class::File),
        Some("Directory") => Some(Class::Directory),
        _ => None,
    }
}

pub(super) fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str)
}

/// The name under which a file or folder is staged.
pub(super) fn basename(object: &Object) -> &str {
    text(object, "basename").unwrap_or_default()
}

/// Where the content lies; none for literals.
pub(super) fn source(object: &Object) -> Option<PathBuf> {
    text(object, "location").and_then(path_of_uri)
}

/// Visits the outermost files and folders in a value.
pub(super) fn each_outermost(
    value: &mut Value,
    visit: &mut impl FnMut(&mut Object) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let is_file = class(value).is_some();
    match value {
        Value::Object(object) if is_file => visit(object),
        Value::Object(object) => object
            .values_mut()
            .try_for_each(|item| each_outermost(item, visit)),
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| each_outermost(item, visit)),
        _ => Ok(()),
    }
}

/// Which files of the machine a job may name, and how much of them it may have copied.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// Folders; none for every file.
    pub(super) roots: Option<Vec<PathBuf>>,
    /// What may be copied; none for all.
    pub(super) room: Option<Arc<CopyRoom>>,
}

/// The bytes that a run may still have copied.
#[derive(Debug)]
pub(super) struct CopyRoom {
    limit: u64,
    left: AtomicU64,
}

impl CopyRoom {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        let left = AtomicU64::new(limit);
        Arc::new(Self { limit, left })
    }
}

impl Guard {
    /// The same room, for what may be named anyway.
    pub(super) fn open(&self) -> Self {
        Self {
            roots: None,
            room: self.room.clone(),
        }
    }

    /// Refuses a copy of so many bytes for which there is no room.
    pub(super) fn check_copy(&self, bytes: u64) -> Result<(), RunError> {
        let Some(room) = &self.room else {
            return Ok(());
        };
        let take = |left: u64| left.checked_sub(bytes);
        let taken = room
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| {
            RunError::Input(format!(
                "files are to be copied so often that they have more than {} bytes together",
                room.limit
            ))
        })
    }

    /// Refuses a path that lies, links followed, below none of the folders.
    pub(super) fn check(&self, path: &Path) -> Result<(), RunError> {
        let Some(roots) = &self.roots else {
            return Ok(());
        };
        // A path that does not exist cannot be read either; staging says so later.
        let Ok(real) = path.canonicalize() else {
            return Ok(());
        };
        if roots.iter().any(|root| real.starts_with(root)) {
            return Ok(());
        }
        Err(RunError::Input(format!(
            "`{}` lies outside the folders of this job",
            path.display()
        )))
    }
}

/// Fills in what follows from the location: `basename`, `nameroot`, `nameext`, `size`, and `path` as the
/// place where the content lies now. Secondary files and listings are completed too.
pub(super) fn complete(object: &mut Object, guard: &Guard) -> Result<(), RunError> {
    // A literal has a path once it is staged, but that is not where it comes from.
    let is_literal = object.contains_key("listing") || object.contains_key("contents");
    if let Some(Value::String(path)) = object.shift_remove("path")
        && !object.contains_key("location")
        && !is_literal
    {
        let location = uri_of_path(Path::new(&path));
        object.insert("location".to_owned(), location.into());
    }
    let is_file = text(object, "class") == Some("File");
    let location = text(object, "location").map(str::to_owned);
    match &location {
        Some(location) if location.starts_with("_:") => {
            object.shift_remove("location");
        }
        Some(location) => {
            let Some(path) = path_of_uri(location) else {
                return Err(RunError::Unsupported(format!(
                    "`{location}` is no local file: fetch it first"
                )));
            };
            guard.check(&path)?;
            if !object.contains_key("basename") {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                object.insert("basename".to_owned(), name.into());
            }
            if is_file && let Ok(found) = fs::metadata(&path) {
                object.insert("size".to_owned(), found.len().into());
            }
            object.insert("path".to_owned(), path.to_string_lossy().into());
        }
        None => complete_literal(object, is_file)?,
    }
    check_basename(object)?;
    if is_file {
        let (root, extension) = split_name(basename(object));
        let (root, extension) = (root.to_owned(), extension.to_owned());
        object.insert("nameroot".to_owned(), root.into());
        object.insert("nameext".to_owned(), extension.into());
    }
    for key in ["secondaryFiles", "listing"] {
        if let Some(items) = object.get_mut(key) {
            each_outermost(items, &mut |item| complete(item, guard))?;
        }
    }
    Ok(())
}

fn complete_literal(object: &mut Object, is_file: bool) -> Result<(), RunError> {
    if !is_file {
        if !object.contains_key("listing") {
            return Err(RunError::Input(
                "a Directory needs `location` or `listing`".to_owned(),
            ));
        }
        if !object.contains_key("basename") {
            object.insert("basename".to_owned(), "folder".into());
        }
        return Ok(());
    }
    let Some(contents) = text(object, "contents") else {
        return Err(RunError::Input(
            "a File needs `location`, `path` or `contents`".to_owned(),
        ));
    };
    let size = contents.len();
    // Named after its content, so that two literals do not collide and a run can be repeated.
    let name = hex::encode(&Sha1::digest(contents)[..8]);
    object.insert("size".to_owned(), size.into());
    if !object.contains_key("basename") {
        object.insert("basename".to_owned(), name.into());
    }
    Ok(())
}

/// A name with a slash would leave the folder it is staged in.
fn check_basename(object: &Object) -> Result<(), RunError> {
    let name = basename(object);
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(RunError::Input(format!(
            "`{name}` cannot be the basename of a file or folder"
        )));
    }
    Ok(())
}

/// `reads.tar.gz` as `reads.tar` and `.gz`; leading dots belong to the root.
pub(super) fn split_name(name: &str) -> (&str, &str) {
    let hidden = name.len() - name.trim_start_matches('.').len();
    match name[hidden..].rfind('.') {
        Some(dot) => name.split_at(hidden + dot),
        None => (name, ""),
    }
}

/// The text of a file, up to 64 KiB.
pub(super) fn contents(path: &Path) -> Result<String, RunError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?
            .take(CONTENTS_LIMIT + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let name = path.display();
    // Opening a pipe or a device could block for ever.
    if !path.is_file() {
        return Err(RunError::Input(format!("{name} is no file")));
    }
    let bytes = read().map_err(|error| RunError::io(format!("cannot read {name}"), error))?;
    if bytes.len() as u64 > CONTENTS_LIMIT {
        return Err(RunError::Input(format!(
            "{name} is larger than 64 KiB, the most that loadContents loads"
        )));
    }
    String::from_utf8(bytes).map_err(|_| {
        RunError::Input(format!(
            "{name} is not UTF-8, so loadContents cannot load it"
        ))
    })
}

/// Loads `contents` of a file that lies somewhere.
pub(super) fn load_contents(object: &mut Object) -> Result<(), RunError> {
    if text(object, "class") == Some("File")
        && let Some(path) = source(object)
    {
        object.insert("contents".to_owned(), contents(&path)?.into());
    }
    Ok(())
}

/// Fills `listing` of a folder that lies somewhere; the entries of a literal one stay as they are.
pub(super) fn load_listing(
    object: &mut Object,
    how: LoadListing,
    guard: &Guard,
) -> Result<(), RunError> {
    let Some(path) = source(object) else {
        return Ok(());
    };
    match how {
        LoadListing::None => {
            object.shift_remove("listing");
        }
        LoadListing::Shallow | LoadListing::Deep => {
            let listing = list(&path, how == LoadListing::Deep, guard)?;
            object.insert("listing".to_owned(), Value::Array(listing));
        }
    }
    Ok(())
}

/// The entries of a folder as objects, in the order of their names.
fn list(folder: &Path, deep: bool, guard: &Guard) -> Result<Vec<Value>, RunError> {
    let fault = |error| RunError::io(format!("cannot list {}", folder.display()), error);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(fault)?;
    paths.sort();
    let mut listing = Vec::with_capacity(paths.len());
    for path in paths {
        let mut object = object_of(&path)?;
        complete(&mut object, guard)?;
        if deep && text(&object, "class") == Some("Directory") {
            let below = list(&path, true, guard)?;
            object.insert("listing".to_owned(), Value::Array(below));
        }
        listing.push(Value::Object(object));
    }
    Ok(listing)
}

/// The bare object for a path: class and location.
pub(super) fn object_of(path: &Path) -> Result<Object, RunError> {
    let found = fs::metadata(path).map_err(|error| match path.is_symlink() {
        // As of a link to what is there outside: whether there is something is not for a document to find out.
        true => RunError::Output(format!(
            "`{}` lies outside the work folder",
            path.file_name().unwrap_or_default().display()
        )),
        false => RunError::io(format!("cannot read {}", path.display()), error),
    })?;
    let class = if found.is_dir() {
        "Directory"
    } else if found.is_file() {
        "File"
    } else {
        let name = path.display();
        return Err(RunError::Output(format!(
            "{name} is neither a file nor a folder"
        )));
    };
    let mut object = Object::new();
    object.insert("class".to_owned(), class.into());
    object.insert("location".to_owned(), uri_of_path(path).into());
    Ok(object)
}

/// `sha1$` and the digest of a file's content, read once in pieces.
pub(super) fn checksum(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha1::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    Ok(format!("sha1${}", hex::encode(digest.finalize())))
}

/// True for a name below a folder: relative, without `..`.
pub(super) fn is_inner(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty()
        && !name.contains('\0')
        && path.components().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        })
}

/// The path without dots, seen from a folder.
pub(super) fn inside(folder: &Path, name: &str) -> PathBuf {
    resolve::normal(&folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            _ => Object::new(),
        }
    }

    #[test]
    fn a_name_is_split_at_its_last_dot_but_not_at_a_leading_one() {
        assert_eq!(split_name("a.tar.gz"), ("a.tar", ".gz"));
        assert_eq!(split_name(".bashrc"), (".bashrc", ""));
        assert_eq!(split_name("plain"), ("plain", ""));
    }

    #[test]
    fn what_follows_from_a_location_is_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b 4.tif");
        fs::write(&path, "12345").unwrap();
        let mut file = object(json!({"class": "File", "location": uri_of_path(&path)}));
        complete(&mut file, &Guard::default()).unwrap();
        assert_eq!(file["basename"], "b 4.tif");
        assert_eq!(file["nameext"], ".tif");
        assert_eq!(file["size"], 5);
        assert_eq!(file["path"], json!(path));
    }

    #[test]
    fn a_file_outside_the_job_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard {
            roots: Some(vec![folder.path().canonicalize().unwrap()]),
            room: None,
        };
        let mut file = object(json!({"class": "File", "path": "/etc/passwd"}));
        let error = complete(&mut file, &guard).unwrap_err();
        assert!(error.to_string().contains("outside the folders"), "{error}");
    }

    #[test]
    fn a_basename_that_climbs_is_refused() {
        for name in ["../x", "a/b", "..", ""] {
            let mut file = object(json!({"class": "File", "contents": "x", "basename": name}));
            assert!(complete(&mut file, &Guard::default()).is_err(), "{name}");
        }
    }

    #[test]
    fn contents_end_at_64_kib() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, vec![b'x'; 65_536]).unwrap();
        assert_eq!(contents(&path).unwrap().len(), 65_536);
        fs::write(&path, vec![b'x'; 65_537]).unwrap();
        assert!(contents(&path).is_err());
    }
}
