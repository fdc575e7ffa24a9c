//! Documents of one type: serialised, checked against a schema version, changed under a retry loop.

use std::marker::PhantomData;
use std::sync::Arc;

use oc_kernel::{Page, PageRequest, Revision};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::unknown::Unknown;
use crate::{Collection, Document, Expect, OutboxEvent, Query, Store, StoreError};

/// The field that carries the schema version; a document without it has version 1.
const SCHEMA_FIELD: &str = "v";
/// Tries of [`Documents::update`] before it gives up as contended.
const UPDATE_ATTEMPTS: u32 = 32;

/// The documents of type `T` in one collection. `T` must serialise to an object without a field `v`.
#[derive(Debug)]
pub struct Documents<T> {
    store: Arc<dyn Store>,
    collection: &'static Collection,
    schema: u32,
    of: PhantomData<fn() -> T>,
}

/// A document with the revision it was read at. Fields that `T` does not know are kept and written back.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// Its key.
    pub key: String,
    /// The revision it was read at.
    pub revision: Revision,
    /// The content.
    pub value: T,
    unknown: Unknown,
}

impl<T> Clone for Documents<T> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            collection: self.collection,
            schema: self.schema,
            of: PhantomData,
        }
    }
}

impl<T: Serialize + DeserializeOwned> Documents<T> {
    /// Documents written with schema version `schema`; newer ones are refused on reading. New optional
    /// fields need no new version, a changed meaning does.
    pub fn new(store: Arc<dyn Store>, collection: &'static Collection, schema: u32) -> Self {
        Self {
            store,
            collection,
            schema,
            of: PhantomData,
        }
    }

    /// The document, if there is one.
    ///
    /// # Errors
    /// A newer schema, an unreadable document, or the store's.
    pub async fn get(&self, key: &str) -> Result<Option<Versioned<T>>, StoreError> {
        let found = self.store.get(self.collection, key).await?;
        found.map(|document| self.decode(document)).transpose()
    }

    /// The document, which must be there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and those of [`Documents::get`].
    pub async fn require(&self, key: &str) -> Result<Versioned<T>, StoreError> {
        self.get(key).await?.ok_or_else(|| self.not_found(key))
    }

    /// Writes a new document.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] or the store's.
    pub async fn create(
        &self,
        key: &str,
        value: &T,
        events: Vec<OutboxEvent>,
    ) -> Result<Revision, StoreError> {
        self.put(key, value, Expect::Absent, events).await
    }

    /// Writes a document whatever it was; fields unknown to `T` are lost where one existed.
    ///
    /// # Errors
    /// Where `expect` is not met, or the store's.
    pub async fn put(
        &self,
        key: &str,
        value: &T,
        expect: Expect,
        events: Vec<OutboxEvent>,
    ) -> Result<Revision, StoreError> {
        let bytes = self.encode(key, value, &Unknown::default())?;
        self.store
            .put(self.collection, key, expect, bytes, events)
            .await
    }

    /// Writes a changed document over the revision it was read at.
    ///
    /// # Errors
    /// [`StoreError::Stale`] or the store's.
    pub async fn replace(
        &self,
        changed: &Versioned<T>,
        events: Vec<OutboxEvent>,
    ) -> Result<Revision, StoreError> {
        let bytes = self.encode(&changed.key, &changed.value, &changed.unknown)?;
        let expect = Expect::Revision(changed.revision);
        self.store
            .put(self.collection, &changed.key, expect, bytes, events)
            .await
    }

    /// Deletes the document; none where there was nothing to delete.
    ///
    /// # Errors
    /// Where `expect` is not met, or the store's.
    pub async fn delete(
        &self,
        key: &str,
        expect: Expect,
        events: Vec<OutboxEvent>,
    ) -> Result<Option<Revision>, StoreError> {
        self.store
            .delete(self.collection, key, expect, events)
            .await
    }

    /// Changes a document, again when someone else was faster. `change` sees the current content each
    /// time and answers with the events to send along; where it changes nothing and sends nothing,
    /// nothing is written.
    ///
    /// # Errors
    /// What `change` returns, [`StoreError::NotFound`], [`StoreError::Contended`], or the store's.
    pub async fn update<E, F>(&self, key: &str, mut change: F) -> Result<Versioned<T>, E>
    where
        E: From<StoreError>,
        F: FnMut(&mut T) -> Result<Vec<OutboxEvent>, E>,
    {
        for _ in 0..UPDATE_ATTEMPTS {
            let current = self.require(key).await?;
            match self.apply(current, &mut change).await {
                Attempt::Done(done) => return done,
                Attempt::Again => tokio::task::yield_now().await,
            }
        }
        Err(self.contended(key).into())
    }

