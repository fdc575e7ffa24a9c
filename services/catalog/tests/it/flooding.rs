//! A partner that lists without end.

use std::time::Duration;

use oc_kernel::Clock as _;
use oc_trust::{Head, Version, listings_digest, seal};

use super::node::Org;
use super::script::{Scripted, answer, listing, serve, signed};
use super::world::{NETWORK, World};

/// Answers that are read for one look.
const PAGES: usize = 1000;

#[tokio::test]
async fn a_partner_that_lists_without_end_is_let_alone_whatever_it_announces_and_others_are_read() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (east, east_signer) = world.found("East");
    let (west, west_signer) = world.found("West");
    let first = signed(&east_signer, listing(&world, east, "first", 1)).await;
    let endless = Scripted::default();
    let mut page = answer(&[&first], "further", false);
    page.more = true;
    *endless.answers.lock().unwrap() = vec![page];
    serve(&world, east, endless.clone());
    let (a, b) = (
        signed(&west_signer, listing(&world, west, "a", 1)).await,
        signed(&west_signer, listing(&world, west, "b", 2)).await,
    );
    let honest = Scripted::default();
    *honest.answers.lock().unwrap() = vec![answer(&[&a], "one", true)];
    serve(&world, west, honest.clone());

    let north = Org::start(&world, "North", &folder).await;
    north.sees(&["dataset.a", "dataset.first"]).await;
    let read = || endless.cursors.lock().unwrap().len();
    let all = async {
        while read() < PAGES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(20), all).await;
    assert!(all.is_ok(), "read {}", read());

    // It says that it has more, and is asked no more for it; what the other one lists is there at once.
    let now_ms = world.clock.now_ms();
    for seq in 2..5 {
        let digests = [(first.statement().id.clone(), first.digest())];
        let head = Head {
            owner: east,
            network: NETWORK.parse().unwrap(),
            revision: Version { epoch: 0, seq },
            count: seq,
            digest: listings_digest(&digests.into_iter().collect()),
            not_before: now_ms,
            not_after: now_ms + 3_600_000,
        };
        let head = seal(&east_signer, head).await.unwrap();
        world.gossip(east, head.bytes()).await;
    }
    *honest.answers.lock().unwrap() = vec![answer(&[&b], "two", false)];
    world.set_cut(west, false).await;
    north
        .sees(&["dataset.a", "dataset.b", "dataset.first"])
        .await;
    assert_eq!(read(), PAGES);
}
