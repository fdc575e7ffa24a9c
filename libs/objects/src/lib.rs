//! Objects: bytes under a key, written once, verified while they are written.
//!
//! An [`Objects`] driver streams. What does not have the length or the SHA-256 digest it was announced
//! with leaves nothing behind, a key that exists is never overwritten, and an object that is
//! acknowledged is on disk. [`UrlSigner`] makes the short-lived URLs of a node.
//!
//! It knows neither who may read what, nor HTTP. A driver proves itself with `testsuite!`.

mod error;
mod folder;
mod objects;
mod signed;
#[cfg(any(test, feature = "testsuite"))]
#[expect(clippy::unwrap_used, reason = "test code: a panic is its verdict")]
pub mod testsuite;

pub use error::ObjectError;
pub use folder::FolderObjects;
pub use objects::{Body, Deleted, Expected, ObjectBody, ObjectInfo, Objects, body};
pub use signed::{SignedUrlError, UrlSigner};
