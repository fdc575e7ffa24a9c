//! Placing inputs where a tool finds them: links to the originals, each input in a folder of its own
//! with its secondary files beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::{self, Guard, Object, basename, source, text};
use crate::{Bind, RunError};

/// The staged inputs of one job.
pub(super) struct Stage<'g> {
    guard: &'g Guard,
    folder: PathBuf,
    count: usize,
    /// What links lead to: a sandbox must show it, and outputs may pass it on.
    originals: Vec<Bind>,
}

impl<'g> Stage<'g> {
    pub(super) fn new(folder: PathBuf, guard: &'g Guard) -> Self {
        Self {
            guard,
            folder,
            count: 0,
            originals: Vec::new(),
        }
    }

    /// What the command must see besides its own folders.
    pub(super) fn binds(&self) -> Vec<Bind> {
        let mut binds = Vec::new();
        if self.count > 0 {
            binds.push(Bind {
                path: self.folder.clone(),
                writable: false,
            });
        }
        for original in &self.originals {
            let covered = |bind: &Bind| {
                original.path.starts_with(&bind.path) && (bind.writable || !original.writable)
            };
            if !binds.iter().any(covered) {
                binds.push(original.clone());
            }
        }
        binds
    }

    /// The files and folders of others that the job was given.
    pub(super) fn originals(&self) -> impl Iterator<Item = &Path> {
        self.originals.iter().map(|bind| bind.path.as_path())
    }

    /// Stages every outermost file and folder in a value and sets their `path`.
    pub(super) fn inputs(&mut self, value: &mut Value) -> Result<(), RunError> {
        files::each_outermost(value, &mut |object| {
            let folder = self.folder.join(self.count.to_string());
            self.count += 1;
            make_folder(&folder)?;
            self.place(
                object,
                &folder,
                basename(object).to_owned().as_str(),
                Mode::Link,
            )
        })
    }

    /// Puts one file or folder, with its secondary files, into a folder under a name.
    pub(super) fn place(
        &mut self,
        object: &mut Object,
        folder: &Path,
        name: &str,
        mode: Mode,
    ) -> Result<(), RunError> {
        let target = folder.join(name);
        match (text(object, "class"), source(object)) {
            (_, Some(original)) => self.place_original(&original, &target, mode)?,
            (Some("File"), None) => {
                let contents = text(object, "contents").unwrap_or_default();
                write_file(&target, contents)?;
            }
            (_, None) => {
                make_folder(&target)?;
                if let Some(Value::Array(listing)) = object.get_mut("listing") {
                    for item in listing {
                        if let Value::Object(child) = item {
                            let name = basename(child).to_owned();
                            self.place(child, &target, &name, mode)?;
                        }
                    }
                }
            }
        }
        set_path(object, &target);
        self.place_secondary(object, folder, mode)
    }

    fn place_secondary(
        &mut self,
        object: &mut Object,
        folder: &Path,
        mode: Mode,
    ) -> Result<(), RunError> {
        if let Some(Value::Array(secondary)) = object.get_mut("secondaryFiles") {
            for item in secondary {
                if let Value::Object(item) = item {
                    let name = basename(item).to_owned();
                    self.place(item, folder, &name, mode)?;
                }
            }
        }
        Ok(())
    }

    fn place_original(
        &mut self,
        original: &Path,
        target: &Path,
        mode: Mode,
    ) -> Result<(), RunError> {
        let real = original.canonicalize().map_err(|error| {
            RunError::Input(format!("cannot read `{}`: {error}", original.display()))
        })?;
        self.guard.check(&real)?;
        if target.symlink_metadata().is_ok() {
            if target.canonicalize().ok().as_deref() == Some(real.as_path()) {
                return Ok(());
            }
            return Err(RunError::Input(format!(
                "two files are to be staged as `{}`",
                target.display()
            )));
        }
        match mode {
            Mode::Link | Mode::Update => {
                symlink(&real, target).map_err(|error| {
                    RunError::io(format!("cannot link {}", target.display()), error)
                })?;
                self.originals.push(Bind {
                    path: real,
                    writable: mode == Mode::Update,
                });
            }
            Mode::Copy => copy(&real, target, self.guard)?,
        }
        Ok(())
    }
}

/// How an original comes to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As a link that is only read through.
    Link,
    /// As a copy that the tool may change.
    Copy,
    /// As a link through which the tool changes the original (InplaceUpdateRequirement).
    Update,
}

/// Sets `path` and `dirname`, for what lies in a listing too.
pub(super) fn set_path(object: &mut Object, path: &Path) {
    object.insert("path".to_owned(), path.to_string_lossy().into());
    if text(object, "class") == Some("File") {
        let folder = path.parent().unwrap_or(Path::new("/"));
        object.insert("dirname".to_owned(), folder.to_string_lossy().into());
        return;
    }
    if let Some(Value::Array(listing)) = object.get_mut("listing") {
        for item in listing {
            if let Value::Object(child) = item {
                let below = path.join(basename(child));
                set_path(child, &below);
            }
        }
    }
}

pub(super) fn make_folder(path: &Path) -> Result<(), RunError> {
    fs::create_dir_all(path)
        .map_err(|error| RunError::io(format!("cannot make {}", path.display()), error))
}

/// Makes the folders between `folder` and `target`. A link on the way, or at its end, would lead a write
/// out of the folder and is refused.
pub(super) fn make_room(folder: &Path, target: &Path) -> Result<(), RunError> {
    let Ok(inner) = target.strip_prefix(folder) else {
        let name = target.display();
        return Err(RunError::Input(format!(
            "`{name}` lies outside the work folder"
        )));
    };
    let mut place = folder.to_owned();
    let mut parts = inner.components().peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        match place.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                let name = place.display();
                return Err(RunError::Input(format!(
                    "`{name}` is a link and cannot be written to"
                )));
            }
            Ok(_) => {}
            Err(_) if parts.peek().is_some() => make_folder(&place)?,
            Err(_) => {}
        }
    }
    Ok(())
}

pub(super) fn write_file(path: &Path, contents: &str) -> Result<(), RunError> {
    fs::write(path, contents)
        .map_err(|error| RunError::io(format!("cannot write {}", path.display()), error))
}

/// Copies a file or a folder with all below it, so that its owner may write to the copy. Links are
/// followed, and only to what the job may read.
pub(super) fn copy(from: &Path, to: &Path, guard: &Guard) -> Result<(), RunError> {
    let fault = |error| RunError::io(format!("cannot copy {}", from.display()), error);
    guard.check(from)?;
    let found = fs::metadata(from).map_err(fault)?;
    if found.is_file() {
        guard.check_copy(found.len())?;
        fs::copy(from, to).map_err(fault)?;
        make_writable(to).map_err(fault)?;
        return Ok(());
    }
    if !found.is_dir() {
        let name = from.display();
        return Err(RunError::Input(format!(
            "`{name}` is neither a file nor a folder"
        )));
    }
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        copy(&entry.path(), &to.join(entry.file_name()), guard)?;
    }
    Ok(())
}

fn make_writable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = fs::metadata(path)?.permissions();
    if permissions.mode() & 0o200 == 0 {
        permissions.set_mode(permissions.mode() | 0o200);
        fs::set_permissions(path, permissions)?;
    }
    Ok(())
}
