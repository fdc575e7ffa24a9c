//! Objects of storage offers, and of the workspace in which runs leave something for their later fragments.
//!
//! Bytes lie in the object store below the name of their offer; a document says whose they are; the room of the
//! offer counts them. The room is told first and last, so that a crash in between leaves work for the sweeper and
//! never a wrong number.

mod deliver;
mod files;
mod guard;
mod leftovers;
mod owners;
mod people;
mod step_objects;
mod sweeper;
mod transfers;
mod uploads;

use oc_kernel::{Digest, GrantId, Name, NameError, ObjectKey};
use oc_store::{Expect, Query, StoreError};
use oc_trust::{Authority, Input};

pub(crate) use owners::Reach;
pub(crate) use transfers::{NewDownload, NewUpload};
pub(crate) use uploads::Uploads;

use crate::documents::StoredObject;
use crate::domain::offer::{OfferKind, WORKSPACE, offer_of};
use crate::domain::room::{Holder, Room};
use crate::error::Error;
use crate::provider::Provider;

impl Provider {
    /// Makes the workspace, or gives it the size it has in the settings now.
    pub(crate) async fn open_workspace(&self) -> Result<(), Error> {
        let name: Name = WORKSPACE.parse()?;
        let room = Room::new(name.clone(), self.settings.workspace_bytes);
        match self.shelf.rooms.create(WORKSPACE, &room, Vec::new()).await {
            Ok(_) => return Ok(()),
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // What is in it stays, even where the settings give it less now.
        let bytes = self.settings.workspace_bytes;
        self.change_room(&name, |room| {
            room.capacity = bytes;
            Ok(())
        })
        .await
    }

    /// The room of a storage offer.
    pub(crate) async fn room(&self, name: &Name) -> Result<Room, Error> {
        let found = self.shelf.rooms.get(name.as_str()).await?;
        found
            .map(|seen| seen.value)
            .ok_or_else(|| Error::unknown("storage offer", name))
    }

    /// Changes a room.
    pub(crate) async fn change_room<T>(
        &self,
        name: &Name,
        mut change: impl FnMut(&mut Room) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _alone = self.changing_rooms.lock().await;
        let mut answer = None;
        let changed = self
            .shelf
            .rooms
            .update(name.as_str(), |room| -> Result<_, Error> {
                answer = Some(change(room)?);
                Ok(Vec::new())
            });
        match changed.await {
            Err(Error::Store(StoreError::NotFound { .. })) => {
                return Err(Error::unknown("storage offer", name));
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        answer.ok_or_else(|| Error::Unavailable("the room was not changed".to_owned()))
    }

    /// Takes nothing more into a room.
    pub(crate) async fn close_room(&self, name: &Name) -> Result<(), Error> {
        self.change_room(name, |room| {
            room.closed = true;
            Ok(())
        })
        .await
    }

    /// Removes the room of a withdrawn offer; false while something is in it.
    pub(crate) async fn remove_room(&self, name: &Name) -> Result<bool, Error> {
        let Some(seen) = self.shelf.rooms.get(name.as_str()).await? else {
            return Ok(true);
        };
        let room = &seen.value;
        if room.taken(None) > 0 || room.removals().next().is_some() {
            return Ok(false);
        }
        // Empty files take no room.
        if self.count_objects(name).await? > 0 {
            return Ok(false);
        }
        let expect = Expect::Revision(seen.revision);
        match self
            .shelf
            .rooms
            .delete(name.as_str(), expect, Vec::new())
            .await
        {
            Ok(_) => Ok(true),
            Err(StoreError::Stale { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes stored or announced under a grant.
    pub(crate) async fn stored_under(&self, grant: &GrantId) -> Result<u64, Error> {
        let rooms = self.shelf.rooms.all(&Query::all()).await?;
        let holder = Holder::Grant(*grant);
        Ok(rooms
            .iter()
            .map(|seen| seen.value.taken(Some(&holder)))
            .sum())
    }

    /// The object of that key in a storage offer; none where there is none.
    pub(super) async fn find_object(
        &self,
        offer: &Name,
        key: &ObjectKey,
    ) -> Result<Option<StoredObject>, Error> {
        let here = Query::equals("place", format!("{offer}/{key}"));
        let found = self.shelf.objects.all(&here).await?.into_iter().next();
        Ok(found.map(|seen| seen.value))
    }

    /// The object of that key in a storage offer.
    pub(crate) async fn object_in(
        &self,
        offer: &Name,
        key: &ObjectKey,
    ) -> Result<StoredObject, Error> {
        let found = self.find_object(offer, key).await?;
        found.ok_or_else(|| Error::unknown("object", key))
    }

    /// An object of ours with this key and content that an attempt may read: under a grant, one of its own.
    pub(super) async fn object_of(
        &self,
        key: &ObjectKey,
        sha256: &Digest,
        grant: Option<GrantId>,
    ) -> Result<StoredObject, Error> {
        let of_key = Query::equals("key", key.as_str());
        let found = self.shelf.objects.all(&of_key).await?;
        let mut found = found.into_iter().map(|seen| seen.value);
        let fits = |it: &StoredObject| {
            it.sha256 == *sha256 && grant.is_none_or(|id| it.holder == Holder::Grant(id))
        };
        found
            .find(fits)
            .ok_or_else(|| Error::unknown("object", key))
    }

    /// The object of ours that a verified chain lets be read, with the content it names.
    pub(crate) async fn readable(
        &self,
        authority: &Authority,
        key: &ObjectKey,
    ) -> Result<StoredObject, Error> {
        let mut refusal = Error::Forbidden(format!("the delegation does not let `{key}` be read"));
        let named = |input: &&Input| input.owner == authority.owner && input.object == *key;
        // The same key may be named in several storage offers.
        for input in authority.inputs.iter().filter(named) {
            match self.readable_as(authority, input).await {
                Ok(object) => return Ok(object),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    async fn readable_as(
        &self,
        authority: &Authority,
        input: &Input,
    ) -> Result<StoredObject, Error> {
        let key = &input.object;
        let refused = || Error::Forbidden(format!("the delegation does not let `{key}` be read"));
        let offer = match &input.listing {
            Some(listing) => match offer_of(listing) {
                Some((OfferKind::Storage, name)) => name,
                _ => return Err(refused()),
            },
            None => WORKSPACE.parse()?,
        };
        let object = self.object_in(&offer, key).await?;
        // Who has a grant over an offer has its own objects in it, and nobody else's.
        let granted = authority.grant.as_ref();
        if granted.is_some_and(|grant| object.holder != Holder::Grant(grant.id)) {
            return Err(refused());
        }
        if object.sha256 != input.sha256 {
            return Err(Error::Conflict(format!(
                "`{key}` has other content than was delegated"
            )));
        }
        Ok(object)
    }
}

/// Where the bytes of a new object lie: below its offer, where a person finds them.
pub(super) fn place_in(offer: &Name, key: &ObjectKey) -> Result<ObjectKey, Error> {
    format!("{offer}/{key}")
        .parse()
        .map_err(|error: NameError| Error::Malformed {
            field: "key",
            reason: format!("with `{offer}/` before it, {error}"),
        })
}

/// The media type that a file name suggests; empty where it suggests none.
pub(crate) fn media_type_of(key: &ObjectKey) -> &'static str {
    let name = key.file_name();
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("tif" | "tiff") => "image/tiff; application=geotiff",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("jp2") => "image/jp2",
        Some("json") => "application/json",
        Some("geojson") => "application/geo+json",
        Some("xml") => "application/xml",
        Some("csv") => "text/csv",
        Some("txt" | "log") => "text/plain",
        Some("html") => "text/html",
        Some("zip") => "application/zip",
        Some("nc") => "application/x-netcdf",
        _ => "",
    }
}
