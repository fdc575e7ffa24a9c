//! Objects for attempts that run elsewhere: announced or opened by a delegation, then moved by a token.

use oc_kernel::{AttemptId, GrantId, Name, ObjectKey, OrgId, RunId};
use oc_objects::ObjectError;
use oc_store::Query;
use oc_trust::Authority;

use super::files;
use super::guard::guarded;
use super::uploads::{NewFile, Place};
use crate::attempts::Consumer;
use crate::documents::StoredObject;
use crate::domain::egress::EgressLimits;
use crate::domain::offer::{OfferKind, WORKSPACE, offer_of};
use crate::domain::room::{Holder, RoomError, Upload, UploadId};
use crate::error::Error;
use crate::ports::Stream;
use crate::provider::Provider;
use crate::tokens::{Minted, Token, Tokens, Transfer};

/// A file that an attempt wants to write, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct NewUpload {
    pub(crate) consumer: Consumer,
    pub(crate) network: Option<Name>,
    pub(crate) delegation: Vec<Vec<u8>>,
    pub(crate) attempt: AttemptId,
    pub(crate) listing: Option<Name>,
    pub(crate) key: ObjectKey,
    pub(crate) length: u64,
    pub(crate) sha256: oc_kernel::Digest,
    pub(crate) media_type: String,
}

/// An object that an attempt wants to read, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct NewDownload {
    pub(crate) consumer: Consumer,
    pub(crate) network: Option<Name>,
    pub(crate) delegation: Vec<Vec<u8>>,
    pub(crate) attempt: AttemptId,
    pub(crate) key: ObjectKey,
}

/// A place to write to.
pub(crate) struct Announced {
    pub(crate) upload: Option<UploadId>,
    pub(crate) token: Option<Token>,
    pub(crate) received: u64,
}

/// An object that opens for a short time.
pub(crate) struct Opened {
    pub(crate) object: StoredObject,
    pub(crate) token: Token,
}

/// By which right bytes move.
struct Right {
    grant: Option<GrantId>,
    /// The run it is for; none for our own services.
    run: Option<RunId>,
    generation: u64,
    until_ms: u64,
    quota: Option<u64>,
    /// Most bytes of one attempt; none for our own people.
    attempt_bytes: Option<u64>,
}

impl Provider {
    /// Takes the announcement of a file.
    pub(crate) async fn request_upload(&self, new: NewUpload) -> Result<Announced, Error> {
        let offer: Name = match &new.listing {
            Some(listing) => match offer_of(listing) {
                Some((OfferKind::Storage, name)) => name,
                _ => return Err(Error::unknown("storage offer", listing)),
            },
            None => WORKSPACE.parse()?,
        };
        let right = self.right_to_write(&new).await?;
        let holder = right.grant.map_or(Holder::Own, Holder::Grant);
        if let Some(most) = right.attempt_bytes {
            self.check_attempt_bytes(&offer, &new, most).await?;
        }
        let user = match (right.grant, right.run) {
            // A run under a grant is a partner's, whatever id it has.
            (None, Some(run)) => self.user_of_run(&run).await?,
            _ => None,
        };
        let file = NewFile {
            offer: offer.clone(),
            key: new.key.clone(),
            holder,
            attempt: Some(new.attempt),
            announcer: (!new.consumer.own).then_some(new.consumer.org),
            user,
            length: new.length,
            sha256: new.sha256,
            media_type: new.media_type,
            quota: right.quota,
        };
        let upload = match self.announce(&file).await? {
            Place::Stored => {
                return Ok(Announced {
                    upload: None,
                    token: None,
                    received: new.length,
                });
            }
            Place::Wanted(upload) => upload,
        };
        let transfer = Transfer {
            offer,
            key: new.key,
            grant: right.grant,
            until_ms: right.until_ms,
        };
        let now_ms = self.clock.now_ms();
        let token = self
            .tokens
            .for_writing(transfer, new.length, right.generation, now_ms);
        let received = files::length_of(&self.part(&upload.id)).await;
        Ok(Announced {
            upload: Some(upload.id),
            token: Some(token),
            received,
        })
    }

    async fn right_to_write(&self, new: &NewUpload) -> Result<Right, Error> {
        if new.consumer.own && new.delegation.is_empty() {
            return Ok(Right::own());
        }
        let (authority, mut right) = self
            .delegated(
                &new.consumer.org,
                new.network.as_ref(),
                &new.delegation,
                new.attempt,
            )
            .await?;
        let output = authority.output.as_ref();
        let listed = output.is_some_and(|output| output.listing == new.listing);
        if !listed || !authority.writes(&new.key) {
            let text = format!("the delegation does not let `{}` be written", new.key);
            return Err(Error::Forbidden(text));
        }
        let own_prefix =
            output.is_some_and(|output| output.prefix.file_name() == new.attempt.to_string());
        if !own_prefix {
            return Err(Error::Forbidden(format!(
                "an attempt writes below a prefix that ends with its id, {}",
                new.attempt
            )));
        }
        right.attempt_bytes = Some(authority.limits.storage_bytes);
        Ok(right)
    }