    /// Like [`Documents::update`], but begins with `first` where there is no document yet.
    ///
    /// # Errors
    /// As [`Documents::update`], without `NotFound`.
    pub async fn update_or_create<E, F>(
        &self,
        key: &str,
        first: impl Fn() -> T,
        mut change: F,
    ) -> Result<Versioned<T>, E>
    where
        E: From<StoreError>,
        F: FnMut(&mut T) -> Result<Vec<OutboxEvent>, E>,
    {
        for _ in 0..UPDATE_ATTEMPTS {
            let current = self.get(key).await?.unwrap_or_else(|| Versioned {
                key: key.to_owned(),
                revision: Revision(0),
                value: first(),
                unknown: Unknown::default(),
            });
            match self.apply(current, &mut change).await {
                Attempt::Done(done) => return done,
                Attempt::Again => tokio::task::yield_now().await,
            }
        }
        Err(self.contended(key).into())
    }

    /// One page of documents.
    ///
    /// # Errors
    /// A damaged page token, a newer schema, an unreadable document, or the store's.
    pub async fn list(
        &self,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<Versioned<T>>, StoreError> {
        let found = self.store.list(self.collection, query, page).await?;
        let items = found.items.into_iter().map(|item| self.decode(item));
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next: found.next,
        })
    }

    /// Every document of the query, page by page, for snapshots of collections that fit into memory.
    ///
    /// # Errors
    /// As [`Documents::list`].
    pub async fn all(&self, query: &Query) -> Result<Vec<Versioned<T>>, StoreError> {
        let mut page = PageRequest {
            size: PageRequest::MAX_SIZE,
            token: None,
        };
        let mut items = Vec::new();
        loop {
            let found = self.list(query, &page).await?;
            items.extend(found.items);
            if found.next.is_none() {
                return Ok(items);
            }
            page.token = found.next;
        }
    }

    async fn apply<E, F>(&self, current: Versioned<T>, change: &mut F) -> Attempt<T, E>
    where
        E: From<StoreError>,
        F: FnMut(&mut T) -> Result<Vec<OutboxEvent>, E>,
    {
        let done = self.try_apply(current, change).await;
        match done {
            Ok(Some(changed)) => Attempt::Done(Ok(changed)),
            Ok(None) => Attempt::Again,
            Err(error) => Attempt::Done(Err(error)),
        }
    }

    /// None when someone else changed the document meanwhile.
    async fn try_apply<E, F>(
        &self,
        mut current: Versioned<T>,
        change: &mut F,
    ) -> Result<Option<Versioned<T>>, E>
    where
        E: From<StoreError>,
        F: FnMut(&mut T) -> Result<Vec<OutboxEvent>, E>,
    {
        let key = current.key.clone();
        let before = self.encode(&key, &current.value, &current.unknown)?;
        let events = change(&mut current.value)?;
        let after = self.encode(&key, &current.value, &current.unknown)?;
        let expect = match current.revision {
            Revision(0) => Expect::Absent,
            revision if before == after && events.is_empty() => {
                debug_assert_ne!(revision, Revision(0));
                return Ok(Some(current));
            }
            revision => Expect::Revision(revision),
        };
        let written = self
            .store
            .put(self.collection, &key, expect, after, events)
            .await;
        match written {
            Ok(revision) => {
                current.revision = revision;
                Ok(Some(current))
            }
            Err(StoreError::Stale { .. } | StoreError::AlreadyExists { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn decode(&self, document: Document) -> Result<Versioned<T>, StoreError> {
        let Document {
            key,
            revision,
            value,
        } = document;
        let unreadable = |source| StoreError::Unreadable {
            collection: self.collection.name,
            key: key.clone(),
            source,
        };
        let mut stored: Value = serde_json::from_slice(&value).map_err(unreadable)?;
        let schema = match stored.as_object_mut() {
            Some(fields) => fields.shift_remove(SCHEMA_FIELD).and_then(|v| v.as_u64()),
            None => None,
        };
        let schema = schema.unwrap_or(1);
        if schema > u64::from(self.schema) {
            return Err(StoreError::NewerSchema {
                collection: self.collection.name,
                key,
                found: schema,
                known: self.schema,
            });
        }
        let value = T::deserialize(&stored).map_err(unreadable)?;
        let known = serde_json::to_value(&value).map_err(unreadable)?;
        Ok(Versioned {
            unknown: Unknown::between(&stored, &known),
            key,
            revision,
            value,
        })
    }

    fn encode(&self, key: &str, value: &T, unknown: &Unknown) -> Result<Vec<u8>, StoreError> {
        let unreadable = |source| StoreError::Unreadable {
            collection: self.collection.name,
            key: key.to_owned(),
            source,
        };
        let mut document = serde_json::to_value(value).map_err(unreadable)?;
        unknown.restore(&mut document);
        if let Some(fields) = document.as_object_mut() {
            fields.insert(SCHEMA_FIELD.to_owned(), self.schema.into());
        }
        serde_json::to_vec(&document).map_err(unreadable)
    }

    fn not_found(&self, key: &str) -> StoreError {
        StoreError::NotFound {
            collection: self.collection.name,
            key: key.to_owned(),
        }
    }

    fn contended(&self, key: &str) -> StoreError {
        StoreError::Contended {
            collection: self.collection.name,
            key: key.to_owned(),
        }
    }
}

enum Attempt<T, E> {
    Done(Result<Versioned<T>, E>),
    Again,
}
