//! STAC API 1.0 over the sample scenes.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{DEMO, World, samples, scenes};

const ITEM: &str = "/stac/collections/sentinel-2-demo/items/toulouse-20250612-a";

fn ids(page: &Value) -> Vec<&str> {
    let features = page["features"].as_array().unwrap();
    features
        .iter()
        .map(|feature| feature["id"].as_str().unwrap())
        .collect()
}

fn link<'p>(page: &'p Value, rel: &str) -> Option<&'p Value> {
    page["links"]
        .as_array()
        .unwrap()
        .iter()
        .find(|link| link["rel"] == rel)
}

async fn search(world: &World, query: &str) -> Value {
    let (status, page) = world.get(&format!("/stac/search?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{query}: {page}");
    assert_eq!(page["numberReturned"], ids(&page).len());
    page
}

#[tokio::test]
async fn every_link_of_ours_leads_somewhere() {
    let world = World::demo().await;
    let base = "http://south.example";
    let mut seen = BTreeSet::new();
    let mut next = vec![format!("{base}/stac")];
    while let Some(href) = next.pop() {
        if !seen.insert(href.clone()) {
            continue;
        }
        let path = href.strip_prefix(base).unwrap();
        let (status, _, body) = world
            .call("user", Method::GET, path, &[], Body::empty())
            .await;
        assert_eq!(status, StatusCode::OK, "{href}");
        let Ok(document) = serde_json::from_slice::<Value>(&body) else {
            continue;
        };
        collect_links(&document, &mut next, base);
    }
    for part in [
        "/conformance",
        "/collections",
        "/search",
        "/assets/B08",
        "/openapi.json",
    ] {
        assert!(
            seen.iter().any(|href| href.ends_with(part)),
            "{part} is not reached"
        );
    }
}

fn collect_links(document: &Value, found: &mut Vec<String>, base: &str) {
    match document {
        Value::Object(fields) => {
            let href = fields.get("href").and_then(Value::as_str);
            let get = fields.get("method").is_none_or(|method| method == "GET");
            found.extend(
                href.filter(|href| get && href.starts_with(base))
                    .map(str::to_owned),
            );
            fields
                .values()
                .for_each(|value| collect_links(value, found, base));
        }
        Value::Array(elements) => {
            elements
                .iter()
                .for_each(|value| collect_links(value, found, base));
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_landing_page_says_what_the_api_can_do() {
    let world = World::demo().await;
    let (_, landing) = world.get("/stac").await;
    assert_eq!(landing["type"], "Catalog");
    assert_eq!(landing["stac_version"], "1.0.0");
    for rel in [
        "self",
        "root",
        "service-desc",
        "conformance",
        "data",
        "search",
        "child",
    ] {
        assert!(link(&landing, rel).is_some(), "{rel}");
    }
    let (_, conformance) = world.get("/stac/conformance").await;
    assert_eq!(conformance["conformsTo"], landing["conformsTo"]);
    let classes = conformance["conformsTo"].as_array().unwrap();
    for class in [
        "core",
        "collections",
        "ogcapi-features",
        "item-search",
        "item-search#sort",
        "item-search#fields",
    ] {
        let class = json!(format!("https://api.stacspec.org/v1.0.0/{class}"));
        assert!(classes.contains(&class), "{class}");
    }
}

#[tokio::test]
async fn a_collection_tells_the_extent_of_its_images() {
    let world = World::demo().await;
    let (_, collections) = world.get("/stac/collections").await;
    let collection = &collections["collections"][0];
    assert_eq!(collection["id"], DEMO);
    let bbox: Vec<f64> =
        serde_json::from_value(collection["extent"]["spatial"]["bbox"][0].clone()).unwrap();
    assert!(
        bbox[0] < 1.43 && bbox[1] < 43.6 && bbox[2] > 4.85 && bbox[3] > 45.7,
        "{bbox:?}"
    );
    assert_eq!(
        collection["extent"]["temporal"]["interval"],
        json!([["2025-06-12T10:50:31Z", "2025-07-04T10:40:30Z"]])
    );
    let rels: Vec<_> = collection["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["rel"])
        .collect();
    assert!(
        rels.contains(&&json!("license")),
        "links that lead out are kept: {rels:?}"
    );
    let (status, problem) = world.get("/stac/collections/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["detail"], "there is no dataset `nothing`");
}

#[tokio::test]
async fn area_and_time_select_some_images_and_the_count_is_exact() {
    let world = World::demo().await;
    let toulouse = "bbox=1.3,43.5,1.6,43.7";
    let june = "datetime=2025-06-01T00:00:00Z/2025-06-20T00:00:00Z";
    let page = search(&world, "limit=2").await;
    assert_eq!(
        (page["numberMatched"].as_u64(), ids(&page).len()),
        (Some(6), 2)
    );
    assert_eq!(search(&world, toulouse).await["numberMatched"], 4);
    let both = search(&world, &format!("{toulouse}&{june}")).await;
    assert_eq!(ids(&both), ["toulouse-20250612-a", "toulouse-20250612-b"]);
    assert_eq!(both["numberMatched"], 2);
    let point = r#"intersects={"type":"Point","coordinates":[4.84,45.75]}"#.replace('"', "%22");
    let page = search(&world, &point.replace('{', "%7B").replace('}', "%7D")).await;
    assert!(ids(&page).iter().all(|id| id.starts_with("lyon")), "{page}");
    assert!(!ids(&page).is_empty());
    let named = search(
        &world,
        "ids=lyon-20250614-a,missing&collections=sentinel-2-demo",
    )
    .await;
    assert_eq!(ids(&named), ["lyon-20250614-a"]);
    assert_eq!(
        search(&world, "collections=other").await["numberMatched"],
        0
    );
    let (_, items) = world
        .get(&format!("/stac/collections/{DEMO}/items?{june}"))
        .await;
    assert_eq!(items["numberMatched"], 3);
}

#[tokio::test]
async fn a_search_by_body_finds_what_one_by_parameters_finds() {
    let world = World::demo().await;
    let body = json!({
        "bbox": [1.3, 43.5, 1.6, 43.7],
        "datetime": "2025-06-01T00:00:00Z/..",
        "sortby": [{"field": "properties.eo:cloud_cover", "direction": "desc"}],
        "fields": {"include": ["id", "properties.eo:cloud_cover"]},
        "limit": 3,
    });
    let (status, posted) = world.post("user", "/stac/search", &body).await;
    assert_eq!(status, StatusCode::OK, "{posted}");
    let query = "bbox=1.3,43.5,1.6,43.7&datetime=2025-06-01T00:00:00Z/..&limit=3\
        &sortby=-properties.eo:cloud_cover&fields=id,properties.eo:cloud_cover";
    let got = search(&world, query).await;
    assert_eq!(posted["features"], got["features"]);
    assert_eq!(
        ids(&got),
        [
            "toulouse-20250627-b",
            "toulouse-20250627-a",
            "toulouse-20250612-b"
        ]
    );
    let first = json!({"id": "toulouse-20250627-b", "properties": {"eo:cloud_cover": 31.0}});
    assert_eq!(got["features"][0], first);
}

#[tokio::test]
async fn pages_are_walked_by_their_links_without_gap_or_repetition() {
    let world = World::demo().await;
    let mut seen = Vec::new();
    let mut path = "/stac/search?limit=2&sortby=%2Bid".to_owned();
    loop {
        let (status, page) = world.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = link(&page, "next") else {
            break;
        };
        path = next["href"]
            .as_str()
            .unwrap()
            .replace("http://south.example", "");
    }
    assert_eq!(seen, scenes());

    let mut seen = Vec::new();
    let mut body = json!({"limit": 4, "sortby": [{"field": "id"}]});
    loop {
        let (_, page) = world.post("user", "/stac/search", &body).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = link(&page, "next") else {
            break;
        };
        assert_eq!(
            (&next["method"], &next["merge"]),
            (&json!("POST"), &json!(true))
        );
        body["token"] = next["body"]["token"].clone();
    }
    assert_eq!(seen, scenes());
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_says_why() {
    let world = World::demo().await;
    for (query, part) in [
        ("bbox=1,2,3", "4 or 6 numbers"),
        ("bbox=a,b,c,d", "numbers"),
        ("bbox=0,10,1,0", "north"),
        ("bbox=0,0,1,1&intersects=%7B%7D", "exclude"),
        ("intersects=x", "no JSON"),
        ("datetime=yesterday", "no time"),
        ("limit=0", "1 or more"),
        ("limit=many", "number"),
        ("sortby=,", "empty"),
        ("token=zz", "token"),
        ("filter=x", "unknown field"),
    ] {
        let (status, problem) = world.get(&format!("/stac/search?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{query}: {detail}");
    }
    let body = json!({"bbox": [0, 0, 1, 1], "unknown": 1});
    let (status, _) = world.post("user", "/stac/search", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let deep = format!(
        r#"{{"intersects": {}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let headers = [("content-type", "application/json")];
    let deep = world
        .call("user", Method::POST, "/stac/search", &headers, deep.into())
        .await;
    assert_eq!(deep.0, StatusCode::BAD_REQUEST);
    let huge = vec![b' '; 10 << 20];
    let huge = world
        .call("user", Method::POST, "/stac/search", &headers, huge.into())
        .await;
    assert_eq!(huge.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_item_is_what_was_imported_with_addresses_of_its_own() {
    let world = World::demo().await;
    let (status, item) = world.get(ITEM).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(item["properties"]["opencloud:place_and_date"], "assigned");
    assert_eq!(
        item["assets"]["B04"]["roles"],
        json!(["data", "reflectance"])
    );
    let href = item["assets"]["B04"]["href"].as_str().unwrap();
    assert_eq!(href, format!("http://south.example{ITEM}/assets/B04"));
    assert_eq!(
        link(&item, "collection").unwrap()["href"],
        format!("http://south.example/stac/collections/{DEMO}")
    );
    let (status, problem) = world
        .get(&format!("/stac/collections/{DEMO}/items/missing"))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(problem["detail"].as_str().unwrap().contains("`missing`"));
}

#[tokio::test]
async fn a_file_is_read_whole_or_in_part() {
    let world = World::demo().await;
    let whole = std::fs::read(samples().join("toulouse-20250612-a/B04.tif")).unwrap();
    let path = format!("{ITEM}/assets/B04");
    let get = async |range: &str| {
        let headers = [("range", range)];
        world
            .call("user", Method::GET, &path, &headers, Body::empty())
            .await
    };
    let (status, headers, body) = get("").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, whole);
    assert_eq!(headers["content-length"], whole.len().to_string());
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("image/tiff")
    );
    let (status, headers, body) = get("bytes=10-19").await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(body, whole[10..20]);
    assert_eq!(
        headers["content-range"],
        format!("bytes 10-19/{}", whole.len())
    );
    let (status, headers, _) = get("bytes=9999999-").await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(headers["content-range"], format!("bytes */{}", whole.len()));
    let (status, _) = world.get(&format!("{ITEM}/assets/B99")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = world.get(&format!("{ITEM}/assets/..%2F..%2FB04.tif")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
