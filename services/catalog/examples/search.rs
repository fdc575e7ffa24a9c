//! Measures searches over 10,000 offers of 100 partners, through gRPC on the loopback interface, and prints one
//! JSON document: `cargo run --release -p oc-catalog --example search`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for whoever measures"
)]

#[path = "../tests/it/discovery.rs"]
mod discovery;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/node.rs"]
mod node;
#[path = "../tests/it/script.rs"]
mod script;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/world.rs"]
mod world;

use std::time::{Duration, Instant};

use oc_proto::catalog::v1 as pb;
use oc_proto::catalog::v1::search_service_client::SearchServiceClient;
use oc_proto::types::v1::BoundingBox;
use serde_json::json;
use tonic::Request;
use tonic::transport::Channel;

use node::Org;
use script::{Scripted, answer, listing, serve, signed};
use world::World;

const PARTNERS: usize = 100;
const OFFERS: usize = 100;
const PER_SECOND: u32 = 500;
const PACED: usize = 5_000;
const IN_FLIGHT: usize = 16;
const UNPACED: usize = 20_000;

const WORDS: [&str; 8] = [
    "coast", "forest", "glacier", "harbour", "island", "meadow", "ridge", "valley",
];

#[tokio::main]
async fn main() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let began = Instant::now();
    for partner in 0..PARTNERS {
        offer(&world, partner).await;
    }
    let signed_in = began.elapsed();
    let began = Instant::now();
    let north = Org::start(&world, "North", &folder).await;
    while north.search(query(0)).await.total < 1 || total(&north).await < (PARTNERS * OFFERS) as u64
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fetched_in = began.elapsed();
    let channel = Channel::from_shared(north.url.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut paced = paced(&channel).await;
    paced.sort();
    let at = |share: f64| paced[(paced.len() as f64 * share) as usize].as_secs_f64() * 1000.0;
    let report = json!({
        "offers": PARTNERS * OFFERS,
        "partners": PARTNERS,
        "signed_s": signed_in.as_secs_f64(),
        "fetched_s": fetched_in.as_secs_f64(),
        "paced_per_s": PER_SECOND,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "most_per_s": unpaced(&channel).await,
    });
    println!("{report}");
    north.end().await;
}

async fn total(north: &Org) -> u64 {
    north
        .search(pb::SearchRequest {
            page_size: 1,
            ..Default::default()
        })
        .await
        .total
}

async fn offer(world: &World, partner: usize) {
    let (org, signer) = world.found(&format!("Partner {partner}"));
    let mut listings = Vec::new();
    for number in 0..OFFERS {
        let at = partner * OFFERS + number;
        let mut offer = listing(world, org, &format!("n{number:03}"), at as u64 + 1);
        offer.title = format!("{} and {} {at}", WORDS[at % 8], WORDS[at / 8 % 8]);
        offer.summary = "Images of Sentinel-2, level 2A, cut and without clouds".to_owned();
        let platform = format!("sentinel-2{}", ["a", "b", "c"][at % 3]);
        offer.facets.insert("platform".to_owned(), vec![platform]);
        let west = (at % 340) as f64 - 170.0;
        offer.bbox = Some([west, 40.0, west + 3.0, 43.0]);
        listings.push(signed(&signer, offer).await);
    }
    let script = Scripted::default();
    let all: Vec<_> = listings.iter().collect();
    *script.answers.lock().unwrap() = vec![answer(&all, "c", true), answer(&[], "c", false)];
    serve(world, org, script);
}

/// Words, facets, areas and everything, in turn.
fn query(number: usize) -> pb::SearchRequest {
    let mut request = pb::SearchRequest {
        page_size: 20,
        ..Default::default()
    };
    match number % 4 {
        0 => request.text = WORDS[number / 4 % 8].to_owned(),
        1 => request.text = format!("{} {}", &WORDS[number / 4 % 8][..4], WORDS[number / 32 % 8]),
        2 => {
            request
                .facets
                .insert("platform".to_owned(), "sentinel-2a".to_owned());
            let west = (number % 300) as f64 - 150.0;
            request.area = Some(BoundingBox {
                west,
                south: 41.0,
                east: west + 5.0,
                north: 42.0,
            });
        }
        _ => request.kinds = vec![pb::ListingKind::Dataset.into()],
    }
    request
}

async fn search(mut client: SearchServiceClient<Channel>, number: usize) {
    let mut request = Request::new(query(number));
    request
        .metadata_mut()
        .insert("authorization", "Bearer user".parse().unwrap());
    client.search(request).await.unwrap();
}

/// The time of each search from the moment it was due, so that waiting counts.
async fn paced(channel: &Channel) -> Vec<Duration> {
    let client = SearchServiceClient::new(channel.clone());
    let begin = tokio::time::Instant::now();
    let searches = (0..PACED).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let due = begin + Duration::from_secs(1) / PER_SECOND * u32::try_from(number).unwrap();
            tokio::time::sleep_until(due).await;
            search(client, number).await;
            due.elapsed()
        })
    });
    let mut times = Vec::with_capacity(PACED);
    for search in searches.collect::<Vec<_>>() {
        times.push(search.await.unwrap());
    }
    times
}

/// Searches a second with so many in flight.
async fn unpaced(channel: &Channel) -> f64 {
    let client = SearchServiceClient::new(channel.clone());
    let began = Instant::now();
    let workers = (0..IN_FLIGHT).map(|worker| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..UNPACED / IN_FLIGHT {
                search(client.clone(), number * IN_FLIGHT + worker).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    UNPACED as f64 / began.elapsed().as_secs_f64()
}
