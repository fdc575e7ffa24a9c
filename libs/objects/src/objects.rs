//! The trait every driver implements.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use oc_kernel::{Digest, ObjectKey, Page, PageRequest};

use crate::ObjectError;

/// Bytes on their way in.
pub type Body = BoxStream<'static, std::io::Result<Bytes>>;

/// A small body in one piece.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    futures::stream::iter([Ok(bytes.into())]).boxed()
}

/// What was announced about an object before its bytes came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Exact length in bytes.
    pub length: Option<u64>,
    /// Digest of the whole.
    pub sha256: Option<Digest>,
}

/// What is known about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Digest,
    /// When it was written.
    pub modified: Timestamp,
}

/// An object, or a part of it, on its way out.
pub struct ObjectBody {
    /// The whole object.
    pub info: ObjectInfo,
    /// The bytes that come, within the object.
    pub range: Range<u64>,
    /// The bytes.
    pub stream: BoxStream<'static, Result<Bytes, ObjectError>>,
}

impl std::fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectBody")
            .field("info", &self.info)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl ObjectBody {
    /// Collects the bytes.
    ///
    /// # Errors
    /// [`ObjectError::TooLarge`] beyond `limit` bytes, or the driver's.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes, ObjectError> {
        let too_large = || ObjectError::TooLarge {
            key: self.info.key.clone(),
            limit,
        };
        if self.range.end - self.range.start > limit {
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        while let Some(part) = self.stream.next().await {
            whole.extend_from_slice(&part?);
        }
        Ok(whole.freeze())
    }
}

/// What a deletion by prefix removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Objects by key, written once.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug + 'static {
    /// Writes an object. It appears under its key only when all of it has come as announced and is
    /// durable; in every other case nothing is left. A dropped call leaves nothing either.
    async fn put(
        &self,
        key: &ObjectKey,
        body: Body,
        expected: Expected,
    ) -> Result<ObjectInfo, ObjectError>;

    /// Opens an object, or the part of it that `range` covers; a range may reach beyond the end, but
    /// must begin within the object.
    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, ObjectError>;

    /// What is known about an object.
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, ObjectError>;

    /// Removes an object; false when there was none.
    async fn delete(&self, key: &ObjectKey) -> Result<bool, ObjectError>;

    /// One page of the objects below `prefix`, or of all, in key order.
    async fn list(
        &self,
        prefix: Option<&ObjectKey>,
        page: &PageRequest,
    ) -> Result<Page<ObjectInfo>, ObjectError>;

    /// Removes everything below `prefix`.
    async fn delete_prefix(&self, prefix: &ObjectKey) -> Result<Deleted, ObjectError>;

    /// Bytes that may still be written; none when the driver cannot know.
    async fn free_space(&self) -> Result<Option<u64>, ObjectError>;

    /// Succeeds while the store answers.
    async fn ping(&self) -> Result<(), ObjectError>;
}
