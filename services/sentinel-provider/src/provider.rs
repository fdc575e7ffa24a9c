//! The use cases of a data provider: what both faces, REST and gRPC, call.

mod access;
mod datasets;
mod leaving;
mod orders;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use oc_auth::RootKey;
use oc_door::Door;
use oc_kernel::{Clock, Name, OrgId, Revision};
use oc_objects::Objects;
use oc_store::{Collection, Documents, Query as StoreQuery, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::domain::{
    DATASETS, DataError, Dataset, Found, IMAGES, Image, Index, RESERVATIONS, Reservation,
};
use crate::ports::{Catalogue, Grants};
use crate::{Parts, Settings};

pub(crate) use orders::{Count, Order};

static SECRETS: Collection = Collection::new("secrets", &[]);
const TOKEN_KEY: &str = "tokens";

#[derive(Debug, Serialize, Deserialize)]
struct Secret {
    hex: String,
}

/// Datasets, images and reservations. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Inner>);

pub(crate) struct Inner {
    datasets: Documents<Dataset>,
    images: Documents<Image>,
    reservations: Documents<Reservation>,
    index: RwLock<Index>,
    objects: Arc<dyn Objects>,
    store: Arc<dyn Store>,
    door: Door,
    grants: Grants,
    catalogue: Catalogue,
    clock: Arc<dyn Clock>,
    token_key: RootKey,
    settings: Settings,
    /// Datasets that the catalogue has as they are now.
    listed: RwLock<BTreeSet<Name>>,
    /// Told when a dataset has changed and must be listed anew or removed.
    changed: Notify,
}

impl Provider {
    /// Opens the documents; the read model is filled by [`Provider::load`].
    pub(crate) async fn open(parts: &Parts) -> Result<Self, DataError> {
        let store = parts.store.clone();
        Ok(Self(Arc::new(Inner {
            datasets: Documents::new(store.clone(), &DATASETS, 1),
            images: Documents::new(store.clone(), &IMAGES, 1),
            reservations: Documents::new(store.clone(), &RESERVATIONS, 1),
            index: RwLock::default(),
            objects: parts.objects.clone(),
            door: parts.door.clone(),
            grants: Grants::new(&parts.switchboard),
            catalogue: Catalogue::new(&parts.switchboard),
            clock: parts.clock.clone(),
            token_key: token_key(&store).await?,
            settings: parts.settings.clone(),
            listed: RwLock::default(),
            changed: Notify::new(),
            store,
        })))
    }

    /// Fills the read model from the store.
    pub(crate) async fn load(&self) -> Result<(), DataError> {
        let datasets = self.0.datasets.all(&StoreQuery::all()).await?;
        let images = self.0.images.all(&StoreQuery::all()).await?;
        let images = images
            .into_iter()
            .map(|image| Ok((image.revision, Found::of(image.value)?)));
        let images = images.collect::<Result<_, DataError>>()?;
        let mut index = self.write_index();
        for dataset in datasets {
            let name = dataset.value.name.clone();
            index.apply_dataset(&name, dataset.revision, Some(dataset.value));
        }
        index.fill(images);
        Ok(())
    }

    /// Takes the current state of a dataset's document over, as far as it is not older than the event.
    pub(crate) async fn follow_dataset(
        &self,
        name: &Name,
        event: Revision,
    ) -> Result<(), DataError> {
        let found = self.0.datasets.get(name.as_str()).await?;
        let revision = found.as_ref().map_or(event, |found| found.revision);
        let dataset = found.map(|found| found.value);
        self.write_index().apply_dataset(name, revision, dataset);
        Ok(())
    }

    /// The same for an image's document.
    pub(crate) async fn follow_image(
        &self,
        dataset: &Name,
        id: &Name,
        event: Revision,
    ) -> Result<(), DataError> {
        match self.0.images.get(&format!("{dataset}/{id}")).await? {
            Some(found) => self.apply_image(found.revision, found.value),
            None => {
                self.write_index().apply_image(dataset, id, event, None);
                Ok(())
            }
        }
    }

    fn apply_image(&self, revision: Revision, image: Image) -> Result<(), DataError> {
        let (dataset, id) = (image.dataset.clone(), image.id.clone());
        let found = Found::of(image)?;
        self.write_index()
            .apply_image(&dataset, &id, revision, Some(found));
        Ok(())
    }

    /// The read model.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_index(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn door(&self) -> &Door {
        &self.0.door
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// Returns when a dataset has changed.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Notes what the catalogue has.
    pub(crate) fn note_listed(&self, name: &Name, listed: bool) {
        let mut names = self
            .0
            .listed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match listed {
            true => names.insert(name.clone()),
            false => names.remove(name),
        };
    }

    fn is_listed(&self, name: &Name) -> bool {
        let names = self.0.listed.read().unwrap_or_else(PoisonError::into_inner);
        names.contains(name)
    }

    /// Our own organisation, which owns every file here.
    pub(crate) async fn owner(&self) -> Result<OrgId, DataError> {
        Ok(self.0.door.identity().await?.org)
    }

    /// Succeeds while the store and the folder answer.
    pub(crate) async fn ping(&self) -> Result<(), DataError> {
        self.0.store.ping().await?;
        Ok(self.0.objects.ping().await?)
    }
}

/// The key that makes tokens: made once, kept in this service's own store.
async fn token_key(store: &Arc<dyn Store>) -> Result<RootKey, DataError> {
    let secrets: Documents<Secret> = Documents::new(store.clone(), &SECRETS, 1);
    let first = || Secret {
        hex: hex::encode(RootKey::generate().expose()),
    };
    let keep = |_: &mut Secret| Ok::<_, DataError>(Vec::new());
    let secret = secrets.update_or_create(TOKEN_KEY, first, keep).await?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(&secret.value.hex, &mut bytes).map_err(|error| DataError::Field {
        what: "stored key of tokens",
        reason: error.to_string(),
    })?;
    Ok(RootKey::from_bytes(bytes))
}
