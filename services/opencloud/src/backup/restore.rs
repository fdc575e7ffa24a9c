//! Putting a backup back: beside the node's folder first, and in its place when all of it is there.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use oc_kernel::{Clock as _, SystemClock};

use super::manifest::Manifest;
use super::{files, in_a_name};
use crate::folder::{NodeFolder, Restored};

/// Where objects lie, which are written once.
const OBJECTS: &str = "objects/";

/// Past this no epoch is a moment in ms, and fewer than that are whole numbers in every JSON reader.
const LATEST_EPOCH: u64 = 1 << 53;

/// Where the folder of a node goes that a restore is to replace; none where nothing is in the way. The node must be
/// stopped, and stays so while the lock is held.
///
/// # Errors
/// When a node runs on the folder, or something else than a node is in it.
pub(crate) fn aside_of(node: &NodeFolder) -> Result<Option<(PathBuf, File)>> {
    let (path, shown) = (node.path(), node.path().display());
    if !path.exists() || files::names_in(path)?.is_empty() {
        return Ok(None);
    }
    if !node.stores().exists() && !node.keys().exists() {
        bail!("the folder {shown} holds something else than a node: name another with --data");
    }
    let lock = match node.lock() {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            bail!("a node runs on {shown}: stop it first")
        }
        Err(error) => return Err(error).with_context(|| format!("take the folder {shown}")),
    };
    let now = in_a_name(SystemClock.now());
    Ok(Some((beside(path, &format!("replaced-{now}"))?, lock)))
}

/// Puts a backup that was checked in the place of the node's folder; what was there goes to `aside`. It blocks.
///
/// # Errors
/// When something cannot be written; what was there stays then.
pub(crate) fn put_back(
    backup: &Path,
    manifest: &Manifest,
    node: &NodeFolder,
    aside: Option<&Path>,
) -> Result<Restored> {
    let now_ms = SystemClock.now_ms();
    // A clock that was set back must not give an epoch that was there.
    let known = NodeFolder::new(backup.to_owned()).epoch()?;
    let known = known.max(node.epoch()?);
    ensure!(
        known < LATEST_EPOCH,
        "the epoch {known} in {} is no moment: it was not written by a restore",
        backup.display()
    );
    files::apart(backup, node.path())?;
    let restored = Restored {
        epoch: now_ms.max(known + 1),
        made_at: manifest.made_at,
    };
    let staged = format!("restoring-{}", in_a_name(SystemClock.now()));
    let staged = NodeFolder::new(beside(node.path(), &staged)?);
    files::private_folder(staged.path())?;
    for entry in &manifest.files {
        let (from, to) = (backup.join(&entry.path), staged.path().join(&entry.path));
        match entry.path.starts_with(OBJECTS) {
            true => files::link(&from, &to)?,
            false => files::copy(&from, &to)?,
        }
    }
    note(&staged, &restored).context("note that the folder was restored")?;
    if let Some(aside) = aside {
        fs::rename(node.path(), aside).with_context(|| {
            let (from, to) = (node.path().display(), aside.display());
            format!("move {from} to {to}: do that by hand where it is a disk of its own")
        })?;
    }
    fs::rename(staged.path(), node.path()).with_context(|| {
        let (from, to) = (staged.path().display(), node.path().display());
        format!("move {from}, which is whole, to {to}")
    })?;
    Ok(restored)
}

fn note(folder: &NodeFolder, restored: &Restored) -> Result<()> {
    let text = serde_json::to_vec_pretty(restored)?;
    let mut file = File::create(folder.restored())?;
    file.write_all(&text)?;
    file.sync_all()?;
    Ok(File::open(folder.path())?.sync_all()?)
}

/// A folder beside another, with a longer name.
fn beside(folder: &Path, suffix: &str) -> Result<PathBuf> {
    let name = folder
        .file_name()
        .with_context(|| format!("{} has no name: name another", folder.display()))?;
    let mut name = name.to_owned();
    name.push(format!(".{suffix}"));
    Ok(folder.with_file_name(name))
}
