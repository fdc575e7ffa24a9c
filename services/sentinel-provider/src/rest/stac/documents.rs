//! The documents of STAC API, made from what the read model holds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::GEO_JSON;
use super::links::Base;
use crate::domain::{Image, Summary};

const JSON: &str = "application/json";
const STAC_VERSION: &str = "1.0.0";
/// Links of a collection that we make ourselves.
const OWN_LINKS: [&str; 6] = ["self", "root", "parent", "items", "item", "child"];

pub(super) const CONFORMANCE: [&str; 10] = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
    "https://api.stacspec.org/v1.0.0/ogcapi-features#fields",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "https://api.stacspec.org/v1.0.0/item-search#fields",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
];

pub(super) fn landing(base: &Base, summaries: &[Summary]) -> Value {
    let mut search = base.link("search", "search", GEO_JSON);
    search["method"] = "GET".into();
    let mut search_by_body = search.clone();
    search_by_body["method"] = "POST".into();
    let mut links = vec![
        base.link("self", "", JSON),
        base.root(),
        base.service_desc(),
        base.link("conformance", "conformance", JSON),
        base.link("data", "collections", JSON),
        search,
        search_by_body,
    ];
    links.extend(summaries.iter().map(|summary| {
        let mut child = base.link(
            "child",
            &format!("collections/{}", summary.dataset.name),
            JSON,
        );
        child["title"] = summary.dataset.title.clone().into();
        child
    }));
    json!({
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "opencloud",
        "title": "Datasets of this organisation",
        "description": "The datasets that this organisation offers to its people and its partners.",
        "conformsTo": CONFORMANCE,
        "links": links,
    })
}

pub(super) fn collections(base: &Base, summaries: &[Summary]) -> Value {
    let collections: Vec<_> = summaries
        .iter()
        .map(|summary| collection(base, summary))
        .collect();
    json!({
        "numberMatched": collections.len(),
        "numberReturned": collections.len(),
        "collections": collections,
        "links": [base.root(), base.link("self", "collections", JSON)],
    })
}

/// The collection as it was given, with our links and the extent of what is there.
pub(super) fn collection(base: &Base, summary: &Summary) -> Map<String, Value> {
    let dataset = &summary.dataset;
    let path = format!("collections/{}", dataset.name);
    let mut links = vec![
        base.root(),
        base.link("parent", "", JSON),
        base.link("self", &path, JSON),
        base.link("items", &format!("{path}/items"), GEO_JSON),
    ];
    let given = dataset.collection.get("links").and_then(Value::as_array);
    links.extend(
        given
            .into_iter()
            .flatten()
            .filter(|link| keeps(link))
            .cloned(),
    );
    let mut collection = dataset.collection.clone();
    collection.insert("links".to_owned(), links.into());
    collection.insert("extent".to_owned(), extent(summary));
    collection
}

/// A link that leads out and somewhere; relative ones led to files beside the document.
fn keeps(link: &Value) -> bool {
    let own = link["rel"]
        .as_str()
        .is_none_or(|rel| OWN_LINKS.contains(&rel));
    let absolute = link["href"]
        .as_str()
        .is_some_and(|href| href.contains("://"));
    !own && absolute
}

fn extent(summary: &Summary) -> Value {
    let time = |ms: Option<i64>| {
        let time = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        time.map(|time| time.to_string())
    };
    let everywhere = [-180.0, -90.0, 180.0, 90.0];
    json!({
        "spatial": {"bbox": [summary.bounds.unwrap_or(everywhere)]},
        "temporal": {"interval": [[time(summary.span.from), time(summary.span.to)]]},
    })
}

/// The item as it was given, with our links and with the addresses of its files here.
pub(super) fn item(base: &Base, image: &Image) -> Map<String, Value> {
    let collection = format!("collections/{}", image.dataset);
    let path = format!("{collection}/items/{}", image.id);
    let links = [
        base.root(),
        base.link("self", &path, GEO_JSON),
        base.link("parent", &collection, JSON),
        base.link("collection", &collection, JSON),
    ];
    let mut item = image.item.clone();
    item.insert("links".to_owned(), links.to_vec().into());
    let assets = item.get_mut("assets").and_then(Value::as_object_mut);
    for (name, asset) in assets.into_iter().flatten() {
        asset["href"] = base.href(&format!("{path}/assets/{name}")).into();
    }
    item
}
