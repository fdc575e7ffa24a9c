//! The read model: every dataset and image in memory. It is filled from the store and follows it by
//! (key, revision), so that an older state never replaces a newer one.

mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oc_kernel::{Name, Revision};

use super::{DataError, Dataset, Geometry, Image, Nearest, Query, Span, State};
pub(super) use shelf::Place;
use shelf::Shelf;

/// An image with its footprint.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    /// The image.
    pub(crate) image: Image,
    /// Its footprint.
    pub(crate) geometry: Geometry,
    /// The box around it: west, south, east, north.
    pub(crate) bounds: [f64; 4],
}

impl Found {
    /// Reads the footprint of an image.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn of(image: Image) -> Result<Self, DataError> {
        let geometry = image.item.get("geometry");
        let geometry = Geometry::parse(geometry.unwrap_or(&serde_json::Value::Null))
            .map_err(|reason| DataError::stac(image.document_key(), reason))?;
        Ok(Self {
            bounds: geometry.bounds(),
            geometry,
            image,
        })
    }
}

/// What a dataset holds in all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    /// The dataset.
    pub(crate) dataset: Arc<Dataset>,
    /// Images.
    pub(crate) images: u64,
    /// Bytes of their files.
    pub(crate) bytes: u64,
    /// Around all footprints: west, south, east, north.
    pub(crate) bounds: Option<[f64; 4]>,
    /// From the first to the last taking.
    pub(crate) span: Span,
    /// Names of files that an image may have.
    pub(crate) assets: BTreeSet<Name>,
}

/// The read model.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<Name, Entry>,
    /// The newest revision seen of each document, deleted ones too.
    seen: BTreeMap<String, Revision>,
}

/// A dataset, or images whose dataset is not known yet.
#[derive(Debug, Default)]
struct Entry {
    dataset: Option<Arc<Dataset>>,
    shelf: Shelf,
}

impl Index {
    /// Takes over the state of a dataset's document; none when it was deleted.
    pub(crate) fn apply_dataset(
        &mut self,
        name: &Name,
        revision: Revision,
        dataset: Option<Dataset>,
    ) {
        if !self.is_newer(name.as_str(), revision) {
            return;
        }
        let offered = dataset.filter(|dataset| dataset.state == State::Offered);
        self.entries.entry(name.clone()).or_default().dataset = offered.map(Arc::new);
        self.drop_empty(name);
    }

    /// Takes over the state of an image's document; none when it was deleted.
    pub(crate) fn apply_image(
        &mut self,
        dataset: &Name,
        id: &Name,
        revision: Revision,
        image: Option<Found>,
    ) {
        if !self.is_newer(&format!("{dataset}/{id}"), revision) {
            return;
        }
        let shelf = &mut self.entries.entry(dataset.clone()).or_default().shelf;
        shelf.remove(id);
        if let Some(found) = image {
            shelf.insert(Arc::new(found));
        }
        self.drop_empty(dataset);
    }

    /// Takes over many images. Where there is none of their dataset yet, this is much faster than one by one.
    pub(crate) fn fill(&mut self, images: Vec<(Revision, Found)>) {
        let mut by_dataset: BTreeMap<Name, Vec<(Revision, Found)>> = BTreeMap::new();
        for (revision, found) in images {
            let dataset = found.image.dataset.clone();
            by_dataset
                .entry(dataset)
                .or_default()
                .push((revision, found));
        }
        for (dataset, images) in by_dataset {
            if self
                .entries
                .get(&dataset)
                .is_some_and(|entry| entry.shelf.len() > 0)
            {
                for (revision, found) in images {
                    let id = found.image.id.clone();
                    self.apply_image(&dataset, &id, revision, Some(found));
                }
                continue;
            }
            let newer = images.into_iter().filter_map(|(revision, found)| {
                let newer = self.is_newer(&found.image.document_key(), revision);
                newer.then(|| Arc::new(found))
            });
            let shelf = Shelf::of(newer.collect());
            self.entries.entry(dataset.clone()).or_default().shelf = shelf;
            self.drop_empty(&dataset);
        }
    }

    fn is_newer(&mut self, key: &str, revision: Revision) -> bool {
        let newer = self.seen.get(key).is_none_or(|seen| *seen < revision);
        if newer {
            self.seen.insert(key.to_owned(), revision);
        }
        newer
    }

    fn drop_empty(&mut self, name: &Name) {
        let empty = |entry: &Entry| entry.dataset.is_none() && entry.shelf.len() == 0;
        if self.entries.get(name).is_some_and(empty) {
            self.entries.remove(name);
        }
    }

