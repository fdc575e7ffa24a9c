//! Objects for our own people: list, read, write, delete. Everybody has their own; operators have all.

use std::ops::{Bound, Range};

use oc_kernel::{Digest, Name, ObjectKey, PageRequest, PageToken};
use oc_objects::ObjectBody;
use oc_service::access::Principal;
use oc_store::{IndexValue, Query};

use super::files::{self, SpoolFile};
use super::media_type_of;
use super::owners::Reach;
use super::uploads::{NewFile, Place};
use crate::documents::StoredObject;
use crate::domain::room::{Holder, RoomError};
use crate::error::Error;
use crate::ports::Stream;
use crate::provider::Provider;

/// A page of objects.
pub(crate) struct Listed {
    pub(crate) objects: Vec<StoredObject>,
    pub(crate) next: Option<PageToken>,
}

impl Provider {
    /// Objects of a storage offer within reach whose keys begin with `prefix`.
    pub(crate) async fn list_objects(
        &self,
        reach: &Reach,
        offer: &Name,
        prefix: &str,
        page: &PageRequest,
    ) -> Result<Listed, Error> {
        self.room(offer).await?;
        let (index, from) = match reach {
            Reach::All => ("place", format!("{offer}/{prefix}")),
            Reach::Of(user) => ("mine", format!("{user}/{offer}/{prefix}")),
        };
        let found = self.shelf.objects.list(&below(index, &from), page).await?;
        Ok(Listed {
            objects: found.items.into_iter().map(|seen| seen.value).collect(),
            next: found.next,
        })
    }

    /// How many objects are in a storage offer.
    pub(crate) async fn count_objects(&self, offer: &Name) -> Result<u64, Error> {
        let inside = below("place", &format!("{offer}/"));
        Ok(self.shelf.objects.all(&inside).await?.len() as u64)
    }

    /// The object of that key in a storage offer. One out of reach is not there.
    pub(crate) async fn object_for(
        &self,
        reach: &Reach,
        offer: &Name,
        key: &ObjectKey,
    ) -> Result<StoredObject, Error> {
        let object = self.object_in(offer, key).await?;
        if !reach.includes(&object) {
            return Err(Error::unknown("object", key));
        }
        Ok(object)
    }

    /// The bytes of an object, or a part of them.
    pub(crate) async fn read_object(
        &self,
        object: &StoredObject,
        range: Option<Range<u64>>,
    ) -> Result<ObjectBody, Error> {
        Ok(self.objects.get(object.place(), range).await?)
    }

    /// Stores an object of the caller. The same content again is no error.
    pub(crate) async fn write_object(
        &self,
        caller: &Principal,
        offer: &Name,
        key: &ObjectKey,
        sha256: Option<Digest>,
        media_type: &str,
        mut bytes: Stream,
    ) -> Result<StoredObject, Error> {
        let room = self.room(offer).await?;
        self.may_write(caller, &room, key).await?;
        let spooled = SpoolFile::new(&self.spool);
        let (used, limit) = (room.taken(None), room.capacity);
        let full = |asked| {
            let offer = offer.clone();
            Error::from(RoomError::Full {
                offer,
                asked,
                used,
                limit,
            })
        };
        let most = limit.saturating_sub(used);
        let taken = files::take_in(spooled.path(), &mut bytes, most, full);
        let (length, found) = taken.await?;
        if let Some(announced) = sha256
            && announced != found
        {
            return Err(Error::Invalid {
                field: "oc-sha256",
                reason: format!("the bytes have the digest {found}"),
            });
        }
        let media_type = if media_type.is_empty() {
            media_type_of(key)
        } else {
            media_type
        };
        let file = NewFile {
            offer: offer.clone(),
            key: key.clone(),
            holder: Holder::Own,
            attempt: None,
            announcer: None,
            user: caller.user().map(|user| user.id.clone()),
            length,
            sha256: found,
            media_type: media_type.to_owned(),
            quota: None,
        };
        if let Place::Wanted(upload) = self.announce(&file).await? {
            let bytes = files::read_from(spooled.path(), 0).await?;
            self.store(offer, key, &upload, bytes).await?;
        }
        self.object_in(offer, key).await
    }

    /// Deletes an object; deleting it again is no error.
    pub(crate) async fn delete_object(
        &self,
        reach: &Reach,
        offer: &Name,
        key: &ObjectKey,
    ) -> Result<(), Error> {
        self.room(offer).await?;
        let Some(object) = self.find_object(offer, key).await? else {
            return Ok(());
        };
        if !reach.includes(&object) {
            let text =
                format!("`{key}` belongs to another user: only they or an operator delete it");
            return Err(Error::Forbidden(text));
        }
        self.remove_object(&object).await
    }
}

/// The objects whose entries in an index begin so.
fn below(index: &'static str, from: &str) -> Query {
    // No key has a character after the last one of ASCII.
    let to = IndexValue::from(format!("{from}\u{7f}"));
    let from = IndexValue::from(from.to_owned());
    Query::range(index, Bound::Included(from), Bound::Excluded(to))
}
