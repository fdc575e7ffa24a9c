//! What place, time and properties find; a plain walk over all images is the measure.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{AssetFile, Filter};
use oc_kernel::Digest;

pub(crate) fn image(
    dataset: &str,
    id: &str,
    taken_ms: i64,
    [x, y]: [f64; 2],
    properties: Value,
) -> Image {
    let file = AssetFile {
        key: format!("{dataset}/{id}/B04.tif").parse().unwrap(),
        sha256: Digest::of(id),
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
    Found::of(image).unwrap()
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

fn ids<'f>(found: &[&'f Arc<Found>]) -> Vec<&'f str> {
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

fn any_images() -> impl Strategy<Value = Vec<Image>> {
    prop::collection::vec(any_image(), 0..40).prop_map(|images| {
        let images = images.into_iter().enumerate();
        let images = images.map(|(n, (taken, lasts, place))| {
            let mut image = image("demo", &format!("i{n}"), taken, place, json!({}));
            image.ended_ms = taken + lasts;
            image
        });
        images.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_index_finds_what_a_walk_over_all_finds(
        images in any_images(),
        from in prop::option::of(-60i64..60),
        to in prop::option::of(-60i64..60),
        corner in prop::option::of([-10i32..10, -10i32..10]),
    ) {
        let area = corner.map(|[x, y]| {
            let (x, y) = (f64::from(x), f64::from(y));
            Geometry::of_box([x, y, x + 5.0, y + 5.0]).unwrap()
        });
        let query = Query { area, time: Span { from, to }, ..Query::default() };
        let walked: BTreeSet<Name> = images.iter().filter(|image| {
            query.time.touches(image)
                && query.area.as_ref().is_none_or(|area| area.touches(&found((*image).clone()).geometry))
        }).map(|image| image.id.clone()).collect();
        let index = index(images);
        let indexed = index.find("demo", &query).unwrap();
        let indexed: BTreeSet<Name> = indexed.iter().map(|found| found.image.id.clone()).collect();
        prop_assert_eq!(indexed, walked);
    }

    #[test]
    fn images_that_come_together_are_found_like_those_that_come_one_by_one(
        images in any_images(),
        gone in 0usize..40,
    ) {
        let mut one_by_one = index(images.clone());
        let mut together = index([]);
        together.fill(images.into_iter().map(|image| (Revision(1), found(image))).collect());
        let (demo, gone): (Name, Name) = ("demo".parse().unwrap(), format!("i{gone}").parse().unwrap());
        for index in [&mut one_by_one, &mut together] {
            index.apply_image(&demo, &gone, Revision(2), None);
        }
        let all = |index: &Index| {
            let found = index.find("demo", &Query::default()).unwrap();
            found.iter().map(|found| found.image.id.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(all(&one_by_one), all(&together));
        prop_assert_eq!(one_by_one.summary("demo").unwrap(), together.summary("demo").unwrap());
    }
}
