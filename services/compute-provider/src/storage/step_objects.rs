//! What a running attempt reads and writes, opened by its macaroon.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use oc_auth::{Macaroon, MacaroonError};
use oc_kernel::{Classify, Code, Digest, Kind, Name, ObjectKey};
use oc_store::StoreError;

use super::files::{self, SpoolFile};
use super::guard::guarded;
use super::media_type_of;
use super::uploads::{NewFile, Place};
use crate::attempts::generation;
use crate::documents::{Attempt, OutputFile, Payload, attempt_key, output_key};
use crate::domain::ledger::JobState;
use crate::domain::offer::{OfferKind, WORKSPACE, offer_of};
use crate::domain::room::{Holder, RoomError, Upload};
use crate::domain::runtime::Role;
use crate::domain::step::{
    ByteStream, InputStream, StepAttempt, StepError, StepObjects, UploadState,
};
use crate::error::Error;
use crate::ports::Stream;
use crate::provider::Provider;
use crate::tokens::{Minted, Tokens, Use};

#[async_trait]
impl StepObjects for Provider {
    async fn read_input(
        &self,
        step: StepAttempt,
        macaroon: &str,
        name: &Name,
        offset: u64,
    ) -> Result<InputStream, StepError> {
        let (attempt, macaroon) = self.presented(step, macaroon).await?;
        self.permit(&attempt, &macaroon, Use::Input(name)).await?;
        let payload = self.payload(&attempt).await?;
        let input = payload
            .inputs
            .iter()
            .find(|input| input.object.name == *name);
        let input = input.ok_or_else(|| unnamed(name.as_str()))?;
        let object = &input.object;
        if offset > object.length {
            return Err(StepError::Conflict(format!(
                "`{name}` has {} bytes",
                object.length
            )));
        }
        let own = object.owner == self.me().await?;
        let bytes: Stream = if offset == object.length {
            futures::stream::empty().boxed()
        } else if own && object.role == Role::Objects {
            let stored = self
                .object_of(&object.object, &object.sha256, attempt.grant)
                .await?;
            let range = Some(offset..object.length);
            let body = self.objects.get(stored.place(), range).await;
            files::from_store(body.map_err(Error::from)?.stream)
        } else {
            // What is ours is opened by the chain of the submission, which was verified at admission; a chain that
            // came with the input is looked at by the owner it is for, and by nobody here.
            let delegation = match own {
                true => payload.delegation.clone(),
                false => input.delegation.clone(),
            };
            let delegation = delegation.into_iter().map(String::into_bytes).collect();
            let key = &attempt.key;
            self.ports
                .open_input(key.run, key.attempt, object, delegation, offset)
                .await?
        };
        let provider = self.clone();
        let (length, sha256) = (object.length, object.sha256);
        let check = move || {
            let (provider, attempt) = (provider.clone(), attempt.clone());
            async move { provider.still_runs(&attempt).await }
        };
        let unavailable = |error: std::io::Error| StepError::Unavailable(error.to_string());
        let bytes = guarded(bytes, check).map_err(unavailable).boxed();
        Ok(InputStream {
            length,
            sha256,
            bytes,
        })
    }

