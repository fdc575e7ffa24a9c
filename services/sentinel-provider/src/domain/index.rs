//! The read model: every dataset and image in memory, found by place (R-tree) and by time. It is filled
//! from the store and follows it by (key, revision), so that an older state never replaces a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use oc_kernel::{Name, Revision};
use rstar::{AABB, RTree, RTreeObject};

use super::{DataError, Dataset, Geometry, Image, Nearest, Query, Span, State};

/// An image with its footprint.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    /// The image.
    pub(crate) image: Image,
    /// Its footprint.
    pub(crate) geometry: Geometry,
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
    shelves: BTreeMap<Name, Shelf>,
    /// The newest revision seen of each document, deleted ones too.
    seen: BTreeMap<String, Revision>,
}

#[derive(Debug, Default)]
struct Shelf {
    dataset: Option<Arc<Dataset>>,
    images: BTreeMap<Name, Arc<Found>>,
    times: BTreeSet<(i64, Name)>,
    footprints: RTree<Footprint>,
    /// The longest taking that ever was here, in ms: how far before a span a taking in it may begin.
    longest_ms: i64,
}

#[derive(Debug, Clone, PartialEq)]
struct Footprint {
    bounds: [f64; 4],
    id: Name,
}

impl RTreeObject for Footprint {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        envelope(self.bounds)
    }
}

fn envelope([west, south, east, north]: [f64; 4]) -> AABB<[f64; 2]> {
    AABB::from_corners([west, south], [east, north])
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
        match dataset.filter(|dataset| dataset.state == State::Offered) {
            Some(dataset) => {
                self.shelves.entry(name.clone()).or_default().dataset = Some(Arc::new(dataset));
            }
            None => {
                if let Some(shelf) = self.shelves.get_mut(name) {
                    shelf.dataset = None;
                }
            }
        }
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
        let shelf = self.shelves.entry(dataset.clone()).or_default();
        shelf.remove(id);
        if let Some(found) = image {
            shelf.insert(found);
        }
        self.drop_empty(dataset);
    }

    fn is_newer(&mut self, key: &str, revision: Revision) -> bool {
        let newer = self.seen.get(key).is_none_or(|seen| *seen < revision);
        if newer {
            self.seen.insert(key.to_owned(), revision);
        }
        newer
    }

    fn drop_empty(&mut self, name: &Name) {
        let empty = |shelf: &Shelf| shelf.dataset.is_none() && shelf.images.is_empty();
        if self.shelves.get(name).is_some_and(empty) {
            self.shelves.remove(name);
        }
    }

    /// The offered dataset of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn summary(&self, name: &str) -> Result<Summary, DataError> {
        let (dataset, shelf) = self.offered(name)?;
        Ok(shelf.summary(dataset.clone()))
    }

    /// Every offered dataset, by name.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let shelves = self.shelves.values();
        let offered = shelves.filter_map(|shelf| Some(shelf.summary(shelf.dataset.clone()?)));
        offered.collect()
    }

    /// An image of an offered dataset.
    ///
    /// # Errors
    /// When there is no such dataset or image.
    pub(crate) fn image(&self, dataset: &str, id: &str) -> Result<Arc<Found>, DataError> {
        let (_, shelf) = self.offered(dataset)?;
        let found = id.parse::<Name>().ok().and_then(|id| shelf.images.get(&id));
        found.cloned().ok_or_else(|| DataError::NoImage {
            dataset: dataset.to_owned(),
            image: id.chars().take(80).collect(),
        })
    }

    /// The images of an offered dataset that a query wants, newest first.
    ///
    /// # Errors
    /// When there is no such dataset, or when the query names a file that no image has.
    pub(crate) fn find(&self, dataset: &str, query: &Query) -> Result<Vec<Arc<Found>>, DataError> {
        let (_, shelf) = self.offered(dataset)?;
        shelf.check_assets(dataset, query)?;
        let mut found = shelf.matching(query);
        found.sort_by(|a, b| {
            let order = b.image.taken_ms.cmp(&a.image.taken_ms);
            order.then_with(|| a.image.id.cmp(&b.image.id))
        });
        if let Some(limit) = query.limit {
            found.truncate(limit);
        }
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
            candidates = shelf.images.values().cloned().collect();
        }
        let nearest = candidates.into_iter().min_by_key(|found| {
            let image = &found.image;
            (
                query.time.distance(image),
                std::cmp::Reverse(image.taken_ms),
                image.id.clone(),
            )
        });
        Ok(nearest.map(|found| Nearest {
            id: found.image.id.clone(),
            taken_ms: found.image.taken_ms,
        }))
    }

    /// Every image of every offered dataset, or of those named, that a query wants, in no order.
    pub(super) fn find_in(&self, datasets: Option<&[String]>, query: &Query) -> Vec<Arc<Found>> {
        let wanted =
            |name: &Name| datasets.is_none_or(|names| names.iter().any(|n| n == name.as_str()));
        let shelves = self.shelves.iter();
        let shelves = shelves.filter(|(name, shelf)| shelf.dataset.is_some() && wanted(name));
        shelves
            .flat_map(|(_, shelf)| shelf.matching(query))
            .collect()
    }

    fn offered(&self, name: &str) -> Result<(&Arc<Dataset>, &Shelf), DataError> {
        let shelf = name
            .parse::<Name>()
            .ok()
            .and_then(|name| self.shelves.get(&name));
        shelf
            .and_then(|shelf| Some((shelf.dataset.as_ref()?, shelf)))
            .ok_or_else(|| DataError::NoDataset(name.chars().take(80).collect()))
    }
}