    /// The right that a chain gives, after what our own documents say about its grant.
    async fn delegated(
        &self,
        presenter: &OrgId,
        network: Option<&Name>,
        delegation: &[Vec<u8>],
        attempt: AttemptId,
    ) -> Result<(Authority, Right), Error> {
        let authority = self
            .authorities
            .verify(delegation, presenter, network)
            .await?;
        if authority.attempt != attempt {
            return Err(Error::Forbidden(
                "the delegation is for another attempt".to_owned(),
            ));
        }
        let mut right = Right {
            run: Some(authority.run),
            until_ms: authority.not_after,
            ..Right::own()
        };
        if let Some(signed) = &authority.grant {
            let grant = self
                .grant_for(&signed.id, &authority.consumer)
                .await?
                .value
                .grant;
            self.still_in_force(&signed.id, signed.generation).await?;
            let limits = grant.agreed.map(|agreed| agreed.limits).unwrap_or_default();
            right.grant = Some(signed.id);
            right.generation = signed.generation;
            right.quota = Some(limits.storage_bytes);
        }
        Ok((authority, right))
    }

    /// Bytes of all files of one attempt stay within what was delegated to it.
    async fn check_attempt_bytes(
        &self,
        offer: &Name,
        new: &NewUpload,
        most: u64,
    ) -> Result<(), Error> {
        if self.uploads.take(offer, new.attempt, new.length, most) {
            return Ok(());
        }
        let id = new.attempt.to_string();
        let stored = self
            .shelf
            .objects
            .all(&Query::equals("attempt", id))
            .await?;
        let stored = stored
            .iter()
            .map(|seen| &seen.value)
            .filter(|it| it.key != new.key);
        let room = self.room(offer).await?;
        let open = room
            .uploads()
            .filter(|(key, upload)| upload.attempt == Some(new.attempt) && **key != new.key);
        let used: u64 = stored
            .map(|it| it.length)
            .chain(open.map(|(_, it)| it.length))
            .sum();
        if used.saturating_add(new.length) > most {
            return Err(Error::Limit(format!(
                "the delegation of attempt {} allows {most} bytes to be stored: {used} are, {} more were asked",
                new.attempt, new.length
            )));
        }
        let bytes = used.saturating_add(new.length);
        self.uploads.counted(offer, new.attempt, bytes);
        Ok(())
    }

    /// How many bytes of an announced file have come, and whether it is stored. For whoever announced it;
    /// nobody else learns that there is such an upload.
    pub(crate) async fn upload_progress(
        &self,
        consumer: &Consumer,
        id: &UploadId,
    ) -> Result<(u64, bool), Error> {
        let may = |announcer: Option<OrgId>| consumer.own || announcer == Some(consumer.org);
        for seen in self.shelf.rooms.all(&Query::all()).await? {
            let mut uploads = seen.value.uploads();
            if uploads.any(|(_, upload)| upload.id == *id && may(upload.announcer)) {
                return Ok((files::length_of(&self.part(id)).await, false));
            }
        }
        let stored = Query::equals("upload", id.to_string());
        match self.shelf.objects.all(&stored).await?.first() {
            Some(seen) if may(seen.value.announcer) => Ok((seen.value.length, true)),
            _ => Err(Error::unknown("upload", id)),
        }
    }

    /// Opens an object for reading.
    pub(crate) async fn open_download(&self, new: NewDownload) -> Result<Opened, Error> {
        let (authority, right) = self
            .delegated(
                &new.consumer.org,
                new.network.as_ref(),
                &new.delegation,
                new.attempt,
            )
            .await?;
        let object = self.readable(&authority, &new.key).await?;
        let transfer = Transfer {
            offer: object.offer.clone(),
            key: new.key,
            grant: right.grant,
            until_ms: right.until_ms,
        };
        let token = self
            .tokens
            .for_reading(transfer, right.generation, self.clock.now_ms());
        Ok(Opened { object, token })
    }

    /// The bytes of an object that a token opens, from `offset` on. They stop when the authority behind the
    /// token does.
    pub(crate) async fn send_bulk(
        &self,
        token: &str,
        offset: u64,
    ) -> Result<(StoredObject, Stream), Error> {
        let (macaroon, transfer) = transfer_of(token)?;
        let generation = self.generation_now(transfer.grant).await?;
        let now_ms = self.clock.now_ms();
        self.tokens
            .check_reading(&macaroon, &transfer.key, generation, now_ms)?;
        let object = self.object_in(&transfer.offer, &transfer.key).await?;
        if offset > object.length {
            let reason = format!("the object has {} bytes", object.length);
            return Err(Error::Malformed {
                field: "offset",
                reason,
            });
        }
        if let Some(grant) = transfer.grant {
            self.take_reading_egress(grant, object.length - offset)
                .await?;
        }
        let bytes: Stream = if offset == object.length {
            Box::pin(futures::stream::empty())
        } else {
            let range = offset..object.length;
            files::from_store(self.objects.get(object.place(), Some(range)).await?.stream)
        };
        let provider = self.clone();
        let check = move || {
            let (provider, transfer) = (provider.clone(), transfer.clone());
            async move { provider.still_opens(&transfer, generation).await }
        };
        Ok((object, guarded(bytes, check)))
    }

