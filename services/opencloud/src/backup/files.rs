//! Copying folders: by hard links where files are written once, byte by byte where they change.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where objects come in that have no name yet.
const INCOMING: &str = ".incoming";

/// Makes a folder that only its owner can read, or takes an empty one. One with something in it stays as it is.
pub(super) fn private_folder(folder: &Path) -> Result<()> {
    let shown = folder.display();
    if folder.is_dir() && !names_in(folder)?.is_empty() {
        bail!("the folder {shown} is not empty: name one that is, or that does not exist");
    }
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)));
    made.with_context(|| format!("make the folder {shown}"))
}

/// Refuses a folder that lies in another one, or that the other one lies in: what is done to one would be done to both.
pub(super) fn apart(folder: &Path, other: &Path) -> Result<()> {
    let (one, two) = (real(folder), real(other));
    if one.starts_with(&two) || two.starts_with(&one) {
        let (one, two) = (folder.display(), other.display());
        bail!("{one} and {two} lie in each other: keep the backup in another place");
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut above = whole.ancestors();
    above
        .find_map(|it| {
            let rest = whole.strip_prefix(it).ok()?;
            Some(it.canonicalize().ok()?.join(rest))
        })
        .unwrap_or_default()
}

/// The names in a folder, sorted.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
        let names: io::Result<Vec<_>> = names.collect();
        let names = names?
            .into_iter()
            .filter_map(|name| name.into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        Ok(names)
    };
    read().with_context(|| format!("read the folder {}", folder.display()))
}

/// All files below a folder, as paths from it with `/`, sorted; what is still coming in is left out.
pub(super) fn files_below(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let at = folder.join(&below);
        let names = match names_in(&at) {
            // It was emptied and removed since.
            Err(_) if !below.is_empty() && !at.exists() => continue,
            names => names?,
        };
        for name in names {
            // No object has such a name: the driver writes there before it gives the right one.
            if name == INCOMING || name.contains('#') {
                continue;
            }
            let path = match below.is_empty() {
                true => name,
                false => format!("{below}/{name}"),
            };
            match folder.join(&path).is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Gives the files below `from` a second name below `to`, or copies them where that cannot be; those that are there
/// stay. For files that are written once: a file that is changed in place would change in both.
pub(super) fn link_tree(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    for path in files_below(from)? {
        link(&from.join(&path), &to.join(&path))?;
    }
    Ok(())
}

/// Copies the files below `from`.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for path in files_below(from)? {
        copy(&from.join(&path), &to.join(&path))?;
    }
    Ok(())
}

/// See [`link_tree`]. A file that is gone since it was listed is left out.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    folder_of(to)?;
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => Ok(()),
        Err(_) => copy(from, to),
    }
}

/// Copies a file, closed to everybody but its owner, whatever the other one was; it is on the disk when this returns.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    folder_of(to)?;
    let copied = fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
    copied.with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    close(to)
}

/// Closes a file to everybody but its owner.
pub(super) fn close(file: &Path) -> Result<()> {
    fs::set_permissions(file, Permissions::from_mode(0o600))
        .with_context(|| format!("close {} to others", file.display()))
}

fn folder_of(file: &Path) -> Result<()> {
    let folder: PathBuf = file.parent().map(Path::to_owned).unwrap_or_default();
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    made.with_context(|| format!("make the folder {}", folder.display()))
}
