//! The embedded driver: a folder, through `object_store`.
//!
//! An object lies at `<folder>/<key>`, so that a person can look at it. Bytes come in under
//! `.incoming/`, are synced, and get their name by a hard link that fails where the name is taken. The
//! digest is kept beside it under `.sha256/`; where a crash left none, it is computed again.
//! Keys cannot begin with a dot, so neither place can be reached through one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error as DriverError, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutPayload,
};
use oc_kernel::{Digest, ObjectKey, Page, PageRequest, PageToken};
use sha2::{Digest as _, Sha256};
use tokio::sync::RwLock;

use crate::{Body, Deleted, Expected, ObjectBody, ObjectError, ObjectInfo, Objects};

const INCOMING: &str = ".incoming";
const DIGESTS: &str = ".sha256";
/// Bytes handed to the disk at once.
const PART: usize = 1 << 20;
/// Bytes that are never given away, so that stores and logs on the same disk can go on.
const RESERVE: u64 = 64 << 20;

/// [`Objects`] in a folder. Only one process may use it.
#[derive(Debug)]
pub struct FolderObjects {
    folder: PathBuf,
    /// Reads, and writes objects.
    store: Arc<LocalFileSystem>,
    /// Removes objects and the folders that are empty then, and writes digests, which are computed
    /// again where a crash lost one: neither need be on disk at once.
    unsynced: Arc<LocalFileSystem>,
    /// Held alone by who removes: a folder that became empty must not go while a name is given in it.
    naming: RwLock<()>,
}

impl FolderObjects {
    /// Opens the folder, creating it where it is missing, and clears what a crash left half written.
    ///
    /// # Errors
    /// [`ObjectError::Folder`].
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self, ObjectError> {
        let folder = folder.into();
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(folder));
        opening.await.map_err(driver)?
    }

    fn open_blocking(folder: PathBuf) -> Result<Self, ObjectError> {
        let prepare =
            || -> Result<[LocalFileSystem; 2], Box<dyn std::error::Error + Send + Sync>> {
                let incoming = folder.join(INCOMING);
                if incoming.exists() {
                    std::fs::remove_dir_all(&incoming)?;
                }
                std::fs::create_dir_all(&incoming)?;
                std::fs::create_dir_all(folder.join(DIGESTS))?;
                let open = || LocalFileSystem::new_with_prefix(&folder);
                // What comes in is flushed together with its folder, which must therefore stay.
                let store = open()?.with_fsync(true);
                Ok([store, open()?.with_automatic_cleanup(true)])
            };
        match prepare() {
            Ok([store, unsynced]) => Ok(Self {
                folder,
                store: Arc::new(store),
                unsynced: Arc::new(unsynced),
                naming: RwLock::default(),
            }),
            Err(source) => Err(ObjectError::Folder {
                path: folder,
                source,
            }),
        }
    }

    /// The file of an object, for programs that read it in place; it must never be written to.
    pub fn file_of(&self, key: &ObjectKey) -> PathBuf {
        self.folder.join(key.as_str())
    }

    async fn check_space(&self, expected: Expected) -> Result<(), ObjectError> {
        let needed = expected.length.unwrap_or(0);
        match self.free_space().await? {
            Some(free) if needed > free => Err(ObjectError::NoSpace { needed, free }),
            _ => Ok(()),
        }
    }

    async fn check_vacant(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        match self.store.head(&at(key)).await {
            Ok(_) => Err(ObjectError::AlreadyExists(key.clone())),
            Err(DriverError::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(key, error)),
        }
    }

    /// The digest beside the object, or where there is none, of the object.
    async fn digest_of(&self, key: &ObjectKey) -> Result<Digest, ObjectError> {
        if let Ok(found) = self.store.get(&beside(key)).await {
            let text = found.bytes().await.map_err(|error| failed(key, error))?;
            let digest = std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok());
            if let Some(digest) = digest {
                return Ok(digest);
            }
        }
        let found = self.store.get(&at(key)).await;
        let mut parts = found.map_err(|error| failed(key, error))?.into_stream();
        let mut hash = Sha256::new();
        while let Some(part) = parts.try_next().await.map_err(|e| failed(key, e))? {
            hash.update(&part);
        }
        let digest = Digest::from_bytes(hash.finalize().into());
        self.note_digest(key, digest).await?;
        Ok(digest)
    }

    async fn note_digest(&self, key: &ObjectKey, digest: Digest) -> Result<(), ObjectError> {
        let text = PutPayload::from(digest.to_string());
        let noted = self.unsynced.put(&beside(key), text).await;
        noted.map(drop).map_err(|error| failed(key, error))
    }

    async fn info(&self, meta: ObjectMeta) -> Result<ObjectInfo, ObjectError> {
        let key: ObjectKey = meta.location.as_ref().parse().map_err(driver)?;
        let sha256 = self.digest_of(&key).await?;
        let modified = meta.last_modified.timestamp_micros();
        Ok(ObjectInfo {
            key,
            length: meta.size,
            sha256,
            modified: Timestamp::from_microsecond(modified).map_err(driver)?,
        })
    }

    /// Every object below the prefix.
    async fn below(&self, prefix: Option<&ObjectKey>) -> Result<Vec<ObjectMeta>, ObjectError> {
        let prefix = prefix.map(at);
        let found = self.store.list(prefix.as_ref());
        found
            .try_filter(|meta| {
                // `.incoming` and `.sha256` are no keys.
                let ours = meta.location.as_ref().parse::<ObjectKey>().is_ok();
                std::future::ready(ours)
            })
            .try_collect()
            .await
            .map_err(driver)
    }
}

