//! Sending an attempt's output to the organisation that shall keep it, from where the last try broke off.

use std::path::Path;
use std::time::Duration;

use oc_kernel::{Classify, ObjectKey};
use oc_proto::federation::v1::RequestUploadRequest;

use super::{files, media_type_of};
use crate::documents::{Attempt, OutputFile, Payload};
use crate::error::Error;
use crate::provider::Provider;

/// How often a transfer is taken up again.
const TRIES: u32 = 8;
/// The pause after the first failed try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

impl Provider {
    /// Delivers the bytes in `file` to the owner of the output's prefix.
    pub(super) async fn deliver(
        &self,
        attempt: &Attempt,
        payload: &Payload,
        output: &OutputFile,
        file: &Path,
    ) -> Result<(), Error> {
        let key = attempt.output.prefix.join(output.name.as_str())?;
        let mut pause = FIRST_PAUSE;
        for tried in 1.. {
            match self
                .deliver_once(attempt, payload, output, &key, file)
                .await
            {
                Ok(()) => return Ok(()),
                Err(error) if tried == TRIES || !worth_another_try(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%key, %error, tried, "an output is sent again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        Ok(())
    }

    async fn deliver_once(
        &self,
        attempt: &Attempt,
        payload: &Payload,
        output: &OutputFile,
        key: &ObjectKey,
        file: &Path,
    ) -> Result<(), Error> {
        let owner = attempt.output.owner;
        let listing = attempt.output.listing.as_ref();
        let request = RequestUploadRequest {
            delegation: payload
                .output_delegation
                .iter()
                .map(|it| it.clone().into_bytes())
                .collect(),
            attempt_id: attempt.key.attempt.to_string(),
            listing_id: listing.map(|id| id.to_string()).unwrap_or_default(),
            key: key.to_string(),
            length: output.length,
            sha256: output.sha256.to_string(),
            media_type: media_type_of(key).to_owned(),
        };
        let place = self
            .ports
            .request_upload(owner, attempt.key.run, request)
            .await?;
        if place.token.is_empty() && place.received == output.length {
            return Ok(());
        }
        let bytes = files::read_from(file, place.received).await?;
        let received = self
            .ports
            .send(owner, &place.token, place.received, bytes)
            .await?;
        if received == output.length {
            return Ok(());
        }
        Err(Error::Unavailable(format!(
            "{received} of {} bytes of `{key}` arrived",
            output.length
        )))
    }
}

/// A transfer that broke off, met another writer of its own, or whose other side is away may go well next time. What
/// has a code is decided: a storage that is full stays so.
fn worth_another_try(error: &Error) -> bool {
    let passing = error.kind().retryable() || error.kind() == oc_kernel::Kind::Conflict;
    passing && error.code().is_none()
}
