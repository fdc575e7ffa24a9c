//! The read model of the search: every listing in memory, their words in tantivy.
//!
//! One change makes one immutable snapshot of both, so a search sees the words and the listings of the same
//! moment, and never waits for a writer.

mod facets;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use oc_kernel::PageToken;

use super::query::Filter;
use super::{CatalogError, Entry, Found, Key, Query};
use facets::Facets;
use text::{Hit, Text};

/// Facet counts given out with one answer.
const MOST_COUNTS: usize = 100;

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
}

/// The listings and their words at one moment.
struct Snapshot {
    searcher: tantivy::Searcher,
    fields: text::Fields,
    slots: Vec<Option<Indexed>>,
    /// Slots by name.
    order: Vec<u32>,
    /// The place of each slot in `order`.
    position: Vec<u32>,
    by_key: HashMap<Key, u32>,
    facets: Arc<Facets>,
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
        let snapshot = self.current();
        let slot = snapshot.by_key.get(key)?;
        let entry = &snapshot.indexed(*slot)?.entry;
        (!entry.is_gone(now_ms)).then(|| Arc::clone(entry))
    }

    /// How many listings there are.
    pub(crate) fn len(&self) -> usize {
        self.current().order.len()
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
        self.by_key.insert(entry.key.clone(), slot);
        self.order.insert(Arc::clone(&sort), slot);
        self.slots[slot as usize] = Some(Indexed {
            entry,
            sort,
            facets,
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
        let order: Vec<u32> = self.order.values().copied().collect();
        let mut position = vec![0; self.slots.len()];
        for (at, slot) in (0..).zip(&order) {
            position[*slot as usize] = at;
        }
        Ok(Snapshot {
            searcher,
            fields: self.text.fields(),
            slots: self.slots.clone(),
            order,
            position,
            by_key: self.by_key.clone(),
            facets: Arc::clone(&self.facets),
        })
    }
}

impl Snapshot {
    fn indexed(&self, slot: u32) -> Option<&Indexed> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn search(&self, query: &Query, now_ms: u64) -> Result<Found, CatalogError> {
        let wanted = query
            .facets
            .iter()
            .map(|(key, value)| self.facets.find(key, value));
        let Some(wanted) = wanted.collect::<Option<Vec<u32>>>() else {
            return Ok(Found::default());
        };
        let after = match &query.page.token {
            Some(token) => Some(Place::parse(&token.key()?)?),
            None => None,
        };
        let filter = Filter::new(query, now_ms);
        let mut counts = vec![0_u32; self.facets.len()];
        let mut found = Found::default();
        let mut last = None;
        for (rank, slot) in self.candidates(&query.text)? {
            let Some(indexed) = self.indexed(slot) else {
                continue;
            };
            let fits = wanted.iter().all(|facet| indexed.facets.contains(facet));
            if !fits || !filter.admits(&indexed.entry) {
                continue;
            }
            found.total += 1;
            for facet in indexed.facets.iter() {
                counts[*facet as usize] += 1;
            }
            let place = Place {
                rank,
                sort: &indexed.sort,
            };
            if after
                .as_ref()
                .is_some_and(|after| place <= after.as_place())
            {
                continue;
            }
            if found.entries.len() < query.page.limit() {
                found.entries.push(Arc::clone(&indexed.entry));
                last = Some(place);
            } else if found.next.is_none() {
                found.next = last.as_ref().map(Place::token);
            }
        }
        found.counts = self.facets.most_frequent(&counts, MOST_COUNTS);
        Ok(found)
    }

    /// The slots that have the words, best first; all of them by name when there are no words.
    fn candidates(&self, text: &str) -> Result<Vec<(u32, u32)>, CatalogError> {
        let Some(query) = self.fields.query(text, &self.searcher)? else {
            return Ok(self.order.iter().map(|slot| (0, *slot)).collect());
        };
        let hits = self.searcher.search(&query, &text::AllHits)?;
        let position = |slot: u32| {
            self.position
                .get(slot as usize)
                .copied()
                .unwrap_or(u32::MAX)
        };
        let mut ranked: Vec<(u32, u32)> = hits
            .into_iter()
            .map(|Hit { score, slot }| (rank(score), slot))
            .collect();
        ranked.sort_unstable_by_key(|(rank, slot)| (*rank, position(*slot)));
        Ok(ranked)
    }
}

/// Lower is better. The bits of positive floats sort as the floats do.
fn rank(score: f32) -> u32 {
    !score.max(0.0).to_bits()
}

/// Where an entry stands in an answer. A page token holds one, so that a page goes on behind the entry it
/// ended with, whatever was listed or withdrawn meanwhile.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    rank: u32,
    sort: &'a str,
}

struct OwnedPlace {
    rank: u32,
    sort: String,
}

impl OwnedPlace {
    fn as_place(&self) -> Place<'_> {
        Place {
            rank: self.rank,
            sort: &self.sort,
        }
    }
}

impl Place<'_> {
    fn token(&self) -> PageToken {
        PageToken::after(&format!("{:08x}{}", self.rank, self.sort))
    }

    fn parse(key: &str) -> Result<OwnedPlace, CatalogError> {
        let parts = key.split_at_checked(8);
        let parsed = parts.and_then(|(rank, sort)| {
            let rank = u32::from_str_radix(rank, 16).ok()?;
            Some(OwnedPlace {
                rank,
                sort: sort.to_owned(),
            })
        });
        parsed.ok_or(CatalogError::Page(oc_kernel::PageTokenError))
    }
}

fn facets_of(entry: &Entry) -> impl Iterator<Item = (&str, String)> {
    let named = entry.offer.facets.iter().flat_map(|(key, values)| {
        values
            .iter()
            .map(move |value| (key.as_str(), value.clone()))
    });
    let fixed = [
        ("kind", entry.offer.kind.as_str().to_owned()),
        ("owner", entry.key.owner.to_string()),
    ];
    named.chain(fixed)
}

#[cfg(test)]
mod tests;