    async fn request_upload(
        &self,
        step: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
        length: u64,
        sha256: Digest,
    ) -> Result<UploadState, StepError> {
        let (attempt, macaroon) = self.presented(step, macaroon).await?;
        let key = attempt
            .output
            .prefix
            .join(name.as_str())
            .map_err(Error::from)?;
        self.permit(&attempt, &macaroon, Use::Output(&key, length))
            .await?;
        let own = attempt.output.owner == self.me().await?;
        let announcing = self.live.announcing(&attempt.key).ok_or_else(ended)?;
        // What leaves is counted once: one announcement at a time. What stays is counted in its room.
        let _one = match own {
            true => None,
            false => Some(announcing.lock().await),
        };
        let document = output_key(&attempt.key, name);
        let seen = self.shelf.outputs.get(&document).await;
        if let Some(there) = seen.map_err(Error::from)?.map(|seen| seen.value) {
            if there.length != length || there.sha256 != sha256 {
                let text = format!("`{name}` was announced before with other content");
                return Err(StepError::Conflict(text));
            }
            return Ok(state_of(&there));
        }
        if own {
            self.announce(&self.own_file(&attempt, &key, length, sha256).await?)
                .await?;
        } else if let (Some(grant), Some(limits)) = (attempt.grant, attempt.egress) {
            // Counted before it is written down: a crash in between counts it twice, never not at all.
            self.take_egress(grant, Some(&attempt.key), length, &limits)
                .await?;
        }
        let output = OutputFile {
            name: name.clone(),
            length,
            sha256,
            stored: false,
        };
        let noted = self.shelf.outputs.create(&document, &output, Vec::new());
        match noted.await {
            // The second may be the same announcement, come at the same time.
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(UploadState::Wanted),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    async fn upload(
        &self,
        step: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
        body: ByteStream,
    ) -> Result<UploadState, StepError> {
        let (attempt, macaroon) = self.presented(step, macaroon).await?;
        let document = output_key(&attempt.key, name);
        let announced = self.shelf.outputs.get(&document).await;
        let announced = announced.map_err(Error::from)?;
        let output = announced.ok_or_else(|| unnamed(name.as_str()))?.value;
        let key = attempt
            .output
            .prefix
            .join(name.as_str())
            .map_err(Error::from)?;
        self.permit(&attempt, &macaroon, Use::Output(&key, output.length))
            .await?;
        if output.stored {
            return Ok(UploadState::Stored);
        }
        let bytes: Stream = body.map_err(std::io::Error::other).boxed();
        if attempt.output.owner == self.me().await? {
            self.keep(&attempt, &key, &output, bytes).await?;
        } else {
            self.pass_on(&attempt, &output, bytes).await?;
        }
        let noted = self
            .shelf
            .outputs
            .update(&document, |output| -> Result<_, Error> {
                output.stored = true;
                Ok(Vec::new())
            });
        noted.await?;
        Ok(UploadState::Stored)
    }
}

impl Provider {
    /// Checks that a macaroon lets an attempt read an input.
    pub(crate) async fn check_input(
        &self,
        step: StepAttempt,
        macaroon: &str,
        name: &Name,
    ) -> Result<(), StepError> {
        let (attempt, macaroon) = self.presented(step, macaroon).await?;
        self.permit(&attempt, &macaroon, Use::Input(name)).await
    }

    /// Checks that a macaroon lets an attempt write an output.
    pub(crate) async fn check_output(
        &self,
        step: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
    ) -> Result<(), StepError> {
        let (attempt, macaroon) = self.presented(step, macaroon).await?;
        let key = attempt
            .output
            .prefix
            .join(name.as_str())
            .map_err(Error::from)?;
        self.permit(&attempt, &macaroon, Use::Output(&key, 0)).await
    }

    /// The attempt a macaroon claims to be for, which must be the one of the route.
    async fn presented(
        &self,
        step: StepAttempt,
        text: &str,
    ) -> Result<(Attempt, Macaroon), StepError> {
        let (macaroon, minted) = Tokens::claim(text).map_err(refused)?;
        let Minted::Attempt { org, attempt } = minted else {
            let text = "it is for one transfer, not for an attempt";
            return Err(StepError::Forbidden(text.to_owned()));
        };
        if attempt != step.attempt {
            let text = format!("it is for attempt {attempt}, not for {}", step.attempt);
            return Err(StepError::Forbidden(text));
        }
        let found = self.shelf.attempts.get(&attempt_key(&org, &attempt)).await;
        let found = found
            .map_err(Error::from)?
            .ok_or_else(|| {
                let text = format!("attempt {attempt} is not here: it is over, or never was");
                StepError::Unauthenticated(text)
            })?
            .value;
        if found.key.fragment != step.fragment {
            let text = format!("the attempt is not of fragment {}", step.fragment);
            return Err(StepError::Forbidden(text));
        }
        Ok((found, macaroon))
    }

    /// Checks that the macaroon is ours, opens this, and that the attempt's authority still stands.
    async fn permit(
        &self,
        attempt: &Attempt,
        macaroon: &Macaroon,
        what: Use<'_>,
    ) -> Result<(), StepError> {
        let work = (attempt.key.fragment, attempt.key.attempt);
        let now_ms = self.clock.now_ms();
        self.tokens
            .check_attempt(macaroon, work, what, generation(attempt), now_ms)
            .map_err(refused)?;
        self.still_runs(attempt)
            .await
            .map_err(|error| StepError::Ended(error.to_string()))
    }

    /// Checks that an attempt has its lease, and its grant the generation it was admitted under.
    async fn still_runs(&self, attempt: &Attempt) -> Result<(), Error> {
        let ended = |text: &str| Err(Error::Forbidden(text.to_owned()));
        if !self.leases.alive(&attempt.lease, self.monotonic()) {
            return ended("the lease of the attempt is lost or over");
        }
        let ledger = self.ledgers.read(&attempt.offer).await?;
        match ledger.lease(&attempt.lease).map(|lease| lease.job.state) {
            Some(JobState::Stopping { cause, .. }) => return ended(&cause.to_string()),
            Some(_) => {}
            None => return ended("the attempt is over"),
        }
        match attempt.grant {
            Some(grant) => {
                self.still_in_force(&grant, attempt.under.generation())
                    .await
            }
            None => Ok(()),
        }
    }

    async fn payload(&self, attempt: &Attempt) -> Result<Payload, Error> {
        let key = attempt_key(&attempt.key.org, &attempt.key.attempt);
        Ok(self.shelf.payloads.require(&key).await?.value)
    }

    /// An output that stays here, as a file of its room.
    async fn own_file(
        &self,
        attempt: &Attempt,
        key: &ObjectKey,
        length: u64,
        sha256: Digest,
    ) -> Result<NewFile, Error> {
        let offer = match &attempt.output.listing {
            Some(listing) => match offer_of(listing) {
                Some((OfferKind::Storage, name)) => name,
                _ => return Err(Error::unknown("storage offer", listing)),
            },
            None => WORKSPACE.parse()?,
        };
        let (holder, user, quota) = match attempt.grant {
            None => (Holder::Own, self.user_of_run(&attempt.key.run).await?, None),
            Some(id) => {
                let agreed = self.grant(&id).await?.value.grant.agreed;
                let quota = agreed
                    .map(|agreed| agreed.limits.storage_bytes)
                    .unwrap_or_default();
                (Holder::Grant(id), None, Some(quota))
            }
        };
        Ok(NewFile {
            offer,
            key: key.clone(),
            holder,
            attempt: Some(attempt.key.attempt),
            announcer: None,
            user,
            length,
            sha256,
            media_type: media_type_of(key).to_owned(),
            quota,
        })
    }

    /// Stores an output here.
    async fn keep(
        &self,
        attempt: &Attempt,
        key: &ObjectKey,
        output: &OutputFile,
        bytes: Stream,
    ) -> Result<(), Error> {
        let file = self
            .own_file(attempt, key, output.length, output.sha256)
            .await?;
        let upload: Upload = match self.announce(&file).await? {
            Place::Stored => return Ok(()),
            Place::Wanted(upload) => upload,
        };
        let writer = self.uploads.writer(upload.id);
        let _alone = writer.lock().await;
        self.store(&file.offer, key, &upload, bytes).await
    }

    /// Takes an output in and delivers it to whom it belongs.
    async fn pass_on(
        &self,
        attempt: &Attempt,
        output: &OutputFile,
        mut bytes: Stream,
    ) -> Result<(), Error> {
        let spooled = SpoolFile::new(&self.spool);
        let beyond = |length| {
            let text = format!(
                "`{}` is not what was announced: {length} bytes or more came",
                output.name
            );
            Error::Conflict(text)
        };
        let taken = files::take_in(spooled.path(), &mut bytes, output.length, beyond);
        let (length, sha256) = taken.await?;
        if length != output.length || sha256 != output.sha256 {
            let text = format!(
                "`{}` is not what was announced: it has {length} bytes",
                output.name
            );
            return Err(Error::Conflict(text));
        }
        let payload = self.payload(attempt).await?;
        self.deliver(attempt, &payload, output, spooled.path())
            .await
    }
}

fn state_of(output: &OutputFile) -> UploadState {
    if output.stored {
        UploadState::Stored
    } else {
        UploadState::Wanted
    }
}

fn ended() -> StepError {
    StepError::Ended("the attempt is over".to_owned())
}

fn unnamed(name: &str) -> StepError {
    StepError::NotFound(format!("no object `{name}` in this attempt"))
}

fn refused(error: MacaroonError) -> StepError {
    match error {
        MacaroonError::Refused(refusal) => StepError::Forbidden(refusal.to_string()),
        MacaroonError::Malformed(_) | MacaroonError::ThirdParty | MacaroonError::Forged => {
            StepError::Unauthenticated(error.to_string())
        }
    }
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if let Error::Room(RoomError::TooManyOpen { .. }) = error {
            return StepError::Busy(text);
        }
        if error.code() == Some(Code::StorageFull) {
            return StepError::Full(text);
        }
        match error.kind() {
            Kind::NotFound => StepError::NotFound(text),
            Kind::Exhausted => StepError::OverLimit(text),
            Kind::Forbidden | Kind::Unauthenticated => StepError::Ended(text),
            Kind::Unavailable | Kind::Timeout => StepError::Unavailable(text),
            Kind::Internal => StepError::Internal(text),
            _ => StepError::Conflict(text),
        }
    }
}
