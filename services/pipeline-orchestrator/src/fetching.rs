//! Files of a run that a partner stores, for the people whose run it is.
//!
//! Each is opened as an attempt would open it: by a delegation under the grant on the storage, for this one file,
//! which nobody but we may show. What comes is compared with what the run stored.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use oc_kernel::{AttemptId, Digest, FragmentId, ObjectKey};
use oc_proto::federation::v1::OpenDownloadRequest;
use oc_service::access::Principal;
use oc_trust::{Delegation, Limits, seal};
use oc_workflow::data::{ObjectRef, Role};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::documents::{KnownFile, RunDocument};
use crate::driver::CallFailure;
use crate::error::RunError;
use crate::files;
use crate::orchestrator::Orchestrator;
use crate::root::granted;

/// How long one file may take, in ms.
const LASTS_MS: u64 = 60 * 60 * 1000;

type Stream = BoxStream<'static, std::io::Result<Bytes>>;

/// A file on its way.
pub(crate) struct Fetched {
    pub(crate) object: ObjectRef,
    /// They end with an error where they are not the object.
    pub(crate) bytes: Stream,
}

impl Orchestrator {
    /// A file that a run made and a partner stores.
    pub(crate) async fn fetch(
        &self,
        caller: &Principal,
        run_id: &str,
        key: &str,
    ) -> Result<Fetched, RunError> {
        let document = self.document(caller, run_id).await?.value;
        let run = document.run.id();
        let file = at_a_partner(&document, key).ok_or_else(|| RunError::NoFile {
            run,
            key: key.to_owned(),
        })?;
        let attempt = AttemptId::new();
        let delegation = delegation(&self.context, &document, &file, attempt).await;
        let object = file.object;
        let request = OpenDownloadRequest {
            delegation: delegation.map_err(|failure| RunError::Closed {
                key: object.key.clone(),
                reason: failure.text,
            })?,
            attempt_id: attempt.to_string(),
            key: object.key.to_string(),
        };
        let outputs = &self.context.outputs;
        let body = outputs.read(run, object.owner, request).await?;
        let bytes = checked(body.bytes, object.key.clone(), object.length, object.sha256);
        Ok(Fetched { object, bytes })
    }
}

/// The file among the results of a run that has this key, where a partner stores it.
fn at_a_partner(document: &RunDocument, key: &str) -> Option<KnownFile> {
    let published = document.published.as_ref()?;
    let mut known = document.known_files();
    let me = document.run.org();
    files::locations(&published.outputs)
        .into_iter()
        .filter_map(|location| known.remove(location))
        .find(|file| {
            let object = &file.object;
            object.owner != me && object.role == Role::Objects && object.key.as_str() == key
        })
}

/// What lets us read the file: the grant on its storage, and that we use it for this.
async fn delegation(
    context: &Context,
    document: &RunDocument,
    file: &KnownFile,
    attempt: AttemptId,
) -> Result<Vec<Vec<u8>>, CallFailure> {
    let owner = file.object.owner;
    let listing = file.listing.as_ref().map(ToString::to_string);
    let used = format!("{owner}/{}", listing.unwrap_or_default());
    let grant = document.spec.grants.get(&used);
    let missing = || CallFailure::no_grant(format!("there is no grant of {}", owner.short()));
    let grants = context.grants.all().await?;
    let root = granted(&grants, grant.ok_or_else(missing)?)?;
    let (me, now) = (document.run.org(), context.clock.now_ms());
    let delegation = Delegation {
        network: root.claim.network.clone(),
        parent: Some(root.digest),
        issuer: me,
        audience: me,
        run: document.run.id(),
        fragment: FragmentId::new(),
        attempt,
        request: file.object.sha256,
        offer: None,
        inputs: vec![files::delegated(file)],
        output: None,
        limits: Limits::default(),
        not_before: now,
        not_after: root.claim.not_after.min(now + LASTS_MS),
    };
    let sealed = seal(&context.door, delegation).await?;
    Ok(vec![root.envelope, sealed.bytes().to_vec()])
}

/// The bytes as they come, with an error after the last where they are not what was stored, and before one too many.
fn checked(bytes: Stream, key: ObjectKey, length: u64, sha256: Digest) -> Stream {
    let other = move || {
        let text = format!("what came for `{key}` is not what the run stored");
        std::io::Error::new(std::io::ErrorKind::InvalidData, text)
    };
    let begin = (bytes, Sha256::new(), length);
    futures::stream::try_unfold(begin, move |(mut bytes, mut hash, left)| {
        let other = other.clone();
        async move {
            let Some(part) = bytes.try_next().await? else {
                let found = Digest::from_bytes(hash.finalize().into());
                return match left == 0 && found == sha256 {
                    true => Ok(None),
                    false => Err(other()),
                };
            };
            let left = left.checked_sub(part.len() as u64).ok_or_else(&other)?;
            hash.update(&part);
            Ok(Some((part, (bytes, hash, left))))
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(parts: &[&'static str], promised: &str) -> std::io::Result<Vec<u8>> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from(*part))).collect();
        let bytes = futures::stream::iter(parts).boxed();
        let key = "runs/a.txt".parse().unwrap();
        let (length, sha256) = (promised.len() as u64, Digest::of(promised));
        let parts: Vec<Bytes> = checked(bytes, key, length, sha256).try_collect().await?;
        Ok(parts.concat())
    }

    #[tokio::test]
    async fn what_was_stored_comes_whole() {
        assert_eq!(read(&["he", "llo"], "hello").await.unwrap(), b"hello");
        assert_eq!(read(&[], "").await.unwrap(), b"");
    }

    #[tokio::test]
    async fn other_bytes_fewer_and_more_break_off() {
        for parts in [&["he", "llO"][..], &["hell"], &["hello", "!"], &[]] {
            let broken = read(parts, "hello").await.unwrap_err();
            assert!(broken.to_string().contains("`runs/a.txt`"), "{broken}");
        }
    }
}
