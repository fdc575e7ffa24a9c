//! The folder of a node: which files lie where. The command line finds the node and the administrator's
//! token here.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A node's folder.
#[derive(Debug, Clone)]
pub(crate) struct NodeFolder(PathBuf);

/// That a folder was restored from a backup, in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restored {
    /// What the node signs carries it from then on. Later than that of any restore before: ms since the Unix epoch.
    pub(crate) epoch: u64,
    /// The moment that the backup is of.
    pub(crate) made_at: Timestamp,
}

impl NodeFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, readable by its owner only; closes one that was there and open to others, because keys,
    /// objects and books lie in it.
    pub(crate) fn create(&self) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700))
    }

    /// Takes the folder for this process; the lock ends with the file's handle.
    pub(crate) fn lock(&self) -> io::Result<fs::File> {
        let path = self.0.join("lock");
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    pub(crate) fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    pub(crate) fn stores(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(crate) fn store(&self, service: &str) -> PathBuf {
        self.stores().join(format!("{service}.db"))
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    pub(crate) fn all_objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    pub(crate) fn objects(&self, service: &str) -> PathBuf {
        self.all_objects().join(service)
    }

    /// Where [`Restored`] is noted.
    pub(crate) fn restored(&self) -> PathBuf {
        self.0.join("restored")
    }

    /// The epoch of the last restore; 0 where there was none.
    pub(crate) fn epoch(&self) -> io::Result<u64> {
        match fs::read(self.restored()) {
            Ok(text) => {
                let restored: Restored = serde_json::from_slice(&text)?;
                Ok(restored.epoch)
            }
            // Where no folder can be, whoever makes it says so.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    fn address_file(&self) -> PathBuf {
        self.0.join("address")
    }

    /// The address of the node that runs on this folder.
    pub(crate) fn address(&self) -> io::Result<String> {
        Ok(fs::read_to_string(self.address_file())?.trim().to_owned())
    }

    /// Says where the node can be reached. Put in place whole: a reader who looks meanwhile never sees half of it.
    pub(crate) fn write_address(&self, address: &str) -> io::Result<()> {
        let unfinished = self.0.join("address.new");
        fs::write(&unfinished, format!("{address}\n"))?;
        fs::rename(unfinished, self.address_file())
    }

    /// Says that no node runs here any more.
    pub(crate) fn forget_address(&self) -> io::Result<()> {
        fs::remove_file(self.address_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_open_to_others_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        NodeFolder::new(folder.path().to_owned()).create().unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_reader_never_sees_half_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let folder = NodeFolder::new(folder.path().to_owned());
        folder.write_address("http://127.0.0.1:1").unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..2_000 {
                    folder.write_address("http://127.0.0.1:1").unwrap();
                }
            });
            while !writer.is_finished() {
                assert_eq!(folder.address().unwrap(), "http://127.0.0.1:1");
            }
        });
    }

    #[test]
    fn a_folder_belongs_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let folder = NodeFolder::new(folder.path().to_owned());
        let held = folder.lock().unwrap();
        assert_eq!(
            folder.lock().unwrap_err().kind(),
            io::ErrorKind::ResourceBusy
        );
        drop(held);
        folder.lock().unwrap();
    }
}