impl Shelf {
    fn insert(&mut self, found: Found) {
        let image = &found.image;
        self.longest_ms = self.longest_ms.max(image.ended_ms - image.taken_ms);
        self.times.insert((image.taken_ms, image.id.clone()));
        self.footprints.insert(Footprint {
            bounds: found.geometry.bounds(),
            id: image.id.clone(),
        });
        self.images.insert(image.id.clone(), Arc::new(found));
    }

    fn remove(&mut self, id: &Name) {
        let Some(found) = self.images.remove(id) else {
            return;
        };
        self.times.remove(&(found.image.taken_ms, id.clone()));
        self.footprints.remove(&Footprint {
            bounds: found.geometry.bounds(),
            id: id.clone(),
        });
    }

    fn matching(&self, query: &Query) -> Vec<Arc<Found>> {
        if query.time.is_empty() {
            return Vec::new();
        }
        let candidates: Vec<&Name> = match &query.area {
            Some(area) => {
                let boxed = envelope(area.bounds());
                let near = self.footprints.locate_in_envelope_intersecting(&boxed);
                near.map(|footprint| &footprint.id).collect()
            }
            None => {
                let first = |from: i64| (from.saturating_sub(self.longest_ms), first_name());
                let from = query
                    .time
                    .from
                    .map_or(Bound::Unbounded, |from| Bound::Included(first(from)));
                let to = query.time.to.and_then(|to| to.checked_add(1));
                let to = to.map_or(Bound::Unbounded, |to| Bound::Excluded((to, first_name())));
                self.times.range((from, to)).map(|(_, id)| id).collect()
            }
        };
        let found = candidates.into_iter().filter_map(|id| self.images.get(id));
        let wanted = found.filter(|found| {
            query.time.touches(&found.image)
                && query.wants_at_any_time(&found.image)
                && query
                    .area
                    .as_ref()
                    .is_none_or(|area| area.touches(&found.geometry))
        });
        wanted.cloned().collect()
    }

    /// A misspelt file name would find nothing for ever: it is told apart from an empty answer.
    fn check_assets(&self, dataset: &str, query: &Query) -> Result<(), DataError> {
        let has = |name: &Name| {
            self.images
                .values()
                .any(|found| found.image.files.contains_key(name))
        };
        match query.assets.iter().find(|name| !has(name)) {
            Some(name) if !self.images.is_empty() => Err(DataError::Question(format!(
                "no image of dataset `{dataset}` has an asset `{name}`"
            ))),
            _ => Ok(()),
        }
    }

    fn summary(&self, dataset: Arc<Dataset>) -> Summary {
        let images = self.images.values();
        let bounds = images
            .clone()
            .map(|found| found.geometry.bounds())
            .reduce(|a, b| {
                [
                    a[0].min(b[0]),
                    a[1].min(b[1]),
                    a[2].max(b[2]),
                    a[3].max(b[3]),
                ]
            });
        let all = images.clone().map(|found| &found.image);
        Summary {
            dataset,
            images: self.images.len() as u64,
            bytes: all.clone().filter_map(|image| image.bytes_of(&[])).sum(),
            bounds,
            span: Span {
                from: all.clone().map(|image| image.taken_ms).min(),
                to: all.clone().map(|image| image.ended_ms).max(),
            },
            assets: all.flat_map(|image| image.files.keys().cloned()).collect(),
        }
    }
}

