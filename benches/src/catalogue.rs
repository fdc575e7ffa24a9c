//! Searches in a catalogue of 10,000 offers.

use std::time::Duration;

use anyhow::ensure;
use oc_testkit::Node;
use serde_json::json;

use crate::figures::{Bar, Row};
use crate::http_load::{Call, Target, get, post};

const OFFERS: usize = 10_000;
const LONG: Duration = Duration::from_secs(8);
/// 2015 begins, in milliseconds since the epoch.
const FIRST_MS: u64 = 1_420_070_400_000;
const YEAR_MS: u64 = 365 * 24 * 3_600_000;
const PLACES: [&str; 20] = [
    "toulouse", "lyon", "ghent", "porto", "turin", "graz", "brno", "kiel", "riga", "oulu", "cork",
    "bath", "lugo", "pisa", "split", "sofia", "iasi", "patras", "bergen", "uppsala",
];

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let node = Node::start("North").await;
    let target = Target::of(&node);
    let published = target
        .send(32, OFFERS, |number| {
            post(
                "/api/catalog/v1/listings".to_owned(),
                &json!({"listing": offer(number)}),
            )
        })
        .await?;
    let all = target
        .ask(get(
            "/api/catalog/v1/listings?text=riga&page_size=1".to_owned()
        ))
        .await?;
    ensure!(
        all["listings"]
            .as_array()
            .is_some_and(|found| found.len() == 1),
        "nothing found: {all}"
    );
    let most = target.load(16, LONG, search).await?;
    let steady = target.at_rate(16, 500, LONG, search).await?;
    drop(node);
    let what = format!("catalogue search at {OFFERS} offers");
    Ok(vec![
        Row::new(
            what.clone(),
            most.rate,
            "/s",
            format!(
                "16 connections for {} s; two words, kind, area and time in turns, ten listings; p99 {:.1} ms",
                LONG.as_secs(),
                most.times.quantile_ms(0.99)
            ),
        )
        .bar(Bar::AtLeast(5_000.0)),
        Row::new(
            format!("{what}, p99 at 500 a second"),
            steady.times.quantile_ms(0.99),
            "ms",
            format!("16 connections, {:.0} a second reached", steady.rate),
        )
        .bar(Bar::AtMost(10.0)),
        Row::new(
            "listings published, one a request",
            published.rate,
            "/s",
            "32 connections; signed, durable and in the index before the answer",
        ),
    ])
}

fn offer(number: usize) -> serde_json::Value {
    let place = PLACES[number % PLACES.len()];
    let west = (number * 7_919 % 40_000) as f64 / 1_000.0 - 10.0;
    let south = (number * 104_729 % 30_000) as f64 / 1_000.0 + 35.0;
    json!({
        "listing_id": format!("dataset.scenes-{number}"),
        "kind": "dataset",
        "name": format!("scenes-{number}"),
        "title": format!("Scenes around {place}, set {number}"),
        "summary": "Surface reflectance in four bands, cut to one tile, cloud mask beside it.",
        "area": {"west": west, "south": south, "east": west + 1.0, "north": south + 1.0},
        "time": {"start_ms": FIRST_MS, "end_ms": FIRST_MS + YEAR_MS * (1 + number as u64 % 10)},
        "facets": {"collection": format!("sentinel-{}", number % 3)},
        "body_json": "{}",
    })
}

fn search(number: usize) -> Call {
    let place = PLACES[number * 7 % PLACES.len()];
    let west = (number * 31 % 36) as f64 - 10.0;
    let path = match number % 3 {
        0 => format!("text=scenes%20{place}"),
        1 => format!("text={place}&kind=dataset&facet=collection:sentinel-1"),
        _ => format!(
            "kind=dataset&bbox={west},40,{},44&from=2018-01-01T00:00:00Z&to=2019-01-01T00:00:00Z",
            west + 4.0
        ),
    };
    get(format!("/api/catalog/v1/listings?{path}&page_size=10"))
}
