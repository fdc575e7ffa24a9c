//! The listings and their words at one moment, laid out for walking over all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oc_kernel::PageToken;

use super::facets::Facets;
use super::row::{Filter, Row};
use super::text::{AllHits, Fields, Hit};
use super::{Indexed, OWNER};
use crate::domain::{CatalogError, Entry, Found, Key, Query};

/// Facet counts given out with one answer.
const MOST_COUNTS: usize = 100;
/// The place of a slot that holds nothing.
const NOWHERE: u32 = u32::MAX;

/// The listings and their words at one moment. Everything is in the order of names; what a walk looks at lies
/// together, since following a pointer for each listing would take most of the time.
pub(super) struct Snapshot {
    searcher: tantivy::Searcher,
    fields: Fields,
    facets: Arc<Facets>,
    rows: Vec<Row>,
    /// The facets of all rows, one after the other.
    row_facets: Vec<u32>,
    entries: Vec<Arc<Entry>>,
    sorts: Vec<Arc<str>>,
    /// The place of each slot.
    places: Vec<u32>,
    by_key: HashMap<Key, u32>,
    /// Owners' names by the number of their facet.
    owners: BTreeMap<u32, Arc<str>>,
}

impl Snapshot {
    /// A snapshot of what is indexed, given in the order of names with the slots.
    pub(super) fn new<'a>(
        searcher: tantivy::Searcher,
        fields: Fields,
        facets: Arc<Facets>,
        indexed: impl Iterator<Item = (u32, &'a Indexed)>,
    ) -> Self {
        let mut snapshot = Self {
            searcher,
            fields,
            facets,
            rows: Vec::new(),
            row_facets: Vec::new(),
            entries: Vec::new(),
            sorts: Vec::new(),
            places: Vec::new(),
            by_key: HashMap::new(),
            owners: BTreeMap::new(),
        };
        for (place, (slot, indexed)) in (0..).zip(indexed) {
            snapshot.push(place, slot as usize, indexed);
        }
        snapshot
    }

    fn push(&mut self, place: u32, slot: usize, indexed: &Indexed) {
        let Indexed {
            entry,
            sort,
            facets,
            owner,
        } = indexed;
        let begin = self.row_facets.len();
        self.row_facets.extend_from_slice(facets);
        let row = Row::new(entry, *owner, begin..self.row_facets.len());
        self.rows.push(row);
        self.entries.push(Arc::clone(entry));
        self.sorts.push(Arc::clone(sort));
        self.by_key.insert(entry.key.clone(), place);
        self.owners
            .entry(*owner)
            .or_insert_with(|| Arc::clone(&entry.owner_name));
        if self.places.len() <= slot {
            self.places.resize(slot + 1, NOWHERE);
        }
        self.places[slot] = place;
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let place = self.by_key.get(key)?;
        self.entries.get(*place as usize).cloned()
    }

    pub(super) fn search(&self, query: &Query, now_ms: u64) -> Result<Found, CatalogError> {
        let wanted = query
            .facets
            .iter()
            .map(|(key, value)| self.facets.find(key, value));
        let Some(wanted) = wanted.collect::<Option<Vec<u32>>>() else {
            return Ok(Found::default());
        };
        let after = match &query.page.token {
            Some(token) => Some(OwnedPlace::parse(&token.key()?)?),
            None => None,
        };
        let filter = Filter::new(query, self.owners_named(query.owner.as_deref()), now_ms);
        let mut counts = vec![0_u32; self.facets.len()];
        let mut found = Found::default();
        let mut last = None;
        for (rank, place) in self.candidates(&query.text)? {
            let row = &self.rows[place as usize];
            let facets = &self.row_facets[row.facets()];
            let fits = filter.admits(row) && wanted.iter().all(|facet| facets.contains(facet));
            if !fits {
                continue;
            }
            found.total += 1;
            for facet in facets {
                counts[*facet as usize] += 1;
            }
            if found.next.is_some() {
                continue;
            }
            let at = Place {
                rank,
                sort: &self.sorts[place as usize],
            };
            if after.as_ref().is_some_and(|after| at <= after.as_place()) {
                continue;
            }
            if found.entries.len() < query.page.limit() {
                found
                    .entries
                    .push(Arc::clone(&self.entries[place as usize]));
                last = Some(at);
            } else {
                found.next = last.as_ref().map(Place::token);
            }
        }
        found.counts = self.facets.most_frequent(&counts, MOST_COUNTS);
        Ok(found)
    }

    /// The numbers of the owners with this OrgId or name; none when any will do.
    fn owners_named(&self, owner: Option<&str>) -> Option<Vec<u32>> {
        let owner = owner?;
        Some(match self.facets.find(OWNER, owner) {
            Some(number) => vec![number],
            None => {
                let named = self.owners.iter();
                let named = named.filter(|(_, name)| name.eq_ignore_ascii_case(owner));
                named.map(|(number, _)| *number).collect()
            }
        })
    }

    /// The places of what has the words, best first; all of them when there are no words.
    fn candidates(&self, text: &str) -> Result<Vec<(u32, u32)>, CatalogError> {
        let Some(query) = self.fields.query(text, &self.searcher)? else {
            return Ok((0..)
                .take(self.rows.len())
                .map(|place| (0, place))
                .collect());
        };
        let hits = self.searcher.search(&query, &AllHits)?.into_iter();
        let ranked = hits.filter_map(|Hit { score, slot }| {
            let place = *self.places.get(slot as usize)?;
            (place != NOWHERE).then(|| (rank(score), place))
        });
        let mut ranked: Vec<(u32, u32)> = ranked.collect();
        ranked.sort_unstable();
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
    fn parse(key: &str) -> Result<Self, CatalogError> {
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
}
