//! Announcing a file, and making an object of it once its bytes are there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oc_kernel::{AttemptId, Digest, Name, ObjectKey, OrgId};
use oc_objects::{Body, Expected, ObjectError};
use oc_store::StoreError;

use super::{files, place_in};
use crate::documents::StoredObject;
use crate::domain::room::{Holder, RoomError, Upload, UploadId};
use crate::error::Error;
use crate::provider::Provider;

/// How long an announced file may stay away.
const PATIENCE: Duration = Duration::from_secs(600);

/// Attempts whose bytes are kept in mind.
const MOST_SUMS: usize = 4096;

/// The uploads that are being written to now, one writer each, and what attempts have announced.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    writers: Mutex<BTreeMap<UploadId, Arc<tokio::sync::Mutex<()>>>>,
    sums: Mutex<BTreeMap<(Name, AttemptId), u64>>,
}

impl Uploads {
    /// Takes bytes of an attempt in an offer where it surely stays within `most` with them. False where that is not
    /// known: then they must be counted anew, because some may have been announced twice or have gone again.
    pub(super) fn take(&self, offer: &Name, attempt: AttemptId, bytes: u64, most: u64) -> bool {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sums.get_mut(&(offer.clone(), attempt));
        let Some((sum, next)) = sum.and_then(|sum| {
            let next = sum.checked_add(bytes)?;
            Some((sum, next))
        }) else {
            return false;
        };
        if next <= most {
            *sum = next;
        }
        next <= most
    }

    /// Remembers what was counted.
    pub(super) fn counted(&self, offer: &Name, attempt: AttemptId, bytes: u64) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.len() >= MOST_SUMS {
            sums.clear();
        }
        sums.insert((offer.clone(), attempt), bytes);
    }

    /// What keeps writers of one upload apart.
    pub(super) fn writer(&self, upload: UploadId) -> Arc<tokio::sync::Mutex<()>> {
        self.lock().entry(upload).or_default().clone()
    }

    /// The upload is over.
    pub(super) fn forget(&self, upload: &UploadId) {
        self.lock().remove(upload);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<UploadId, Arc<tokio::sync::Mutex<()>>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that somebody wants to store.
#[derive(Debug, Clone)]
pub(super) struct NewFile {
    pub(super) offer: Name,
    pub(super) key: ObjectKey,
    pub(super) holder: Holder,
    pub(super) attempt: Option<AttemptId>,
    /// The partner that announces it; none for ourselves.
    pub(super) announcer: Option<OrgId>,
    /// The user of ours whom it will belong to.
    pub(super) user: Option<String>,
    pub(super) length: u64,
    pub(super) sha256: Digest,
    pub(super) media_type: String,
    /// Most bytes its holder may have.
    pub(super) quota: Option<u64>,
}

/// What became of an announcement.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The object is there already.
    Stored,
    /// Its bytes are wanted.
    Wanted(Upload),
}

impl Provider {
    /// Announces a file. The same announcement again gets the same answer.
    pub(super) async fn announce(&self, file: &NewFile) -> Result<Place, Error> {
        if self.is_stored(file).await? {
            return Ok(Place::Stored);
        }
        let now = self.clock.now();
        let upload = Upload {
            id: UploadId::new(),
            holder: file.holder,
            attempt: file.attempt,
            announcer: file.announcer,
            user: file.user.clone(),
            length: file.length,
            sha256: file.sha256,
            media_type: file.media_type.clone(),
            expires_at: now.checked_add(PATIENCE).unwrap_or(now),
        };
        let id = self
            .change_room(&file.offer, |room| {
                Ok(room.announce(file.key.clone(), upload.clone(), file.quota)?)
            })
            .await?;
        // Another writer may have finished in between; what it announced is its own to count.
        if self.is_stored(file).await? {
            if id == upload.id {
                self.change_room(&file.offer, |room| {
                    room.give_up(&file.key);
                    Ok(())
                })
                .await?;
            }
            return Ok(Place::Stored);
        }
        Ok(Place::Wanted(Upload { id, ..upload }))
    }

