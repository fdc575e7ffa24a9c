//! Bulk data between peers, on streams and connections of its own, resumable by offset.
//!
//! A transfer is one stream of `/opencloud/bulk/1`. Each frame is a length (four bytes, big endian, at most
//! 16 KiB) and a JSON document of that length.
//!
//! - get: request frame, answer frame, then exactly `length` bytes from `offset` on;
//! - put: request frame, answer frame with the offset to go on from, the bytes from there on, the end of that
//!   direction of the stream, answer frame. A refusal may come before the bytes have ended.
//!
//! A reset in between ends the transfer; the next request goes on at the offset reached. What the authority in
//! a request means, and whether it suffices, is the handler's business.

mod client;
mod frame;
mod pace;
mod server;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use oc_kernel::{Classify, Kind};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

pub use client::{BulkReader, download, get, put};
pub use server::{BulkLimits, serve};

use crate::StreamError;
use crate::grpc::PeerInfo;

/// What is to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BulkOperation {
    /// Read it.
    Get,
    /// Write it.
    Put,
}

/// The first frame of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// What is to be done.
    pub operation: BulkOperation,
    /// Which object, in the terms of the handler.
    pub key: String,
    /// By what right: a macaroon or a signed envelope, opaque here.
    pub authority: String,
    /// get: the first byte wanted. put: the first byte that the sender would send.
    #[serde(default)]
    pub offset: u64,
    /// get: how many bytes are wanted, all to the end where it is missing. put: the size of the whole object,
    /// where the handler does not know it by the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// put: SHA-256 of the whole object, 64 lowercase hexadecimal digits, where the handler does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The answer of the serving side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkAnswer {
    /// `ok`, or the name of an [`oc_kernel::Kind`].
    pub status: String,
    /// What a person reads where the status is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The first byte that follows (get) or is wanted (put).
    #[serde(default)]
    pub offset: u64,
    /// get: how many bytes follow.
    #[serde(default)]
    pub length: u64,
    /// get: the size of the whole object. put, last answer: how many bytes of it are there now.
    #[serde(default)]
    pub total: u64,
    /// SHA-256 of the whole object where it is known, 64 lowercase hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl BulkAnswer {
    const OK: &'static str = "ok";

    fn accepted(offset: u64) -> Self {
        Self {
            status: Self::OK.to_owned(),
            reason: None,
            offset,
            length: 0,
            total: 0,
            sha256: None,
        }
    }

    fn refusal(kind: Kind, reason: &str) -> Self {
        Self {
            status: kind.as_str().to_owned(),
            reason: Some(reason.to_owned()),
            ..Self::accepted(0)
        }
    }
}

/// Why a handler does not do what is asked; told to the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BulkRefusal {
    /// The row of the error table.
    pub kind: Kind,
    /// What a person reads.
    pub reason: String,
}

impl BulkRefusal {
    /// A refusal for a domain error.
    pub fn from_error(error: &impl Classify) -> Self {
        Self {
            kind: error.kind(),
            reason: error.to_string(),
        }
    }
}

/// An object, or a part of one, to be sent.
pub struct BulkSource {
    /// Gives the bytes from the request's offset on; what it gives beyond `length` is not sent.
    pub reader: Pin<Box<dyn AsyncRead + Send>>,
    /// How many bytes to send.
    pub length: u64,
    /// The size of the whole object.
    pub total: u64,
    /// SHA-256 of the whole object where it is known.
    pub sha256: Option<String>,
}

/// What is there after a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkStored {
    /// How many bytes of the object are there.
    pub total: u64,
    /// SHA-256 of the whole object where it is known.
    pub sha256: Option<String>,
}

/// Takes the bytes of one object in order. Dropping it before [`BulkSink::finish`] keeps what the handler
/// wants to resume from.
#[async_trait]
pub trait BulkSink: Send {
    /// The first byte wanted: how many are here already.
    fn offset(&self) -> u64;

    /// Takes the next bytes; a refusal is told to the peer at once.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BulkRefusal>;

    /// The sender has ended: checks and stores the object.
    async fn finish(self: Box<Self>) -> Result<BulkStored, BulkRefusal>;
}

/// Serves the objects of this node.
#[async_trait]
pub trait BulkHandler: Send + Sync + 'static {
    /// Opens an object for reading.
    async fn get(&self, peer: PeerInfo, request: &BulkRequest) -> Result<BulkSource, BulkRefusal>;

    /// Opens an object for writing.
    async fn put(
        &self,
        peer: PeerInfo,
        request: &BulkRequest,
    ) -> Result<Box<dyn BulkSink>, BulkRefusal>;

    /// Asked every few seconds while a transfer runs: an error cuts it.
    async fn recheck(&self, peer: PeerInfo, request: &BulkRequest) -> Result<(), BulkRefusal>;
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// No stream to the peer.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The peer said no.
    #[error("the peer refused the transfer: {reason}")]
    Refused {
        /// The row of the error table.
        kind: Kind,
        /// What it said.
        reason: String,
    },
    /// Too slow or silent for too long.
    #[error("the transfer stalled after {done} bytes: try again to go on from there")]
    Stalled {
        /// Bytes of this attempt that arrived or left.
        done: u64,
    },
    /// The connection broke.
    #[error("the transfer was cut after {done} bytes ({cause}): try again to go on from there")]
    Cut {
        /// Bytes of this attempt that arrived or left.
        done: u64,
        /// What the connection said.
        cause: String,
    },
    /// The peer does not keep to the protocol.
    #[error("the peer does not keep to the bulk protocol: {what}")]
    Protocol {
        /// What it did.
        what: String,
    },
    /// The bytes are not those announced.
    #[error("the object arrived damaged: its sha-256 is {found}, not {expected}")]
    Damaged {
        /// The digest announced.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// This side's own disk.
    #[error("cannot read or write the local side of the transfer: {cause}")]
    Local {
        /// What the system said.
        cause: String,
    },
}

impl Classify for BulkError {
    fn kind(&self) -> Kind {
        match self {
            Self::Stream(error) => error.kind(),
            Self::Refused { kind, .. } => *kind,
            Self::Stalled { .. } => Kind::Timeout,
            Self::Cut { .. } | Self::Protocol { .. } | Self::Damaged { .. } => Kind::Unavailable,
            Self::Local { .. } => Kind::Internal,
        }
    }
}

/// How slow a transfer may be.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    /// How long a frame, or the next byte, may take.
    pub idle: Duration,
    /// Bytes a second that must pass on average over each window of four times `idle`.
    pub slowest: u64,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            slowest: 1024,
        }
    }
}
