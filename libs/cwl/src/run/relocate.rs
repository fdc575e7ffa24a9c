//! Bringing the outputs of a run to where they are wanted.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::{self, Guard, Object, basename, checksum, each_outermost, source, text};
use super::stage::{copy, make_folder, write_file};
use crate::{RunError, uri_of_path};

/// Gives what the run made a name there, and copies what it was given.
pub(super) struct Relocation<'r> {
    folder: &'r Path,
    scratch: &'r Path,
    guard: &'r Guard,
    taken: HashMap<PathBuf, PathBuf>,
    keep_names: bool,
    /// Folders of ours for what would have the name of something else.
    apart: HashSet<PathBuf>,
}

impl<'r> Relocation<'r> {
    pub(super) fn new(folder: &'r Path, scratch: &'r Path, guard: &'r Guard) -> Self {
        Self {
            folder,
            scratch,
            guard,
            taken: HashMap::new(),
            keep_names: false,
            apart: HashSet::new(),
        }
    }

    /// What has the name of something else comes to lie in a folder of its own and keeps it; otherwise it is numbered.
    pub(super) fn keeping_names(mut self, keep_names: bool) -> Self {
        self.keep_names = keep_names;
        self
    }

    /// Brings every file and folder in a value to the folder and completes its object: location, size
    /// and checksum of files, listing of folders.
    pub(super) fn value(&mut self, value: &mut Value) -> Result<(), RunError> {
        let folder = self.folder;
        each_outermost(value, &mut |object| self.object(object, folder))
    }

    fn object(&mut self, object: &mut Object, folder: &Path) -> Result<(), RunError> {
        let original = source(object);
        let target = self.free_name(folder, basename(object), original.as_deref());
        if let Some(above) = target.parent().filter(|above| *above != folder) {
            fs::create_dir_all(above)
                .map_err(|error| RunError::io(format!("cannot make {}", above.display()), error))?;
            self.apart.insert(above.to_owned());
        }
        let is_file = text(object, "class") == Some("File");
        match (&original, is_file) {
            (Some(original), _) => {
                if self.taken.get(&target) != Some(original) {
                    self.transfer(original, &target)?;
                }
                self.taken.insert(target.clone(), original.clone());
            }
            (None, true) => write_file(&target, text(object, "contents").unwrap_or_default())?,
            (None, false) => {
                make_folder(&target)?;
                if let Some(Value::Array(listing)) = object.get_mut("listing") {
                    for item in listing {
                        if let Value::Object(child) = item {
                            self.object(child, &target)?;
                        }
                    }
                }
            }
        }
        self.taken.entry(target.clone()).or_default();
        describe(object, &target)?;
        if let Some(Value::Array(secondary)) = object.get_mut("secondaryFiles") {
            for item in secondary {
                if let Value::Object(item) = item {
                    self.object(item, folder)?;
                }
            }
        }
        Ok(())
    }

    /// The name, with a number after or above it where this run has used it for something else.
    fn free_name(&self, folder: &Path, name: &str, original: Option<&Path>) -> PathBuf {
        let plain = folder.join(name);
        let (root, extension) = files::split_name(name);
        // In the listing of a folder no folder may stand that the run did not make.
        let apart = self.keep_names && folder == self.folder;
        let numbered = (2..).map(|number: u64| match apart {
            true => folder.join(number.to_string()).join(name),
            false => folder.join(format!("{root}_{number}{extension}")),
        });
        std::iter::once(plain.clone())
            .chain(numbered)
            .find(|path| match self.taken.get(path) {
                None => {
                    let above = path.parent().unwrap_or(folder);
                    !self.apart.contains(path) && !self.taken.contains_key(above)
                }
                Some(used_for) => original == Some(used_for.as_path()),
            })
            .unwrap_or(plain)
    }

    fn transfer(&mut self, original: &Path, target: &Path) -> Result<(), RunError> {
        let fault = |error| RunError::io(format!("cannot write {}", target.display()), error);
        if let (Ok(real), Ok(there)) = (original.canonicalize(), target.canonicalize())
            && real == there
        {
            return Ok(());
        }
        match target.symlink_metadata() {
            Ok(found) if found.is_dir() => {
                return Err(RunError::Output(format!(
                    "`{}` exists already: choose another folder for the outputs",
                    target.display()
                )));
            }
            // What an earlier run left is replaced, as a shell's redirection would.
            Ok(_) => fs::remove_file(target).map_err(fault)?,
            Err(_) => {}
        }
        if original.starts_with(self.scratch) {
            return self.give(original, target);
        }
        copy(original, target, self.guard)
    }

    /// Gives what the run made another name, links followed. A file of the run is not copied unless it must be:
    /// several names for a large one must not fill the disk. What it was called before goes with the scratch
    /// folder. What a link leads to outside of that was given to the run, and is copied.
    fn give(&self, from: &Path, target: &Path) -> Result<(), RunError> {
        let fault = |error| RunError::io(format!("cannot write {}", target.display()), error);
        let real = from.canonicalize().map_err(fault)?;
        if !real.starts_with(self.scratch) {
            // Whether it may be given away was decided when it was found.
            return copy(&real, target, &self.guard.open());
        }
        if !real.is_dir() {
            let linked = fs::hard_link(&real, target);
            return linked.or_else(|_| copy(&real, target, &self.guard.open()));
        }
        make_folder(target)?;
        for entry in fs::read_dir(&real).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            self.give(&entry.path(), &target.join(entry.file_name()))?;
        }
        Ok(())
    }
}

/// The object of something that lies at its last place.
fn describe(object: &mut Object, path: &Path) -> Result<(), RunError> {
    let is_file = text(object, "class") == Some("File");
    let mut described = Object::new();
    let class = if is_file { "File" } else { "Directory" };
    described.insert("class".to_owned(), class.into());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    described.insert("basename".to_owned(), name.into());
    described.insert("location".to_owned(), uri_of_path(path).into());
    described.insert("path".to_owned(), path.to_string_lossy().into());
    if is_file {
        let fault = |error| RunError::io(format!("cannot read {}", path.display()), error);
        let size = fs::metadata(path).map_err(fault)?.len();
        described.insert("size".to_owned(), size.into());
        described.insert("checksum".to_owned(), checksum(path).map_err(fault)?.into());
    } else {
        described.insert("listing".to_owned(), listing(path)?);
    }
    for key in ["format", "secondaryFiles"] {
        if let Some(value) = object.shift_remove(key) {
            described.insert(key.to_owned(), value);
        }
    }
    *object = described;
    Ok(())
}

fn listing(folder: &Path) -> Result<Value, RunError> {
    let fault = |error| RunError::io(format!("cannot list {}", folder.display()), error);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(fault)?;
    paths.sort();
    let mut items = Vec::with_capacity(paths.len());
    for path in paths {
        let mut object = files::object_of(&path)?;
        describe(&mut object, &path)?;
        items.push(Value::Object(object));
    }
    Ok(Value::Array(items))
}