    /// True when the object is there with this content; an object of that key with other content, or of
    /// somebody else, is never replaced.
    async fn is_stored(&self, file: &NewFile) -> Result<bool, Error> {
        let Some(there) = self.find_object(&file.offer, &file.key).await? else {
            return Ok(false);
        };
        if there.holder != file.holder || there.attempt != file.attempt {
            return Err(RoomError::OtherWriter {
                key: file.key.clone(),
            }
            .into());
        }
        if there.length != file.length || there.sha256 != file.sha256 {
            return Err(RoomError::OtherContent {
                key: file.key.clone(),
            }
            .into());
        }
        Ok(true)
    }

    /// Writes the bytes of an announced file and makes an object of them. Bytes that are not those announced
    /// leave nothing.
    pub(super) async fn store(
        &self,
        offer: &Name,
        key: &ObjectKey,
        upload: &Upload,
        bytes: Body,
    ) -> Result<(), Error> {
        let expected = Expected {
            length: Some(upload.length),
            sha256: Some(upload.sha256),
        };
        let place = place_in(offer, key)?;
        match self.objects.put(&place, bytes, expected).await {
            Ok(_) => {}
            // An earlier try got as far as this.
            Err(ObjectError::AlreadyExists(_)) => self.check_bytes(&place, key, upload).await?,
            Err(error) => return Err(error.into()),
        }
        self.register(offer, key, upload).await
    }

    async fn check_bytes(
        &self,
        place: &ObjectKey,
        key: &ObjectKey,
        upload: &Upload,
    ) -> Result<(), Error> {
        let there = self.objects.stat(place).await?;
        if there.length == upload.length && there.sha256.as_bytes() == upload.sha256.as_bytes() {
            return Ok(());
        }
        Err(RoomError::OtherContent { key: key.clone() }.into())
    }

    /// Writes down that an object is there, and counts it.
    pub(super) async fn register(
        &self,
        offer: &Name,
        key: &ObjectKey,
        upload: &Upload,
    ) -> Result<(), Error> {
        let place = place_in(offer, key)?;
        let document = StoredObject {
            upload: upload.id,
            offer: offer.clone(),
            key: key.clone(),
            place: Some(place.clone()),
            holder: upload.holder,
            attempt: upload.attempt,
            announcer: upload.announcer,
            user: upload.user.clone(),
            length: upload.length,
            sha256: upload.sha256,
            media_type: upload.media_type.clone(),
            stored_at: self.clock.now(),
        };
        match self
            .shelf
            .objects
            .create(place.as_str(), &document, Vec::new())
            .await
        {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. }) => self.check_registered(&place, upload).await?,
            Err(error) => return Err(error.into()),
        }
        self.change_room(offer, |room| {
            room.store(key);
            Ok(())
        })
        .await?;
        self.uploads.forget(&upload.id);
        files::remove(&self.part(&upload.id)).await
    }

    /// What lies in the place of an upload must be of this upload: an object from before each offer had keys of its
    /// own may lie there.
    async fn check_registered(&self, place: &ObjectKey, upload: &Upload) -> Result<(), Error> {
        let there = self.shelf.objects.require(place.as_str()).await?.value;
        if there.upload == upload.id {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the older object `{}` of `{}` lies where this one would: delete it or choose another key",
            there.key, there.offer
        )))
    }

    /// The file that collects the bytes of an upload.
    pub(super) fn part(&self, upload: &UploadId) -> PathBuf {
        self.spool.join(format!("{upload}.part"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_without_counting_until_they_might_be_too_many() {
        let uploads = Uploads::default();
        let offer: Name = "results".parse().unwrap();
        let (one, other) = (AttemptId::new(), AttemptId::new());
        assert!(!uploads.take(&offer, one, 1, 10), "nothing is known of it");
        uploads.counted(&offer, one, 4);
        assert!(uploads.take(&offer, one, 6, 10));
        assert!(!uploads.take(&offer, one, 1, 10));
        assert!(uploads.take(&offer, one, 0, 10), "a refusal takes nothing");
        assert!(!uploads.take(&offer, one, u64::MAX, u64::MAX));
        assert!(!uploads.take(&offer, other, 1, 10));
    }
}
