//! What a backup holds: whose it is, of which moment, and every file with its digest.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use oc_kernel::{Digest, OrgId};
use oc_trust::{KeyHistory, SignedKeySet};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files;

/// The file in the backup.
const NAME: &str = "manifest.json";
/// The form of a backup; raised when an older program could not put it back.
const FORMAT: &str = "opencloud-backup-v1";

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    /// Whose it is.
    pub(crate) org_id: OrgId,
    /// The moment that its documents are of.
    pub(crate) made_at: Timestamp,
    /// The version of the program that made it.
    program: String,
    /// Every file beside this one.
    pub(crate) files: Vec<Entry>,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its path in the backup and in the node's folder.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
    sha256: Digest,
}

impl Manifest {
    /// Describes the files of a backup that was just made.
    pub(super) fn of(folder: &Path, org_id: OrgId, made_at: Timestamp) -> Result<Self> {
        let entry = |path: String| {
            let (bytes, sha256) = digest(&folder.join(&path))?;
            Ok(Entry {
                path,
                bytes,
                sha256,
            })
        };
        let files = files::files_below(folder)?.into_iter().map(entry);
        Ok(Self {
            format: FORMAT.to_owned(),
            org_id,
            made_at,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            files: files.collect::<Result<_>>()?,
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let (path, unfinished) = (folder.join(NAME), folder.join("manifest.new"));
        let text = serde_json::to_vec_pretty(self)?;
        let written = fs::write(&unfinished, text)
            .and_then(|()| File::open(&unfinished)?.sync_all())
            .and_then(|()| fs::rename(&unfinished, &path))
            .and_then(|()| File::open(folder)?.sync_all());
        written.with_context(|| format!("write {}", path.display()))
    }

    /// Reads the manifest of a backup and checks every file against it. It blocks.
    ///
    /// # Errors
    /// When the folder is no backup, is of a newer form, or is not whole.
    pub(crate) fn check(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "{} is no whole backup: it has no {NAME}, which is written last",
                folder.display()
            ),
            text => text.with_context(|| format!("read {}", path.display()))?,
        };
        let about: serde_json::Value =
            serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
        ensure!(
            about["format"] == FORMAT,
            "this program puts back {FORMAT}, this is {}: use the newer program",
            about["format"]
        );
        let manifest: Self =
            serde_json::from_value(about).with_context(|| format!("read {}", path.display()))?;
        for entry in &manifest.files {
            entry.check(folder)?;
        }
        let found = organisation(&folder.join("keys"))?;
        ensure!(
            found == manifest.org_id,
            "the keys in the backup are those of {found}, not of {}",
            manifest.org_id
        );
        Ok(manifest)
    }

    /// The sum of the sizes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }
}

impl Entry {
    fn check(&self, folder: &Path) -> Result<()> {
        let below = Path::new(&self.path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        ensure!(below, "`{}` is no path in a backup", self.path);
        let path = folder.join(&self.path);
        // Before anything is read: a pipe or a device has no end, and a link may lead to either.
        let plain = path.symlink_metadata().is_ok_and(|about| about.is_file());
        let here = path.canonicalize().ok().zip(folder.canonicalize().ok());
        let here = here.is_some_and(|(path, folder)| path == folder.join(&self.path));
        ensure!(
            plain && here,
            "{} is no file of the backup: nothing was restored",
            path.display()
        );
        let (bytes, sha256) = digest(&path)?;
        ensure!(
            (bytes, sha256) == (self.bytes, self.sha256),
            "{} is not the file that was backed up: nothing was restored",
            path.display()
        );
        Ok(())
    }
}

/// Whose keys lie in a folder.
pub(super) fn organisation(keys: &Path) -> Result<OrgId> {
    let path = keys.join("keysets.json");
    let read = || -> Result<OrgId> {
        let texts: Vec<String> = serde_json::from_slice(&fs::read(&path)?)?;
        let first = texts.first().context("no KeySet is in it")?;
        let first = SignedKeySet::open(&STANDARD.decode(first)?)?;
        Ok(KeyHistory::start(first)?.org())
    };
    read().with_context(|| format!("{} does not say whose node this is", path.display()))
}

fn digest(path: &Path) -> Result<(u64, Digest)> {
    let read = || -> std::io::Result<(u64, Digest)> {
        let mut file = File::open(path)?;
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        let mut part = vec![0; 1 << 18];
        loop {
            match file.read(&mut part)? {
                0 => return Ok((bytes, Digest::from_bytes(hash.finalize().into()))),
                read => {
                    hash.update(&part[..read]);
                    bytes += read as u64;
                }
            }
        }
    };
    read().with_context(|| format!("read {}", path.display()))
}
