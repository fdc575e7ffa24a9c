//! What a running attempt may do with objects: read its own inputs, write its own outputs. The routes
//! it calls and the runner behind them know this trait; who holds the bytes stays hidden from them.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use oc_kernel::{AttemptId, Classify, Code, Digest, FragmentId, Kind, Name, ObjectKey};

/// The bytes of an object as they come.
pub type ByteStream = BoxStream<'static, Result<Bytes, StepError>>;

/// The attempt that a route names; its macaroon must be for the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepAttempt {
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
}

/// The objects of running attempts, opened by an attempt's macaroon.
///
/// Every call checks the macaroon, that the attempt still runs and that its grant's generation is
/// still the one it was admitted under; a stream checks again every 5 s and ends with an error.
#[async_trait]
pub trait StepObjects: Send + Sync + 'static {
    /// Reads the input with this name from `offset` on. The reader checks the digest of the whole.
    ///
    /// # Errors
    /// When the macaroon does not open this input, or its owner cannot be reached.
    async fn read_input(
        &self,
        attempt: StepAttempt,
        macaroon: &str,
        name: &Name,
        offset: u64,
    ) -> Result<InputStream, StepError>;

    /// Announces an output, relative to the attempt's prefix. The same announcement again gets the same
    /// answer; another length or digest under the same name is refused.
    ///
    /// # Errors
    /// When the macaroon does not open the prefix, or a limit is reached.
    async fn request_upload(
        &self,
        attempt: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
        length: u64,
        sha256: Digest,
    ) -> Result<UploadState, StepError>;

    /// Sends the bytes of an announced output; it is stored only when length and digest are as announced.
    ///
    /// # Errors
    /// When the macaroon does not open it, or the bytes are not those announced.
    async fn upload(
        &self,
        attempt: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
        body: ByteStream,
    ) -> Result<UploadState, StepError>;
}

/// An input that is being read.
pub struct InputStream {
    /// Length of the whole object in bytes.
    pub length: u64,
    /// Digest of the whole object.
    pub sha256: Digest,
    /// The bytes from the offset on.
    pub bytes: ByteStream,
}

/// How far an announced output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// Its bytes are wanted.
    Wanted,
    /// It is stored.
    Stored,
}

/// Why an attempt does not get at an object.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A macaroon that cannot be read, is not ours, was changed, or is of an attempt that is not here any more;
    /// the text says which.
    #[error("{0}")]
    Unauthenticated(String),
    /// A good macaroon that does not open this.
    #[error("the macaroon does not open this: {0}")]
    Forbidden(String),
    /// The attempt ended, or its grant was revoked or changed.
    #[error("the authority of this attempt has ended: {0}")]
    Ended(String),
    /// No such input or output; the text names it.
    #[error("{0}")]
    NotFound(String),
    /// The same name with another length or digest, or bytes that do not match.
    #[error("{0}")]
    Conflict(String),
    /// A limit is reached, and waiting gives nothing back; the text has the number.
    #[error("{0}")]
    OverLimit(String),
    /// A storage has no room for it; the text has the numbers.
    #[error("{0}")]
    Full(String),
    /// Too much at a time: it is worth another try.
    #[error("{0}")]
    Busy(String),
    /// The owner of the object cannot be reached.
    #[error("cannot reach the owner of the object: {0}")]
    Unavailable(String),
    /// The store failed.
    #[error("the object store failed: {0}")]
    Internal(String),
}

impl Classify for StepError {
    fn kind(&self) -> Kind {
        match self {
            StepError::Unauthenticated(_) => Kind::Unauthenticated,
            StepError::Forbidden(_) | StepError::Ended(_) => Kind::Forbidden,
            StepError::NotFound(_) => Kind::NotFound,
            StepError::Conflict(_) => Kind::Conflict,
            // A runner tries again what is exhausted, and it would for as long as its attempt may take.
            StepError::OverLimit(_) | StepError::Full(_) => Kind::Precondition,
            StepError::Busy(_) => Kind::Exhausted,
            StepError::Unavailable(_) => Kind::Unavailable,
            StepError::Internal(_) => Kind::Internal,
        }
    }

    fn code(&self) -> Option<Code> {
        matches!(self, StepError::Full(_)).then_some(Code::StorageFull)
    }
}
