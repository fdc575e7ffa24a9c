//! Removing objects, and finishing what a crash left half done.

use std::ops::Bound;
use std::time::Duration;

use oc_kernel::{GrantId, Name, ObjectKey};
use oc_objects::ObjectError;
use oc_store::{Expect, Query};
use tokio_util::sync::CancellationToken;

use super::{files, place_in};
use crate::documents::StoredObject;
use crate::domain::room::{Holder, Room, Upload};
use crate::error::Error;
use crate::provider::Provider;

/// How often the sweeper looks.
const PAUSE: Duration = Duration::from_secs(5);

impl Provider {
    /// Removes an object: it counts no more from the first step on, and each step can be done again.
    pub(super) async fn remove_object(&self, object: &StoredObject) -> Result<(), Error> {
        let StoredObject {
            offer,
            key,
            holder,
            length,
            ..
        } = object;
        self.change_room(offer, |room| {
            room.remove(key, *holder, *length);
            Ok(())
        })
        .await?;
        self.finish_removal(offer, key).await
    }

    async fn finish_removal(&self, offer: &Name, key: &ObjectKey) -> Result<(), Error> {
        if let Some(object) = self.find_object(offer, key).await? {
            self.erase(&object).await?;
        }
        self.change_room(offer, |room| {
            room.removed(key);
            Ok(())
        })
        .await
    }

    /// Removes the bytes and the document of an object.
    pub(super) async fn erase(&self, object: &StoredObject) -> Result<(), Error> {
        let place = object.place();
        self.objects.delete(place).await?;
        let documents = &self.shelf.objects;
        documents
            .delete(place.as_str(), Expect::Any, Vec::new())
            .await?;
        Ok(())
    }

    /// Removes everything that is stored or announced under a grant.
    pub(crate) async fn remove_objects_of(&self, grant: &GrantId) -> Result<(), Error> {
        let holder = Holder::Grant(*grant);
        for seen in self.shelf.rooms.all(&Query::all()).await? {
            let room = seen.value;
            for (key, upload) in room.uploads().filter(|(_, upload)| upload.holder == holder) {
                self.give_up(&room.offer, key, upload).await?;
            }
        }
        for seen in self
            .shelf
            .objects
            .all(&Query::equals("grant", grant.to_string()))
            .await?
        {
            self.remove_object(&seen.value).await?;
        }
        Ok(())
    }

    /// Gives up a file that was announced. One of which a crash left the object and not the note of it in its room is
    /// noted instead: whoever removes the object takes its bytes from there.
    pub(super) async fn give_up(
        &self,
        offer: &Name,
        key: &ObjectKey,
        upload: &Upload,
    ) -> Result<(), Error> {
        let object = self.find_object(offer, key).await?;
        let stored = object.is_some_and(|object| object.upload == upload.id);
        files::remove(&self.part(&upload.id)).await?;
        self.uploads.forget(&upload.id);
        self.change_room(offer, |room| {
            match stored {
                true => room.store(key),
                false => room.give_up(key),
            }
            Ok(())
        })
        .await
    }

    /// Sweeps until it is stopped.
    pub(crate) async fn sweep_storage(self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.sweep_once().await {
                tracing::warn!(%error, "sweeping goes on at the next look");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn sweep_once(&self) -> Result<(), Error> {
        for seen in self.shelf.rooms.all(&Query::all()).await? {
            let room = seen.value;
            for (key, _) in room.removals() {
                self.finish_removal(&room.offer, key).await?;
            }
            self.sweep_uploads(&room).await?;
        }
        self.sweep_own_attempts().await?;
        self.forget_run_users().await
    }

    async fn sweep_uploads(&self, room: &Room) -> Result<(), Error> {
        let now = self.clock.now();
        for (key, upload) in room
            .uploads()
            .filter(|(_, upload)| upload.expires_at <= now)
        {
            // Its bytes may have come, and only the note of it not.
            match self.objects.stat(&place_in(&room.offer, key)?).await {
                Ok(there) if there.sha256.as_bytes() == upload.sha256.as_bytes() => {
                    self.register(&room.offer, key, upload).await?;
                }
                Ok(_) | Err(ObjectError::NotFound(_)) => {
                    self.give_up(&room.offer, key, upload).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The traces of our own ended attempts go after a while; partners' go with their grant.
    async fn sweep_own_attempts(&self) -> Result<(), Error> {
        let kept = Duration::from_secs(u64::from(self.settings.keep_days) * 24 * 3600);
        let before = self
            .clock
            .now()
            .checked_sub(kept)
            .unwrap_or(jiff::Timestamp::MIN);
        let until = Bound::Excluded(before.as_millisecond().into());
        for seen in self
            .shelf
            .attempts
            .all(&Query::range("own", Bound::Unbounded, until))
            .await?
        {
            self.remove_attempt(&seen.value.key).await?;
        }
        Ok(())
    }
}
