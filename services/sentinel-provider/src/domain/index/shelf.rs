//! The images of one dataset, found by place (an R-tree) and by time (a sorted list).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use oc_kernel::Name;
use rstar::{AABB, RTree, RTreeObject};

use super::{Found, Summary};
use crate::domain::{Area, Dataset, Query, Span};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    images: BTreeMap<Name, Arc<Found>>,
    /// By time, and for the same time by id backwards, so that the end is the newest with the first id.
    by_time: Vec<Arc<Found>>,
    footprints: RTree<Footprint>,
    /// When takings ended, with how many did then.
    ends: BTreeMap<i64, usize>,
    /// How many images have a file of that name.
    assets: BTreeMap<Name, usize>,
    bytes: u64,
    /// The longest taking that ever was here, in ms: how far before a span a taking in it may begin.
    longest_ms: i64,
}

/// A place in the order of images: time descending, then dataset and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::domain) struct Place {
    taken_ms: Reverse<i64>,
    dataset: String,
    id: String,
}

impl Place {
    pub(in crate::domain) fn new(taken_ms: i64, dataset: &str, id: &str) -> Self {
        Self {
            taken_ms: Reverse(taken_ms),
            dataset: dataset.to_owned(),
            id: id.to_owned(),
        }
    }

    pub(super) fn of(found: &Found) -> Self {
        let image = &found.image;
        Self::new(image.taken_ms, image.dataset.as_str(), image.id.as_str())
    }

    /// True for an image that comes after this place.
    fn is_before(&self, found: &Found) -> bool {
        let image = &found.image;
        let here = (self.taken_ms, &*self.dataset, &*self.id);
        here < (
            Reverse(image.taken_ms),
            image.dataset.as_str(),
            image.id.as_str(),
        )
    }
}

/// An image in the R-tree; the same one only if it is the same in memory.
#[derive(Debug, Clone)]
struct Footprint(Arc<Found>);

impl PartialEq for Footprint {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl RTreeObject for Footprint {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        envelope(self.0.bounds)
    }
}

fn envelope([west, south, east, north]: [f64; 4]) -> AABB<[f64; 2]> {
    AABB::from_corners([west, south], [east, north])
}

fn time_key(found: &Found) -> (i64, Reverse<&Name>) {
    (found.image.taken_ms, Reverse(&found.image.id))
}

impl Shelf {
    /// A shelf of these images.
    pub(super) fn of(mut images: Vec<Arc<Found>>) -> Self {
        images.sort_unstable_by(|a, b| time_key(a).cmp(&time_key(b)));
        let mut shelf = Self {
            footprints: RTree::bulk_load(images.iter().cloned().map(Footprint).collect()),
            ..Self::default()
        };
        for found in &images {
            shelf.count_in(found);
            shelf.images.insert(found.image.id.clone(), found.clone());
        }
        shelf.by_time = images;
        shelf
    }

    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    pub(super) fn get(&self, id: &Name) -> Option<&Arc<Found>> {
        self.images.get(id)
    }

    pub(super) fn insert(&mut self, found: Arc<Found>) {
        self.count_in(&found);
        let key = time_key(&found);
        let at = self.by_time.partition_point(|other| time_key(other) < key);
        self.by_time.insert(at, found.clone());
        self.footprints.insert(Footprint(found.clone()));
        self.images.insert(found.image.id.clone(), found);
    }

    pub(super) fn remove(&mut self, id: &Name) {
        let Some(found) = self.images.remove(id) else {
            return;
        };
        let key = time_key(&found);
        let at = self.by_time.partition_point(|other| time_key(other) < key);
        self.by_time.remove(at);
        self.footprints.remove(&Footprint(found.clone()));
        self.bytes -= found.image.bytes_of(&[]).unwrap_or(0);
        take_one(&mut self.ends, &found.image.ended_ms);
        for name in found.image.files.keys() {
            take_one(&mut self.assets, name);
        }
    }

    fn count_in(&mut self, found: &Found) {
        let image = &found.image;
        self.longest_ms = self.longest_ms.max(image.ended_ms - image.taken_ms);
        self.bytes += image.bytes_of(&[]).unwrap_or(0);
        *self.ends.entry(image.ended_ms).or_default() += 1;
        for name in image.files.keys() {
            *self.assets.entry(name.clone()).or_default() += 1;
        }
    }

    /// The first of these names that no image has a file of; none on an empty shelf.
    pub(super) fn missing_asset<'n>(&self, names: &'n [Name]) -> Option<&'n Name> {
        let missing = names.iter().find(|name| !self.assets.contains_key(*name));
        missing.filter(|_| self.len() > 0)
    }

    /// Every image that a query wants, in no order; its limit is the caller's to keep.
    pub(super) fn matching(&self, query: &Query) -> Vec<&Arc<Found>> {
        let wanted = |found: &&Arc<Found>| {
            query.time.touches(&found.image) && query.wants_at_any_time(&found.image)
        };
        match &query.area {
            None => self
                .near_in_time(query.time)
                .iter()
                .filter(wanted)
                .collect(),
            Some(area) => {
                let near = self
                    .footprints
                    .locate_in_envelope_intersecting(&envelope(area.bounds()));
                let near = near.map(|footprint| &footprint.0).filter(wanted);
                near.filter(|found| touches(area, found)).collect()
            }
        }
    }

    /// How many images were taken in the span, and the newest of them after a place.
    pub(super) fn newest(
        &self,
        span: Span,
        after: Option<&Place>,
        limit: usize,
    ) -> (usize, Vec<&Arc<Found>>) {
        let near = self.near_in_time(span);
        // Where every taking is an instant, those near are those in the span.
        let matched = match self.longest_ms {
            0 => near.len(),
            _ => near
                .iter()
                .filter(|found| span.touches(&found.image))
                .count(),
        };
        let end = after.map_or(near.len(), |place| {
            near.partition_point(|found| place.is_before(found))
        });
        let newest = near[..end]
            .iter()
            .rev()
            .filter(|found| span.touches(&found.image));
        (matched, newest.take(limit).collect())
    }

    /// The images whose taking may lie in the span.
    fn near_in_time(&self, span: Span) -> &[Arc<Found>] {
        if span.is_empty() {
            return &[];
        }
        let begin = span.from.map_or(0, |from| {
            let first = from.saturating_sub(self.longest_ms);
            self.by_time
                .partition_point(|found| found.image.taken_ms < first)
        });
        let end = span.to.map_or(self.by_time.len(), |to| {
            self.by_time
                .partition_point(|found| found.image.taken_ms <= to)
        });
        &self.by_time[begin..end.max(begin)]
    }

    pub(super) fn summary(&self, dataset: Arc<Dataset>) -> Summary {
        let bounds = self.footprints.root().envelope();
        let ([west, south], [east, north]) = (bounds.lower(), bounds.upper());
        Summary {
            dataset,
            images: self.len() as u64,
            bytes: self.bytes,
            bounds: (self.len() > 0).then_some([west, south, east, north]),
            span: Span {
                from: self.by_time.first().map(|found| found.image.taken_ms),
                to: self.ends.keys().next_back().copied(),
            },
            assets: self.assets.keys().cloned().collect(),
        }
    }
}

/// True when a footprint, whose box touches the area's box, touches the area.
fn touches(area: &Area, found: &Found) -> bool {
    let inside = area.as_box().is_some_and(|[west, south, east, north]| {
        let [w, s, e, n] = found.bounds;
        west <= w && south <= s && e <= east && n <= north
    });
    inside || area.touches(&found.geometry)
}

/// Takes one out of a count, and the count out when it was the last.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
