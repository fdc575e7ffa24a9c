//! Bytes on their way, in files of the spool: appended to, checked, and handed on.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use crate::error::Error;
use crate::ports::Stream;
use oc_kernel::Digest;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// A file of the spool; removed when it is dropped.
pub(super) struct SpoolFile(PathBuf);

impl SpoolFile {
    /// A fresh path in the spool.
    pub(super) fn new(spool: &Path) -> Self {
        Self(spool.join(format!("{}.tmp", uuid::Uuid::new_v4().simple())))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // One that was never written, or is gone, is what is wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a stream into a file, `limit` bytes at most; its length and digest. `beyond` says what it means that more
/// have come.
pub(super) async fn take_in(
    path: &Path,
    bytes: &mut Stream,
    limit: u64,
    beyond: impl FnOnce(u64) -> Error,
) -> Result<(u64, Digest), Error> {
    let mut file = File::create(path)
        .await
        .map_err(|error| trouble(path, &error))?;
    let mut hash = Sha256::new();
    let mut length = 0_u64;
    while let Some(part) = bytes.next().await {
        let part = part.map_err(cut_off)?;
        length += part.len() as u64;
        if length > limit {
            return Err(beyond(length));
        }
        hash.update(&part);
        file.write_all(&part)
            .await
            .map_err(|error| trouble(path, &error))?;
    }
    file.flush().await.map_err(|error| trouble(path, &error))?;
    Ok((length, Digest::from_bytes(hash.finalize().into())))
}

/// Appends a stream to a file that has `offset` bytes, up to `length` in all; how many it has then. What has
/// come before the stream broke off is kept.
pub(super) async fn append(
    path: &Path,
    offset: u64,
    length: u64,
    bytes: &mut Stream,
) -> Result<u64, Error> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .await;
    let mut file = file.map_err(|error| trouble(path, &error))?;
    let mut received = offset;
    while let Some(part) = bytes.next().await {
        let Ok(part) = part else { break };
        received += part.len() as u64;
        if received > length {
            return Err(Error::Invalid {
                field: "length",
                reason: format!("{length} bytes were announced and more came"),
            });
        }
        file.write_all(&part)
            .await
            .map_err(|error| trouble(path, &error))?;
    }
    file.sync_data()
        .await
        .map_err(|error| trouble(path, &error))?;
    Ok(received)
}

/// How many bytes a file has; zero where there is none.
pub(super) async fn length_of(path: &Path) -> u64 {
    fs::metadata(path).await.map_or(0, |about| about.len())
}

/// Removes a file; one that is not there is fine.
pub(super) async fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(trouble(path, &error)),
        _ => Ok(()),
    }
}

/// The bytes of a file from `offset` on.
pub(super) async fn read_from(path: &Path, offset: u64) -> Result<Stream, Error> {
    let mut file = File::open(path)
        .await
        .map_err(|error| trouble(path, &error))?;
    file.seek(std::io::SeekFrom::Start(offset))
        .await
        .map_err(|error| trouble(path, &error))?;
    Ok(ReaderStream::with_capacity(file, CHUNK).boxed())
}

/// The digest of a file.
pub(super) async fn digest_of(path: &Path) -> Result<Digest, Error> {
    let mut file = File::open(path)
        .await
        .map_err(|error| trouble(path, &error))?;
    let mut hash = Sha256::new();
    let mut part = vec![0; CHUNK];
    loop {
        let read = file
            .read(&mut part)
            .await
            .map_err(|error| trouble(path, &error))?;
        if read == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        hash.update(&part[..read]);
    }
}

/// A stream of a store as one of files.
pub(super) fn from_store(
    stream: futures::stream::BoxStream<'static, Result<Bytes, oc_objects::ObjectError>>,
) -> Stream {
    stream.map_err(std::io::Error::other).boxed()
}

fn trouble(path: &Path, error: &std::io::Error) -> Error {
    tracing::error!(path = %path.display(), %error, "a file of the spool fails");
    Error::Unavailable("the node cannot keep bytes on their way: is its disk full?".to_owned())
}

fn cut_off(error: std::io::Error) -> Error {
    Error::Malformed {
        field: "body",
        reason: format!("it broke off: {error}"),
    }
}