    /// Counts bytes of an object or an image before somebody else gets them under a grant.
    pub(crate) async fn take_reading_egress(
        &self,
        grant: GrantId,
        bytes: u64,
    ) -> Result<(), Error> {
        let document = self.grant(&grant).await?.value;
        let limits = document
            .grant
            .agreed
            .map(|agreed| agreed.limits)
            .unwrap_or_default();
        let limits = EgressLimits {
            attempt: u64::MAX,
            grant: limits.egress_bytes,
        };
        self.take_egress(grant, None, bytes, &limits).await
    }

    /// Takes bytes of an announced file from `offset` on; how many have come in all. With the last one the
    /// object is there.
    pub(crate) async fn receive_bulk(
        &self,
        token: &str,
        offset: u64,
        bytes: Stream,
    ) -> Result<u64, Error> {
        let (macaroon, transfer) = transfer_of(token)?;
        let generation = self.generation_now(transfer.grant).await?;
        let now_ms = self.clock.now_ms();
        let room = self.room(&transfer.offer).await?;
        let Some(upload) = room.upload(&transfer.key).cloned() else {
            // Whoever sends again after a lost answer finds the object stored.
            let object = self.object_in(&transfer.offer, &transfer.key).await?;
            let (key, length) = (&transfer.key, object.length);
            self.tokens
                .check_writing(&macaroon, key, length, generation, now_ms)?;
            return Ok(length);
        };
        self.tokens
            .check_writing(&macaroon, &transfer.key, upload.length, generation, now_ms)?;
        let writer = self.uploads.writer(upload.id);
        let Ok(_alone) = writer.try_lock() else {
            return Err(Error::Conflict(
                "this upload is being written to".to_owned(),
            ));
        };
        let part = self.part(&upload.id);
        let there = files::length_of(&part).await;
        if offset != there {
            return Err(Error::Conflict(format!(
                "{there} bytes have come: go on from there"
            )));
        }
        let provider = self.clone();
        let watched = transfer.clone();
        let check = move || {
            let (provider, transfer) = (provider.clone(), watched.clone());
            async move { provider.still_opens(&transfer, generation).await }
        };
        let mut bytes = guarded(bytes, check);
        let received = files::append(&part, offset, upload.length, &mut bytes).await?;
        self.still_opens(&transfer, generation).await?;
        if received == upload.length {
            self.complete(&transfer, &upload).await?;
        }
        Ok(received)
    }

    async fn complete(&self, transfer: &Transfer, upload: &Upload) -> Result<(), Error> {
        let part = self.part(&upload.id);
        if files::digest_of(&part).await? != upload.sha256 {
            // Nothing of it can be right: the next try begins anew.
            files::remove(&part).await?;
            return Err(RoomError::OtherContent {
                key: transfer.key.clone(),
            }
            .into());
        }
        let bytes = files::read_from(&part, 0).await?;
        match self
            .store(&transfer.offer, &transfer.key, upload, bytes)
            .await
        {
            Err(Error::Object(
                error @ (ObjectError::WrongDigest { .. } | ObjectError::WrongLength { .. }),
            )) => {
                files::remove(&part).await?;
                Err(error.into())
            }
            done => done,
        }
    }

    /// Checks that the authority behind a transfer still stands.
    async fn still_opens(&self, transfer: &Transfer, generation: u64) -> Result<(), Error> {
        if self.clock.now_ms() >= transfer.until_ms {
            return Err(Error::Forbidden(
                "the authority of this transfer has ended".to_owned(),
            ));
        }
        match transfer.grant {
            Some(grant) => self.still_in_force(&grant, generation).await,
            None => Ok(()),
        }
    }

    /// The generation that macaroons must carry now; zero where there is no grant.
    async fn generation_now(&self, grant: Option<GrantId>) -> Result<u64, Error> {
        let Some(id) = grant else { return Ok(0) };
        let grant = self.grant(&id).await?.value.grant;
        self.still_in_force(&id, grant.generation).await?;
        Ok(grant.generation)
    }

    /// Checks that a grant is active and still has this generation.
    pub(crate) async fn still_in_force(&self, id: &GrantId, generation: u64) -> Result<(), Error> {
        let grant = self.grant(id).await?.value.grant;
        Ok(grant.still_in_force(generation, self.clock.now())?)
    }
}

impl Right {
    /// Our own services need no other.
    fn own() -> Self {
        Self {
            grant: None,
            run: None,
            generation: 0,
            until_ms: u64::MAX,
            quota: None,
            attempt_bytes: None,
        }
    }
}

fn transfer_of(token: &str) -> Result<(oc_auth::Macaroon, Transfer), Error> {
    match Tokens::claim(token)? {
        (macaroon, Minted::Transfer(transfer)) => Ok((macaroon, transfer)),
        (_, Minted::Attempt { .. }) => Err(Error::Forbidden(
            "an attempt's macaroon opens no transfer".to_owned(),
        )),
    }
}
