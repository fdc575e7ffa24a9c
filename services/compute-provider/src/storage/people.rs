//! Objects for our own people: list, read, write, delete.

use std::ops::{Bound, Range};

use oc_kernel::{Name, ObjectKey, PageRequest, PageToken};
use oc_objects::ObjectBody;
use oc_store::{IndexValue, Query};
use oc_trust::Digest;

use super::files::{self, SpoolFile};
use super::media_type_of;
use super::uploads::{NewFile, Place};
use crate::documents::StoredObject;
use crate::domain::room::Holder;
use crate::error::Error;
use crate::ports::Stream;
use crate::provider::Provider;

/// A page of objects.
pub(crate) struct Listed {
    pub(crate) objects: Vec<StoredObject>,
    pub(crate) next: Option<PageToken>,
}

/// An object that is read.
pub(crate) struct Reading {
    pub(crate) object: StoredObject,
    pub(crate) body: ObjectBody,
}

impl Provider {
    /// Objects of a storage offer whose keys begin with `prefix`.
    pub(crate) async fn list_objects(
        &self,
        offer: &Name,
        prefix: &str,
        page: &PageRequest,
    ) -> Result<Listed, Error> {
        self.room(offer).await?;
        let from = format!("{offer}/{prefix}");
        // No key has a character after the last one of ASCII.
        let to = format!("{from}\u{7f}");
        let (from, to) = (IndexValue::from(from), IndexValue::from(to));
        let query = Query::range("place", Bound::Included(from), Bound::Excluded(to));
        let found = self.shelf.objects.list(&query, page).await?;
        Ok(Listed {
            objects: found.items.into_iter().map(|seen| seen.value).collect(),
            next: found.next,
        })
    }

    /// Opens an object of a storage offer, or a part of it.
    pub(crate) async fn read_object(
        &self,
        offer: &Name,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Reading, Error> {
        let object = self.object_in(offer, key).await?;
        let body = self.objects.get(key, range).await?;
        Ok(Reading { object, body })
    }

    /// The object of that key, which must lie in this offer.
    pub(crate) async fn object_in(
        &self,
        offer: &Name,
        key: &ObjectKey,
    ) -> Result<StoredObject, Error> {
        let object = self.object(key).await?;
        if object.offer != *offer {
            return Err(Error::unknown("object", key));
        }
        Ok(object)
    }

    /// Stores an object of our own. The same content again is no error.
    pub(crate) async fn write_object(
        &self,
        offer: &Name,
        key: &ObjectKey,
        sha256: Option<Digest>,
        media_type: &str,
        mut bytes: Stream,
    ) -> Result<StoredObject, Error> {
        let room = self.room(offer).await?;
        let spooled = SpoolFile::new(&self.spool);
        let most = room.capacity.saturating_sub(room.taken(None));
        let (length, found) = files::take_in(spooled.path(), &mut bytes, most).await?;
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
            length,
            sha256: found,
            media_type: media_type.to_owned(),
            quota: None,
        };
        if let Place::Wanted(upload) = self.announce(&file).await? {
            let bytes = files::read_from(spooled.path(), 0).await?;
            self.store(offer, key, &upload, bytes).await?;
        }
        self.object(key).await
    }

    /// Deletes an object; deleting it again is no error.
    pub(crate) async fn delete_object(&self, offer: &Name, key: &ObjectKey) -> Result<(), Error> {
        self.room(offer).await?;
        let Some(seen) = self.shelf.objects.get(key.as_str()).await? else {
            return Ok(());
        };
        if seen.value.offer != *offer {
            return Err(Error::unknown("object", key));
        }
        self.remove_object(&seen.value).await
    }
}