#[async_trait]
impl Objects for FolderObjects {
    async fn put(
        &self,
        key: &ObjectKey,
        body: Body,
        expected: Expected,
    ) -> Result<ObjectInfo, ObjectError> {
        self.check_vacant(key).await?;
        self.check_space(expected).await?;
        let incoming = Path::from_iter([INCOMING, &uuid::Uuid::new_v4().simple().to_string()]);
        // Dropped before its completion, an upload removes its file.
        let mut upload = self
            .store
            .put_multipart(&incoming)
            .await
            .map_err(|error| failed(key, error))?;
        let received = receive(key, body, expected, &mut *upload).await;
        let (length, sha256) = match received {
            Ok(received) => received,
            Err(error) => {
                // The error that counts is the one before.
                let _ = upload.abort().await;
                return Err(error);
            }
        };
        upload.complete().await.map_err(|e| failed(key, e))?;
        let naming = self.naming.read().await;
        let named = self.store.rename_if_not_exists(&incoming, &at(key)).await;
        drop(naming);
        if let Err(error) = named {
            // Left over, it would be cleared at the next start.
            let _ = self.store.delete(&incoming).await;
            return Err(failed(key, error));
        }
        self.note_digest(key, sha256).await?;
        let meta = self.store.head(&at(key)).await;
        let info = self.info(meta.map_err(|e| failed(key, e))?).await?;
        debug_assert_eq!((info.length, info.sha256), (length, sha256));
        Ok(info)
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError> {
        let info = self.stat(key).await?;
        let range = range.unwrap_or(0..info.length);
        let range = range.start..range.end.min(info.length);
        if range.start >= range.end && info.length > 0 {
            return Err(ObjectError::Range {
                key: key.clone(),
                length: info.length,
            });
        }
        let stream = match info.length {
            0 => futures::stream::empty().boxed(),
            _ => {
                let options = GetOptions {
                    range: Some(GetRange::Bounded(range.clone())),
                    ..GetOptions::default()
                };
                let found = self.store.get_opts(&at(key), options).await;
                let key = key.clone();
                found
                    .map_err(|error| failed(&key, error))?
                    .into_stream()
                    .map_err(move |error| failed(&key, error))
                    .boxed()
            }
        };
        Ok(ObjectBody {
            info,
            range,
            stream,
        })
    }

    async fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, ObjectError> {
        let found = self.store.head(&at(key)).await;
        self.info(found.map_err(|error| failed(key, error))?).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<bool, ObjectError> {
        let _naming = self.naming.write().await;
        // The digest first: whoever writes the key again writes it only after the object was gone.
        match self.unsynced.delete(&beside(key)).await {
            Ok(()) | Err(DriverError::NotFound { .. }) => {}
            Err(error) => return Err(failed(key, error)),
        }
        match self.unsynced.delete(&at(key)).await {
            Ok(()) => Ok(true),
            Err(DriverError::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(key, error)),
        }
    }

    async fn list(
        &self,
        prefix: Option<&ObjectKey>,
        page: &PageRequest,
    ) -> Result<Page<ObjectInfo>, ObjectError> {
        let after = page.token.as_ref().map(PageToken::key).transpose()?;
        let limit = page.limit();
        let mut first: BTreeMap<String, ObjectMeta> = BTreeMap::new();
        for meta in self.below(prefix).await? {
            let key = meta.location.as_ref().to_owned();
            if after.as_ref().is_none_or(|after| key > *after) {
                first.insert(key, meta);
            }
            if first.len() > limit + 1 {
                first.pop_last();
            }
        }
        let more = first.len() > limit;
        let mut items = Vec::with_capacity(limit.min(first.len()));
        let mut last = None;
        for (key, meta) in first.into_iter().take(limit) {
            last = Some(key);
            match self.info(meta).await {
                Ok(info) => items.push(info),
                // Deleted since it was listed.
                Err(ObjectError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let next = last.filter(|_| more).map(|key| PageToken::after(&key));
        Ok(Page { items, next })
    }

    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<Deleted, ObjectError> {
        let mut deleted = Deleted::default();
        for meta in self.below(Some(prefix)).await? {
            let key: ObjectKey = meta.location.as_ref().parse().map_err(driver)?;
            if self.delete(&key).await? {
                deleted.objects += 1;
                deleted.bytes += meta.size;
            }
        }
        Ok(deleted)
    }

    async fn free_space(&self) -> Result<Option<u64>, ObjectError> {
        let folder = self.folder.clone();
        let asking = tokio::task::spawn_blocking(move || available(&folder));
        let free = asking.await.map_err(driver)?.map_err(driver)?;
        Ok(Some(free.saturating_sub(RESERVE)))
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        self.free_space().await.map(drop)
    }
}

fn available(folder: &FsPath) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Writes the body and compares it with what was announced.
async fn receive(
    key: &ObjectKey,
    mut body: Body,
    expected: Expected,
    upload: &mut dyn MultipartUpload,
) -> Result<(u64, Digest), ObjectError> {
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut parts: Vec<Bytes> = Vec::new();
    let mut waiting = 0;
    while let Some(part) = body.next().await {
        let part = part.map_err(|source| ObjectError::CutOff {
            key: key.clone(),
            source,
        })?;
        hash.update(&part);
        length += part.len() as u64;
        waiting += part.len();
        // More than announced is seen at once, fewer only at the end.
        check_length(key, expected, length, |announced| length > announced)?;
        parts.push(part);
        if waiting >= PART {
            waiting = 0;
            let payload = PutPayload::from_iter(std::mem::take(&mut parts));
            upload.put_part(payload).await.map_err(|e| failed(key, e))?;
        }
    }
    check_length(key, expected, length, |announced| length != announced)?;
    let found = Digest::from_bytes(hash.finalize().into());
    if let Some(announced) = expected.sha256.filter(|announced| *announced != found) {
        return Err(ObjectError::WrongDigest {
            key: key.clone(),
            announced,
            found,
        });
    }
    let payload = PutPayload::from_iter(parts);
    upload.put_part(payload).await.map_err(|e| failed(key, e))?;
    Ok((length, found))
}

fn check_length(
    key: &ObjectKey,
    expected: Expected,
    found: u64,
    wrong: impl Fn(u64) -> bool,
) -> Result<(), ObjectError> {
    match expected.length {
        Some(announced) if wrong(announced) => Err(ObjectError::WrongLength {
            key: key.clone(),
            announced,
            found,
        }),
        _ => Ok(()),
    }
}

fn at(key: &ObjectKey) -> Path {
    Path::from_iter(key.as_str().split('/'))
}

fn beside(key: &ObjectKey) -> Path {
    Path::from_iter(std::iter::once(DIGESTS).chain(key.as_str().split('/')))
}

fn failed(key: &ObjectKey, error: DriverError) -> ObjectError {
    match &error {
        DriverError::NotFound { .. } => ObjectError::NotFound(key.clone()),
        DriverError::AlreadyExists { .. } => ObjectError::AlreadyExists(key.clone()),
        _ if is_nested(&error) => ObjectError::Nested(key.clone()),
        _ => driver(error),
    }
}

/// True when a file stands where a folder is needed, or the other way round.
fn is_nested(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory};
    let mut cause = Some(error);
    while let Some(current) = cause {
        let io = current.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| matches!(io.kind(), IsADirectory | NotADirectory)) {
            return true;
        }
        cause = current.source();
    }
    false
}

fn driver(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ObjectError {
    ObjectError::Driver(error.into())
}

#[cfg(test)]
mod tests;
