//! Files of this machine: what they hold, and what is said of those that cannot be read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use oc_kernel::Digest;
use sha2::{Digest as _, Sha256};

use super::CommandError;

/// SHA-256 of a file, however large, off the threads that wait.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn digest(path: &Path) -> io::Result<Digest> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || digest_now(&path));
    read.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn digest_now(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            break;
        }
        hash.update(&part[..read]);
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
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
        assert_eq!(digest(file.path()).await.unwrap().to_string(), known);
    }
}
