//! Copies of a node's folder: made while the node runs, checked, and put back.

mod files;
mod manifest;
mod restore;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use oc_kernel::{Clock as _, SystemClock};

use crate::folder::NodeFolder;

pub(crate) use manifest::Manifest;
pub(crate) use restore::{aside_of, put_back};

/// The node's settings in a backup and in the folder it is put back into.
pub(crate) const SETTINGS: &str = "node.toml";

/// Copies what a node keeps into `target`, a folder that does not exist or is empty: documents as they all stand at one
/// moment, objects, keys, and the settings file where one is named. The manifest is written last: a folder without one
/// is no backup. It blocks.
///
/// # Errors
/// When something cannot be read or written; the text names it.
pub(crate) fn make(
    node: &NodeFolder,
    settings: Option<&Path>,
    target: &Path,
) -> anyhow::Result<Manifest> {
    let organisation = manifest::organisation(&node.keys())?;
    files::apart(target, node.path())?;
    files::private_folder(target)?;
    let copy = NodeFolder::new(target.to_owned());
    // An object that comes after the first pass is known to the documents at the latest in the second one.
    files::link_tree(&node.all_objects(), &copy.all_objects())?;
    let made_at = SystemClock.now();
    snapshot(node, &copy)?;
    files::link_tree(&node.all_objects(), &copy.all_objects())?;
    files::copy_tree(&node.keys(), &copy.keys())?;
    for (from, to) in [
        (node.admin_token(), copy.admin_token()),
        (node.restored(), copy.restored()),
    ] {
        if from.exists() {
            files::copy(&from, &to)?;
        }
    }
    if let Some(settings) = settings {
        files::copy(settings, &target.join(SETTINGS))?;
    }
    let manifest = Manifest::of(target, organisation, made_at)?;
    manifest.write(target)?;
    Ok(manifest)
}

fn snapshot(node: &NodeFolder, copy: &NodeFolder) -> anyhow::Result<()> {
    files::private_folder(&copy.stores())?;
    let mut stores: Vec<(PathBuf, PathBuf)> = Vec::new();
    for name in files::names_in(&node.stores())? {
        if name.ends_with(".db") {
            stores.push((node.stores().join(&name), copy.stores().join(&name)));
        }
    }
    oc_store::snapshot(&stores).context("copy the documents")?;
    for (_, store) in &stores {
        files::close(store)?;
    }
    Ok(())
}

/// A moment in the name of a folder.
fn in_a_name(moment: Timestamp) -> String {
    moment.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests;
