//! Files of this machine: what they hold, and what is said of those that cannot be read.
//!
//! A pipe, a device or a file of the system has no end that is known before: only ordinary files are read, as far as
//! they go when they are opened.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use oc_kernel::Digest;
use sha2::{Digest as _, Sha256};

use super::{CommandError, progress};

/// Most bytes of a text that a person names.
const MOST_TEXT: u64 = 64 << 20;

/// An ordinary file and its length, judged by what was opened and not by its name.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    // Else opening a pipe waits for whoever writes to it.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other(
            "it is a pipe or a device, no ordinary file",
        ));
    }
    Ok((file, metadata.len()))
}

/// What a text file holds.
///
/// # Errors
/// When it cannot be read, is too large for a text or none.
pub(super) fn text(path: &Path) -> Result<String, CommandError> {
    let read = || {
        let (file, length) = open(path)?;
        if length > MOST_TEXT {
            return Err(io::Error::other("it is too large for a text"));
        }
        let mut text = String::new();
        file.take(MOST_TEXT).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| unreadable(path, &error))
}

/// SHA-256 and length of a file, however large, off the threads that wait.
///
/// # Errors
/// When it cannot be read, or does not end where it says.
pub(super) async fn digest(path: &Path) -> io::Result<(Digest, u64)> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || digest_now(&path));
    read.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn digest_now(path: &Path) -> io::Result<(Digest, u64)> {
    let (file, length) = open(path)?;
    let mut file = file.take(length.saturating_add(1));
    let mut hash = Sha256::new();
    let mut part = vec![0; 256 * 1024];
    let mut bytes = 0;
    let bar = progress::bytes(length, &format!("reading {}", path.display()));
    loop {
        let read = file.read(&mut part)?;
        bar.inc(read as u64);
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(&part[..read]);
    }
    bar.finish_and_clear();
    // As files of /proc do, which say that they have nothing.
    if bytes != length {
        return Err(io::Error::other(
            "it does not end where it says: it is written to, or no ordinary file",
        ));
    }
    Ok((Digest::from_bytes(hash.finalize().into()), length))
}

/// That a file or folder cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::input(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_digest_is_that_of_the_whole_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (digest, length) = digest(file.path()).await.unwrap();
        assert_eq!((digest.to_string().as_str(), length), (known, 3));
    }

    #[tokio::test]
    async fn only_ordinary_files_are_read() {
        let base = tempfile::tempdir().unwrap();
        let pipe = base.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, said) in [
            (pipe.as_path(), "pipe"),
            (Path::new("/dev/zero"), "device"),
            (base.path(), "folder"),
            (Path::new("/proc/self/environ"), "ordinary"),
            (&base.path().join("nowhere"), "No such file"),
        ] {
            let refused = digest(path).await.unwrap_err().to_string();
            assert!(refused.contains(said), "{}: {refused}", path.display());
            if said != "ordinary" {
                text(path).unwrap_err();
            }
        }
    }
}
