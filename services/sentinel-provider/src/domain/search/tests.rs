//! The order, the pages and the fields of an item search.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::Span;
use crate::domain::index::tests::{image, index};

fn cloudy(id: &str, taken_ms: i64, cloud: Value) -> Image {
    image(
        "demo",
        id,
        taken_ms,
        [0.0, 0.0],
        json!({"eo:cloud_cover": cloud}),
    )
}

fn search(sort: &[&str]) -> Search {
    Search {
        sort: sort
            .iter()
            .map(|key| SortKey::parse(key).unwrap())
            .collect(),
        limit: 100,
        ..Search::default()
    }
}

fn ids(result: &SearchResult) -> Vec<&str> {
    result
        .images
        .iter()
        .map(|found| found.image.id.as_str())
        .collect()
}

#[test]
fn images_come_newest_first_unless_sorted_otherwise() {
    let index = index([
        cloudy("a", 1000, json!(30)),
        cloudy("b", 3000, json!(null)),
        cloudy("c", 2000, json!(5.5)),
        cloudy("d", 2000, json!(5.5)),
    ]);
    let order = |sort: &[&str]| ids(&search(sort).run(&index).unwrap()).join("");
    assert_eq!(order(&[]), "bcda");
    assert_eq!(order(&["+properties.datetime"]), "acdb");
    assert_eq!(order(&["properties.eo:cloud_cover", "-id"]), "dcab");
    assert_eq!(
        order(&["-eo:cloud_cover"]),
        "acdb",
        "what lacks it comes last"
    );
    assert_eq!(order(&["-id"]), "dcba");
}

#[test]
fn pages_leave_no_gap_and_repeat_nothing() {
    let images: Vec<_> = (0..10)
        .map(|n| cloudy(&format!("i{n}"), n % 3, json!(n % 2)))
        .collect();
    let mut index = index(images);
    for sort in [
        &[][..],
        &["eo:cloud_cover"],
        &["-eo:cloud_cover", "-datetime"],
    ] {
        let whole = search(sort).run(&index).unwrap();
        let whole: Vec<_> = ids(&whole).into_iter().map(str::to_owned).collect();
        let mut paged = search(sort);
        paged.limit = 3;
        let mut seen = Vec::new();
        loop {
            let result = paged.run(&index).unwrap();
            assert_eq!(result.matched, 10);
            seen.extend(ids(&result).into_iter().map(str::to_owned));
            let Some(next) = result.next else { break };
            paged.after = Cursor::parse(&next.token()).unwrap();
            assert_eq!(paged.after, Some(next));
        }
        assert_eq!(seen, whole, "{sort:?}");
    }
    // What is removed before the cursor shifts nothing.
    let mut paged = search(&["id"]);
    paged.limit = 5;
    paged.after = paged.run(&index).unwrap().next;
    let (demo, first) = ("demo".parse().unwrap(), "i0".parse().unwrap());
    index.apply_image(&demo, &first, oc_kernel::Revision(9), None);
    assert_eq!(
        ids(&paged.run(&index).unwrap()),
        ["i5", "i6", "i7", "i8", "i9"]
    );
}

#[test]
fn ids_and_collections_narrow() {
    let index = index([cloudy("a", 1, json!(1)), cloudy("b", 2, json!(1))]);
    let mut narrowed = search(&[]);
    narrowed.ids = Some(vec!["a".to_owned(), "x".to_owned()]);
    assert_eq!(ids(&narrowed.run(&index).unwrap()), ["a"]);
    narrowed.collections = Some(vec!["other".to_owned()]);
    assert_eq!(narrowed.run(&index).unwrap().matched, 0);
}

#[test]
fn a_token_of_another_order_is_refused() {
    let index = index([cloudy("a", 1, json!(1)), cloudy("b", 2, json!(1))]);
    let mut one = search(&[]);
    one.limit = 1;
    let next = one.run(&index).unwrap().next;
    let mut other = search(&["eo:cloud_cover", "id"]);
    other.after = next;
    assert!(matches!(other.run(&index), Err(DataError::Question(_))));
    for text in ["zz", "22", "x"] {
        assert!(Cursor::parse(text).is_err(), "{text}");
    }
}

#[test]
fn fields_are_picked_and_left_out() {
    let item = json!({
        "type": "Feature", "stac_version": "1.0.0", "id": "a", "geometry": {"x": 1}, "bbox": [],
        "links": [], "assets": {"B04": 1, "B08": 2}, "collection": "demo",
        "properties": {"datetime": "t", "eo:cloud_cover": 3, "platform": "s2a"},
    });
    let item = item.as_object().unwrap();
    let keys = |fields: &str| {
        let picked = Fields::parse(fields).apply(item.clone());
        let mut keys: Vec<_> = picked.keys().cloned().collect();
        keys.sort();
        (keys.join(" "), Value::from(picked))
    };
    let (names, default) = keys("");
    assert_eq!(
        names,
        "assets bbox geometry id links properties stac_version type"
    );
    assert_eq!(default["properties"], json!({"datetime": "t"}));
    let (names, picked) = keys("id,properties.platform,eo:cloud_cover");
    assert_eq!(names, "id properties");
    assert_eq!(
        picked["properties"],
        json!({"platform": "s2a", "eo:cloud_cover": 3})
    );
    let (names, rest) = keys("-geometry,-assets.B04,-platform");
    assert_eq!(
        names,
        "assets bbox collection id links properties stac_version type"
    );
    assert_eq!(rest["assets"], json!({"B08": 2}));
    assert_eq!(
        rest["properties"],
        json!({"datetime": "t", "eo:cloud_cover": 3})
    );
    let (_, both) = keys("properties,-properties.datetime");
    assert_eq!(
        both,
        json!({"properties": {"eo:cloud_cover": 3, "platform": "s2a"}})
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_short_way_by_time_pages_like_the_long_one(
        times in prop::collection::vec((-9i64..9, 0i64..4), 0..30),
        from in prop::option::of(-9i64..9),
        to in prop::option::of(-9i64..9),
        limit in 1usize..7,
    ) {
        let images = times.into_iter().enumerate().map(|(n, (taken, lasts))| {
            let mut image = cloudy(&format!("i{n}"), taken, json!(1));
            image.ended_ms = taken + lasts;
            image
        });
        let index = index(images);
        let pages = |sort: &[&str]| {
            let mut search = search(sort);
            search.query.time = Span { from, to };
            search.limit = limit;
            let mut pages = Vec::new();
            loop {
                let page = search.run(&index).unwrap();
                let ids: Vec<_> = ids(&page).into_iter().map(str::to_owned).collect();
                pages.push((page.matched, ids));
                if page.next.is_none() {
                    return pages;
                }
                search.after = page.next;
            }
        };
        // Naming the order takes the long way.
        prop_assert_eq!(pages(&[]), pages(&["-datetime"]));
    }
}