    /// The offered dataset of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn dataset(&self, name: &str) -> Result<Arc<Dataset>, DataError> {
        Ok(self.offered(name)?.0.clone())
    }

    /// The offered dataset of that name and what it holds.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn summary(&self, name: &str) -> Result<Summary, DataError> {
        let (dataset, shelf) = self.offered(name)?;
        Ok(shelf.summary(dataset.clone()))
    }

    /// Every offered dataset, by name.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let entries = self.entries.values();
        let offered = entries.filter_map(|entry| Some(entry.shelf.summary(entry.dataset.clone()?)));
        offered.collect()
    }

    /// An image of an offered dataset.
    ///
    /// # Errors
    /// When there is no such dataset or image.
    pub(crate) fn image(&self, dataset: &str, id: &str) -> Result<Arc<Found>, DataError> {
        let (_, shelf) = self.offered(dataset)?;
        let found = id.parse::<Name>().ok().and_then(|id| shelf.get(&id));
        found.cloned().ok_or_else(|| DataError::NoImage {
            dataset: dataset.to_owned(),
            image: id.chars().take(80).collect(),
        })
    }

    /// The images of an offered dataset that a query wants, newest first.
    ///
    /// # Errors
    /// When there is no such dataset, or when the query names a file that no image has.
    pub(crate) fn find(&self, dataset: &str, query: &Query) -> Result<Vec<&Arc<Found>>, DataError> {
        let (_, shelf) = self.offered(dataset)?;
        // A misspelt name would find nothing for ever: it is told apart from an empty answer.
        if let Some(name) = shelf.missing_asset(&query.assets) {
            let text = format!("no image of dataset `{dataset}` has an asset `{name}`");
            return Err(DataError::Question(text));
        }
        let mut found = shelf.matching(query);
        let newest_first = |a: &&Arc<Found>, b: &&Arc<Found>| {
            let order = b.image.taken_ms.cmp(&a.image.taken_ms);
            order.then_with(|| a.image.id.cmp(&b.image.id))
        };
        if let Some(limit) = query.limit.filter(|limit| *limit < found.len()) {
            found.select_nth_unstable_by(limit, newest_first);
            found.truncate(limit);
        }
        found.sort_unstable_by(newest_first);
        Ok(found)
    }

    /// The image nearest in time to a query that finds none: of those that hold everything but the time,
    /// else of all; none in an empty dataset.
    ///
    /// # Errors
    /// When there is no such dataset.
    pub(crate) fn nearest(
        &self,
        dataset: &str,
        query: &Query,
    ) -> Result<Option<Nearest>, DataError> {
        let (_, shelf) = self.offered(dataset)?;
        let at_any_time = Query {
            time: Span::default(),
            ..query.clone()
        };
        let mut candidates = shelf.matching(&at_any_time);
        if candidates.is_empty() {
            candidates = shelf.matching(&Query::default());
        }
        let nearest = candidates.into_iter().min_by_key(|found| {
            let image = &found.image;
            let distance = query.time.distance(image);
            (distance, std::cmp::Reverse(image.taken_ms), &image.id)
        });
        Ok(nearest.map(|found| Nearest {
            id: found.image.id.clone(),
            taken_ms: found.image.taken_ms,
        }))
    }

    /// Every image of every offered dataset, or of those named, that a query wants, in no order.
    pub(super) fn find_in(&self, datasets: Option<&[String]>, query: &Query) -> Vec<&Arc<Found>> {
        let shelves = self.shelves(datasets);
        shelves.flat_map(|shelf| shelf.matching(query)).collect()
    }

    /// How many images of these datasets were taken in the span, and the newest of them, at most `limit` after
    /// a place in the order (time descending, dataset, id).
    pub(super) fn newest(
        &self,
        datasets: Option<&[String]>,
        span: Span,
        after: Option<&Place>,
        limit: usize,
    ) -> (usize, Vec<&Arc<Found>>) {
        let (mut matched, mut newest) = (0, Vec::new());
        for shelf in self.shelves(datasets) {
            let (count, found) = shelf.newest(span, after, limit);
            matched += count;
            newest.extend(found);
        }
        newest.sort_unstable_by_key(|found| Place::of(found));
        newest.truncate(limit);
        (matched, newest)
    }

    fn shelves(&self, datasets: Option<&[String]>) -> impl Iterator<Item = &Shelf> {
        let wanted = move |name: &Name| {
            datasets.is_none_or(|names| names.iter().any(|wanted| wanted == name.as_str()))
        };
        let entries = self.entries.iter();
        entries
            .filter(move |(name, entry)| entry.dataset.is_some() && wanted(name))
            .map(|(_, entry)| &entry.shelf)
    }

    fn offered(&self, name: &str) -> Result<(&Arc<Dataset>, &Shelf), DataError> {
        let entry = name
            .parse()
            .ok()
            .and_then(|name: Name| self.entries.get(&name));
        entry
            .and_then(|entry| Some((entry.dataset.as_ref()?, &entry.shelf)))
            .ok_or_else(|| DataError::NoDataset(name.chars().take(80).collect()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
