//! The registry: create, read, update, delete by (name, version).

use std::sync::Arc;

use oc_kernel::{Clock, Name, Page, PageRequest, Revision};
use oc_store::{Collection, Documents, Expect, Index, Query, Store, StoreError, Versioned};
use tokio::sync::Notify;

use super::error::RegistryError;
use super::service::{Draft, Listing, Service, key};

static SERVICES: Collection = Collection::new("services", &[Index::pointer("listing", "/listing")]);

/// All processing services.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    documents: Documents<Service>,
    clock: Arc<dyn Clock>,
    changed: Arc<Notify>,
}

impl Registry {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let documents = Documents::new(store, &SERVICES, 1);
        Self {
            documents,
            clock,
            changed: Arc::default(),
        }
    }

    /// Registers a service.
    pub(crate) async fn create(&self, draft: Draft) -> Result<Versioned<Service>, RegistryError> {
        draft.check()?;
        let now = self.clock.now_ms();
        let service = Service {
            name: draft.name,
            version: draft.version,
            description: draft.description,
            cwl: draft.cwl,
            images: draft.images,
            visible_to: draft.visible_to,
            created_at_ms: now,
            updated_at_ms: now,
            registered_at_ms: 0,
            listing: Listing::Pending,
        };
        // A service that is being withdrawn may be registered again: the listing is then renewed, not lost.
        let key = service.key();
        let expect = match self.documents.get(&key).await? {
            Some(old) if old.value.listing == Listing::Withdrawing => {
                Expect::Revision(old.revision)
            }
            _ => Expect::Absent,
        };
        match self.documents.put(&key, &service, expect, Vec::new()).await {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. } | StoreError::Stale { .. }) => {
                return Err(RegistryError::Exists {
                    name: service.name.to_string(),
                    version: service.version.to_string(),
                });
            }
            Err(error) => return Err(error.into()),
        }
        self.changed.notify_one();
        self.get(&service.name, &service.version).await
    }

    /// One service.
    pub(crate) async fn get(
        &self,
        name: &Name,
        version: &Name,
    ) -> Result<Versioned<Service>, RegistryError> {
        let found = self.documents.get(&key(name, version)).await?;
        let found = found.filter(|found| found.value.listing != Listing::Withdrawing);
        found.ok_or_else(|| RegistryError::Unknown {
            name: name.to_string(),
            version: version.to_string(),
        })
    }

    /// One page of services, by name and version.
    pub(crate) async fn list(
        &self,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Service>>, RegistryError> {
        let mut found = self.documents.list(&Query::all(), page).await?;
        found
            .items
            .retain(|found| found.value.listing != Listing::Withdrawing);
        Ok(found)
    }

    /// Replaces what a person gave, over the revision that was seen.
    pub(crate) async fn update(
        &self,
        draft: Draft,
        seen: Revision,
    ) -> Result<Versioned<Service>, RegistryError> {
        draft.check()?;
        let mut current = self.get(&draft.name, &draft.version).await?;
        let stale = |found| RegistryError::Stale { seen, found };
        if current.revision != seen {
            return Err(stale(current.revision));
        }
        let now = self.clock.now_ms();
        let service = &mut current.value;
        service.description = draft.description;
        service.cwl = draft.cwl;
        service.images = draft.images;
        service.visible_to = draft.visible_to;
        service.updated_at_ms = now;
        service.listing = Listing::Pending;
        match self.documents.replace(&current, Vec::new()).await {
            Ok(revision) => current.revision = revision,
            Err(StoreError::Stale { found, .. }) => return Err(stale(found)),
            Err(error) => return Err(error.into()),
        }
        self.changed.notify_one();
        Ok(current)
    }

    /// Removes a service; its listing is withdrawn next.
    pub(crate) async fn delete(&self, name: &Name, version: &Name) -> Result<(), RegistryError> {
        self.get(name, version).await?;
        let key = key(name, version);
        let withdrawn = self.documents.update(&key, |service| {
            service.listing = Listing::Withdrawing;
            Ok::<_, RegistryError>(Vec::new())
        });
        withdrawn.await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Services whose listing is in this state.
    pub(crate) async fn by_listing(
        &self,
        listing: Listing,
    ) -> Result<Vec<Versioned<Service>>, RegistryError> {
        let state = match listing {
            Listing::Pending => "pending",
            Listing::Listed => "listed",
            Listing::Withdrawing => "withdrawing",
        };
        Ok(self.documents.all(&Query::equals("listing", state)).await?)
    }

    /// The catalogue has this form; a form that was changed meanwhile stays pending.
    pub(crate) async fn mark_listed(
        &self,
        mut listed: Versioned<Service>,
    ) -> Result<(), RegistryError> {
        listed.value.listing = Listing::Listed;
        listed.value.registered_at_ms = self.clock.now_ms();
        match self.documents.replace(&listed, Vec::new()).await {
            Ok(_) | Err(StoreError::Stale { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The catalogue has forgotten it; so do we, unless it was registered again meanwhile.
    pub(crate) async fn forget(&self, withdrawn: &Versioned<Service>) -> Result<(), RegistryError> {
        let expect = Expect::Revision(withdrawn.revision);
        match self
            .documents
            .delete(&withdrawn.key, expect, Vec::new())
            .await
        {
            Ok(_) | Err(StoreError::Stale { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Resolves when something was changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
