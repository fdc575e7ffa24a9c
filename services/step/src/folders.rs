//! Where an attempt works.

use std::path::{Path, PathBuf};

/// The folders below an attempt's own.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The attempt's own folder.
    pub root: PathBuf,
    /// Fetched inputs, `<name>/<basename>`.
    pub inputs: PathBuf,
    /// Where tools work.
    pub work: PathBuf,
    /// Where the fragment's outputs end up.
    pub outputs: PathBuf,
}

impl Folders {
    /// Lays them out.
    ///
    /// # Errors
    /// When the attempt's folder is missing or one of them exists already.
    pub fn create(root: &Path) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        let folders = Self {
            inputs: root.join("inputs"),
            work: root.join("work"),
            outputs: root.join("outputs"),
            root,
        };
        for folder in [&folders.inputs, &folders.work, &folders.outputs] {
            std::fs::create_dir(folder)?;
        }
        Ok(folders)
    }
}
