//! The read model of the search: every listing in memory, their words in tantivy.
//!
//! One change makes one immutable snapshot of both, so a search sees the words and the listings of the same
//! moment, and never waits for a writer.

mod facets;
mod row;
mod snapshot;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{CatalogError, Entry, Found, Key, Query};
use facets::Facets;
use snapshot::Snapshot;
use text::Text;

/// Every listing, searchable.
pub(crate) struct Index {
    writer: Mutex<Writer>,
    snapshot: RwLock<Arc<Snapshot>>,
}

struct Writer {
    text: Text,
    slots: Vec<Option<Indexed>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32>,
    order: BTreeMap<Arc<str>, u32>,
    facets: Arc<Facets>,
}

#[derive(Clone)]
struct Indexed {
    entry: Arc<Entry>,
    /// Sorts by name; the owner and the id make it unique.
    sort: Arc<str>,
    facets: Arc<[u32]>,
    /// The number of the facet that names the owner.
    owner: u32,
}

/// One change of the read model.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Arc<Entry>),
    Remove(Key),
}

impl Index {
    /// An empty read model.
    ///
    /// # Errors
    /// When tantivy cannot start its thread.
    pub(crate) fn new() -> Result<Self, CatalogError> {
        let mut writer = Writer {
            text: Text::new()?,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            order: BTreeMap::new(),
            facets: Arc::default(),
        };
        let snapshot = RwLock::new(Arc::new(writer.snapshot()?));
        Ok(Self {
            writer: Mutex::new(writer),
            snapshot,
        })
    }

    /// Applies changes together, on a thread of its own: tantivy takes some milliseconds to commit.
    ///
    /// # Errors
    /// When tantivy fails.
    pub(crate) async fn apply(self: &Arc<Self>, changes: Vec<Change>) -> Result<(), CatalogError> {
        if changes.is_empty() {
            return Ok(());
        }
        let index = Arc::clone(self);
        let applied = tokio::task::spawn_blocking(move || index.apply_now(changes)).await;
        applied.unwrap_or_else(|ended| {
            let text = format!("the index could not be changed: {ended}");
            Err(tantivy::TantivyError::InternalError(text).into())
        })
    }

    fn apply_now(&self, changes: Vec<Change>) -> Result<(), CatalogError> {
        let mut writer = self.lock();
        for change in changes {
            match change {
                Change::Put(entry) => writer.put(entry)?,
                Change::Remove(key) => writer.remove(&key),
            }
        }
        let snapshot = Arc::new(writer.snapshot()?);
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(())
    }

    /// Finds listings.
    ///
    /// # Errors
    /// When the page token is damaged or tantivy fails.
    pub(crate) fn search(&self, query: &Query, now_ms: u64) -> Result<Found, CatalogError> {
        self.current().search(query, now_ms)
    }

    /// One listing, unless it is gone.
    pub(crate) fn get(&self, key: &Key, now_ms: u64) -> Option<Arc<Entry>> {
        let entry = self.current().get(key)?;
        (!entry.is_gone(now_ms)).then_some(entry)
    }

    /// How many listings there are.
    pub(crate) fn len(&self) -> usize {
        self.current().len()
    }

    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn put(&mut self, entry: Arc<Entry>) -> Result<(), CatalogError> {
        self.remove(&entry.key);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.text.add(slot, &entry)?;
        let name = entry.offer.name.to_lowercase();
        let sort: Arc<str> = format!("{name}\0{}\0{}", entry.key.owner, entry.key.id).into();
        let facets = Arc::make_mut(&mut self.facets).take(facets_of(&entry));
        let owner = self.facets.find(OWNER, &entry.key.owner.to_string());
        let owner = owner.unwrap_or(u32::MAX);
        self.by_key.insert(entry.key.clone(), slot);
        self.order.insert(Arc::clone(&sort), slot);
        self.slots[slot as usize] = Some(Indexed {
            entry,
            sort,
            facets,
            owner,
        });
        Ok(())
    }

    fn remove(&mut self, key: &Key) {
        let Some(slot) = self.by_key.remove(key) else {
            return;
        };
        if let Some(old) = self.slots[slot as usize].take() {
            self.order.remove(&old.sort);
            Arc::make_mut(&mut self.facets).give_back(&old.facets);
        }
        self.text.delete(slot);
        self.free.push(slot);
    }

    fn snapshot(&mut self) -> Result<Snapshot, CatalogError> {
        let searcher = self.text.commit()?;
        let indexed = self.order.values().filter_map(|slot| {
            let indexed = self.slots[*slot as usize].as_ref()?;
            Some((*slot, indexed))
        });
        let facets = Arc::clone(&self.facets);
        Ok(Snapshot::new(searcher, self.text.fields(), facets, indexed))
    }
}

/// Facets of every listing; what an owner puts under these names does not count.
const KIND: &str = "kind";
const OWNER: &str = "owner";

fn facets_of(entry: &Entry) -> impl Iterator<Item = (&str, String)> {
    let named = entry
        .offer
        .facets
        .iter()
        .filter(|(key, _)| ![KIND, OWNER].contains(&key.as_str()));
    let named = named.flat_map(|(key, values)| {
        values
            .iter()
            .map(move |value| (key.as_str(), value.clone()))
    });
    let fixed = [
        (KIND, entry.offer.kind.as_str().to_owned()),
        (OWNER, entry.key.owner.to_string()),
    ];
    named.chain(fixed)
}

#[cfg(test)]
mod tests;
