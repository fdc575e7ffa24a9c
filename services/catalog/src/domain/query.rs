//! What is searched for, and which listings match.

use std::collections::BTreeMap;
use std::sync::Arc;

use oc_kernel::{PageRequest, PageToken};
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