/// Sorts before every name. Names begin with a digit at the least.
fn first_name() -> Name {
    #[expect(clippy::expect_used, reason = "`0` is a name")]
    "0".parse().expect("a name")
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{AssetFile, Filter};
    use oc_objects::Sha256Digest;

    pub(crate) fn image(
        dataset: &str,
        id: &str,
        taken_ms: i64,
        [x, y]: [f64; 2],
        properties: Value,
    ) -> Image {
        let file = AssetFile {
            key: format!("{dataset}/{id}/B04.tif").parse().unwrap(),
            sha256: Sha256Digest::of(id),
            length: 10,
            media_type: "image/tiff".to_owned(),
        };
        let item = json!({
            "id": id, "collection": dataset, "properties": properties,
            "geometry": {"type": "Point", "coordinates": [x, y]},
        });
        Image {
            dataset: dataset.parse().unwrap(),
            id: id.parse().unwrap(),
            taken_ms,
            ended_ms: taken_ms,
            item: item.as_object().unwrap().clone(),
            files: BTreeMap::from([("B04".parse().unwrap(), file)]),
        }
    }

    pub(crate) fn found(image: Image) -> Found {
        let geometry = Geometry::parse(&image.item["geometry"]).unwrap();
        Found { image, geometry }
    }

    pub(crate) fn dataset(name: &str) -> Dataset {
        let collection = json!({
            "type": "Collection", "stac_version": "1.0.0", "id": name, "license": "MIT",
            "description": "For tests.",
        });
        Dataset::parse(&collection.to_string(), 0).unwrap()
    }

    pub(crate) fn index(images: impl IntoIterator<Item = Image>) -> Index {
        let mut index = Index::default();
        let name: Name = "demo".parse().unwrap();
        index.apply_dataset(&name, Revision(1), Some(dataset("demo")));
        for image in images {
            let (dataset, id) = (image.dataset.clone(), image.id.clone());
            index.apply_image(&dataset, &id, Revision(1), Some(found(image)));
        }
        index
    }

    fn ids(found: &[Arc<Found>]) -> Vec<&str> {
        found.iter().map(|found| found.image.id.as_str()).collect()
    }

    fn three() -> Index {
        index([
            image("demo", "a", 1000, [0.0, 0.0], json!({"cloud": 1})),
            image("demo", "b", 2000, [5.0, 5.0], json!({"cloud": 50})),
            image("demo", "c", 3000, [0.5, 0.5], json!({"cloud": 90})),
        ])
    }

    fn at(from: i64, to: i64) -> Query {
        Query {
            time: Span {
                from: Some(from),
                to: Some(to),
            },
            ..Query::default()
        }
    }

    #[test]
    fn place_time_and_property_all_must_hold_and_the_newest_is_first() {
        let index = three();
        let find = |query: &Query| {
            let found = index.find("demo", query).unwrap();
            ids(&found).join(" ")
        };
        assert_eq!(find(&Query::default()), "c b a");
        assert_eq!(find(&at(1000, 2000)), "b a");
        let near = Query {
            area: Some(Geometry::of_box([-1.0, -1.0, 1.0, 1.0]).unwrap()),
            ..Query::default()
        };
        assert_eq!(find(&near), "c a");
        let clear = Query {
            filters: vec![Filter::parse("cloud", "<", "20").unwrap()],
            ..near.clone()
        };
        assert_eq!(find(&clear), "a");
        let newest = Query {
            limit: Some(1),
            ..Query::default()
        };
        assert_eq!(find(&newest), "c");
        assert_eq!(
            find(&Query {
                time: at(1000, 2000).time,
                ..near
            }),
            "a"
        );
    }

    #[test]
    fn the_nearest_image_holds_everything_but_the_time() {
        let images = three();
        let nearest = |query: &Query| images.nearest("demo", query).unwrap().unwrap();
        assert_eq!(nearest(&at(3500, 4000)).id.as_str(), "c");
        let near_b = Query {
            area: Some(Geometry::of_box([4.0, 4.0, 6.0, 6.0]).unwrap()),
            ..at(3500, 4000)
        };
        assert_eq!(nearest(&near_b).id.as_str(), "b");
        let nowhere = Query {
            area: Some(Geometry::of_box([100.0, 4.0, 101.0, 6.0]).unwrap()),
            ..at(0, 500)
        };
        assert_eq!(nearest(&nowhere).id.as_str(), "a");
        let empty = index([]);
        assert_eq!(empty.nearest("demo", &at(0, 1)).unwrap(), None);
    }

    #[test]
    fn an_asset_that_no_image_has_is_named() {
        let query = Query {
            assets: vec!["B99".parse().unwrap()],
            ..Query::default()
        };
        let error = three().find("demo", &query).unwrap_err();
        assert!(error.to_string().contains("`B99`"), "{error}");
    }

    #[test]
    fn an_older_state_never_replaces_a_newer_one() {
        let mut index = three();
        let (demo, a): (Name, Name) = ("demo".parse().unwrap(), "a".parse().unwrap());
        index.apply_image(&demo, &a, Revision(5), None);
        let old = found(image("demo", "a", 1000, [0.0, 0.0], json!({})));
        index.apply_image(&demo, &a, Revision(4), Some(old));
        assert_eq!(
            ids(&index.find("demo", &Query::default()).unwrap()),
            ["c", "b"]
        );
    }

    #[test]
    fn a_replaced_image_is_found_where_it_is_now() {
        let mut index = three();
        let (demo, a): (Name, Name) = ("demo".parse().unwrap(), "a".parse().unwrap());
        let moved = found(image("demo", "a", 9000, [50.0, 50.0], json!({})));
        index.apply_image(&demo, &a, Revision(2), Some(moved));
        let old_place = Query {
            area: Some(Geometry::of_box([-0.1, -0.1, 0.1, 0.1]).unwrap()),
            ..Query::default()
        };
        assert!(index.find("demo", &old_place).unwrap().is_empty());
        assert!(index.find("demo", &at(1000, 1000)).unwrap().is_empty());
        assert_eq!(ids(&index.find("demo", &at(9000, 9000)).unwrap()), ["a"]);
    }

    #[test]
    fn a_dataset_that_leaves_is_gone_at_once() {
        let mut index = three();
        let mut leaving = dataset("demo");
        leaving.state = State::Leaving;
        index.apply_dataset(&"demo".parse().unwrap(), Revision(2), Some(leaving));
        assert!(matches!(
            index.summary("demo"),
            Err(DataError::NoDataset(_))
        ));
        assert!(index.summaries().is_empty());
        assert!(index.find_in(None, &Query::default()).is_empty());
    }

    #[test]
    fn a_summary_tells_extent_and_size() {
        let summary = three().summary("demo").unwrap();
        assert_eq!((summary.images, summary.bytes), (3, 30));
        assert_eq!(summary.bounds, Some([0.0, 0.0, 5.0, 5.0]));
        assert_eq!(
            (summary.span.from, summary.span.to),
            (Some(1000), Some(3000))
        );
    }

    fn any_image() -> impl Strategy<Value = (i64, i64, [f64; 2])> {
        (-50i64..50, 0i64..30, [-10i32..10, -10i32..10])
            .prop_map(|(at, lasts, [x, y])| (at, lasts, [f64::from(x), f64::from(y)]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_index_finds_what_a_walk_over_all_finds(
            images in prop::collection::vec(any_image(), 0..40),
            from in prop::option::of(-60i64..60),
            to in prop::option::of(-60i64..60),
            corner in prop::option::of([-10i32..10, -10i32..10]),
        ) {
            let images: Vec<_> = images.into_iter().enumerate().map(|(n, (taken, lasts, place))| {
                let mut image = image("demo", &format!("i{n}"), taken, place, json!({}));
                image.ended_ms = taken + lasts;
                image
            }).collect();
            let area = corner.map(|[x, y]| {
                let (x, y) = (f64::from(x), f64::from(y));
                Geometry::of_box([x, y, x + 5.0, y + 5.0]).unwrap()
            });
            let query = Query { area, time: Span { from, to }, ..Query::default() };
            let walked: BTreeSet<Name> = images.iter().filter(|image| {
                query.time.touches(image)
                    && query.area.as_ref().is_none_or(|area| area.touches(&found((*image).clone()).geometry))
            }).map(|image| image.id.clone()).collect();
            let indexed = index(images).find("demo", &query).unwrap();
            let indexed: BTreeSet<Name> = indexed.iter().map(|found| found.image.id.clone()).collect();
            prop_assert_eq!(indexed, walked);
        }
    }
}
