//! Removing what attempts have left in storage of ours and no manifest will name: their consumer says which.

use std::collections::BTreeMap;

use oc_kernel::{AttemptId, GrantId, Name};
use oc_store::Query;

use crate::attempts::Consumer;
use crate::documents::StoredObject;
use crate::domain::offer::{OfferKind, offer_of};
use crate::domain::room::Holder;
use crate::error::Error;
use crate::provider::Provider;

/// Attempts that one call may name.
const MOST_ATTEMPTS: usize = 100;
/// Objects that one call removes: it must come to its end while its caller waits.
const MOST_OBJECTS: usize = 500;
/// Objects that are written down as being removed at a time, in the document of their room.
const BATCH: usize = 100;

/// What a call has removed.
pub(crate) struct Removed {
    pub(crate) objects: u64,
    /// True where something is left for another call.
    pub(crate) more: bool,
}

impl Provider {
    /// Removes objects and announced files of attempts from a storage offer, as far as they are the consumer's own.
    /// What is gone already is no error, so that it can be said again after a crash on either side.
    pub(crate) async fn remove_outputs(
        &self,
        consumer: &Consumer,
        listing: &Name,
        attempts: &[AttemptId],
    ) -> Result<Removed, Error> {
        if attempts.len() > MOST_ATTEMPTS {
            return Err(Error::Malformed {
                field: "attempt_ids",
                reason: format!("{} were named, {MOST_ATTEMPTS} may be", attempts.len()),
            });
        }
        let Some((OfferKind::Storage, offer)) = offer_of(listing) else {
            return Err(Error::unknown("storage offer", listing));
        };
        let room = self.room(&offer).await?;
        let mut known = BTreeMap::new();
        let mut removed = 0;
        for (key, upload) in room.uploads() {
            let named = upload.attempt.is_some_and(|it| attempts.contains(&it));
            if named && self.is_of(consumer, upload.holder, &mut known).await? {
                self.give_up(&offer, key, upload).await?;
                removed += 1;
            }
        }
        let mut left = MOST_OBJECTS;
        let mut more = false;
        for attempt in attempts {
            let query = Query::equals("attempt", attempt.to_string());
            let mut doomed = Vec::new();
            for seen in self.shelf.objects.all(&query).await? {
                let object = seen.value;
                if object.offer == offer && self.is_of(consumer, object.holder, &mut known).await? {
                    doomed.push(object);
                }
            }
            more |= doomed.len() > left;
            doomed.truncate(left);
            left -= doomed.len();
            for batch in doomed.chunks(BATCH) {
                self.remove_together(&offer, batch).await?;
            }
            removed += doomed.len() as u64;
        }
        if removed > 0 {
            tracing::info!(%offer, removed, more, "outputs that count for nothing were removed");
        }
        Ok(Removed {
            objects: removed,
            more,
        })
    }

    /// True where what a holder has is the consumer's: all of our own is ours alone.
    async fn is_of(
        &self,
        consumer: &Consumer,
        holder: Holder,
        known: &mut BTreeMap<GrantId, bool>,
    ) -> Result<bool, Error> {
        let Holder::Grant(id) = holder else {
            return Ok(consumer.own);
        };
        if let Some(known) = known.get(&id) {
            return Ok(*known);
        }
        let grant = self
            .shelf
            .grants
            .all(&Query::equals("id", id.to_string()))
            .await?;
        let its = grant
            .iter()
            .any(|seen| seen.value.grant.consumer == consumer.org);
        known.insert(id, its);
        Ok(its)
    }

    /// Removes objects of one offer with two writes of its room. As with one object, each step can be done again.
    async fn remove_together(&self, offer: &Name, objects: &[StoredObject]) -> Result<(), Error> {
        self.change_room(offer, |room| {
            for object in objects {
                room.remove(&object.key, object.holder, object.length);
            }
            Ok(())
        })
        .await?;
        for object in objects {
            self.erase(object).await?;
        }
        self.change_room(offer, |room| {
            for object in objects {
                room.removed(&object.key);
            }
            Ok(())
        })
        .await
    }
}
