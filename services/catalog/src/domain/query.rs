//! What is searched for, and which listings match.

use std::collections::BTreeMap;
use std::sync::Arc;

use oc_kernel::{OrgId, PageRequest, PageToken};
use oc_trust::{Interval, ListingKind};

use super::{Area, Entry};

/// What is searched for; the default finds everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// Words that must occur; the last letters may be missing.
    pub(crate) text: String,
    /// Kinds wanted; empty for all.
    pub(crate) kinds: Vec<ListingKind>,
    /// OrgId or name of the owner.
    pub(crate) owner: Option<String>,
    /// Facets that must all match, as key and value.
    pub(crate) facets: Vec<(String, String)>,
    /// Only what touches this.
    pub(crate) area: Option<Area>,
    /// Only what overlaps this.
    pub(crate) time: Option<Interval>,
    /// Leave stale ones out.
    pub(crate) fresh_only: bool,
    /// Which page.
    pub(crate) page: PageRequest,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// One page, best first.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// How many match in all.
    pub(crate) total: u64,
    /// Where to go on.
    pub(crate) next: Option<PageToken>,
    /// How many matches have each facet, the most frequent ones.
    pub(crate) counts: BTreeMap<String, u64>,
}

/// The part of a query that is decided entry by entry.
pub(crate) struct Filter<'a> {
    query: &'a Query,
    owner: Option<Owner<'a>>,
    now_ms: u64,
}

enum Owner<'a> {
    Id(OrgId),
    Name(&'a str),
}

impl<'a> Filter<'a> {
    pub(crate) fn new(query: &'a Query, now_ms: u64) -> Self {
        let owner = query.owner.as_deref();
        let owner = owner.map(|text| text.parse().map_or(Owner::Name(text), Owner::Id));
        Self {
            query,
            owner,
            now_ms,
        }
    }

    pub(crate) fn admits(&self, entry: &Entry) -> bool {
        let query = self.query;
        (query.kinds.is_empty() || query.kinds.contains(&entry.offer.kind))
            && self.owner.as_ref().is_none_or(|owner| owner.is_of(entry))
            && query
                .time
                .is_none_or(|time| overlaps(&time, entry.offer.interval.as_ref()))
            && query
                .area
                .is_none_or(|area| entry.area().is_some_and(|a| a.touches(&area)))
            && !(query.fresh_only && entry.is_stale(self.now_ms))
            && !entry.is_gone(self.now_ms)
    }
}

impl Owner<'_> {
    fn is_of(&self, entry: &Entry) -> bool {
        match self {
            Owner::Id(org) => entry.key.owner == *org,
            Owner::Name(name) => entry.owner_name.eq_ignore_ascii_case(name),
        }
    }
}

/// A listing without a time does not say when its data were taken, so it does not match a search by time.
fn overlaps(wanted: &Interval, offered: Option<&Interval>) -> bool {
    let Some(offered) = offered else {
        return false;
    };
    let before = |start: Option<u64>, end: Option<u64>| match (start, end) {
        (Some(start), Some(end)) => start <= end,
        _ => true,
    };
    before(wanted.start, offered.end) && before(offered.start, wanted.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ends_overlap_everything_on_their_side() {
        let span = |start, end| Interval { start, end };
        let offered = span(Some(10), Some(20));
        for (wanted, expected) in [
            (span(None, None), true),
            (span(Some(20), None), true),
            (span(Some(21), None), false),
            (span(None, Some(10)), true),
            (span(None, Some(9)), false),
            (span(Some(12), Some(13)), true),
        ] {
            assert_eq!(overlaps(&wanted, Some(&offered)), expected, "{wanted:?}");
        }
        assert!(overlaps(&span(Some(5), Some(6)), Some(&span(None, None))));
        assert!(!overlaps(&span(None, None), None));
    }
}
