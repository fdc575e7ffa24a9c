//! What one organisation lists and another finds.

use std::time::Duration;

use oc_proto::catalog::v1 as pb;

use super::node::{Org, dataset};
use super::world::World;

/// The promise: a change is visible at a partner within five seconds.
const PROMISE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_is_listed_changed_and_withdrawn_is_seen_by_the_partner_at_once() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    let promised = async {
        let listed = south.publish(dataset("coast")).await;
        assert!(listed.own && listed.owner == south.id.to_string());
        north.sees(&["dataset.coast"]).await;
    };
    tokio::time::timeout(PROMISE, promised).await.unwrap();

    let found = north.get(south.id, "dataset.coast").await.unwrap();
    let listing = found.listing.unwrap();
    assert_eq!(
        (listing.owner_name.as_str(), listing.own, listing.stale),
        ("South", false, false)
    );
    assert!(!found.envelope.is_empty(), "with what its owner signed");

    let title = "Images of the Atlantic coast";
    south
        .publish(pb::Listing {
            title: title.to_owned(),
            ..dataset("coast")
        })
        .await;
    let renamed = async {
        let query = pb::SearchRequest {
            text: "atlantic".to_owned(),
            ..Default::default()
        };
        while north.search(query.clone()).await.total == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PROMISE, renamed).await.unwrap();

    south.withdraw("dataset.coast").await;
    north.sees(&[]).await;
    assert_eq!(south.ids().await, Vec::<String>::new());
    south.withdraw("dataset.coast").await;
}

#[tokio::test]
async fn a_renewal_changes_nothing_but_the_freshness() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let first = south.publish(dataset("coast")).await;
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(south.ids().await, ["dataset.coast?"]);
    let again = south.publish(dataset("coast")).await;
    assert_eq!(again.revision, first.revision);
    assert_eq!(again.renewed_at_ms, first.renewed_at_ms + 61_000);
    assert_eq!(south.ids().await, ["dataset.coast"]);
}

#[tokio::test]
async fn a_listing_for_chosen_partners_is_seen_by_them_only_and_can_be_narrowed() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    let east = Org::start(&world, "East", &folder).await;
    let shown_to = |orgs: &[&Org]| pb::Listing {
        visible_to: orgs.iter().map(|org| org.id.to_string()).collect(),
        ..dataset("coast")
    };
    south.publish(shown_to(&[&north])).await;
    south.publish(dataset("open")).await;
    north.sees(&["dataset.coast", "dataset.open"]).await;
    east.sees(&["dataset.open"]).await;

    south.publish(shown_to(&[&east])).await;
    north.sees(&["dataset.open"]).await;
    east.sees(&["dataset.coast", "dataset.open"]).await;

    south.withdraw("dataset.coast").await;
    east.sees(&["dataset.open"]).await;
    assert_eq!(north.ids().await, ["dataset.open"]);
}

#[tokio::test]
async fn a_member_that_comes_later_gets_everything() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let mut expected = Vec::new();
    for number in 0..12 {
        let name = format!("n{number:02}");
        south.publish(dataset(&name)).await;
        expected.push(format!("dataset.{name}"));
    }
    south.withdraw("dataset.n07").await;
    expected.remove(7);
    let north = Org::start(&world, "North", &folder).await;
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    north.sees(&expected).await;
}

#[tokio::test]
async fn a_listing_that_cannot_be_signed_at_once_reaches_the_partner_later() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    south.publish(dataset("a")).await;
    north.sees(&["dataset.a"]).await;
    world.set_silent(south.id, true);
    south.publish(dataset("b")).await;
    assert_eq!(south.ids().await, ["dataset.a", "dataset.b"]);
    world.set_silent(south.id, false);
    north.sees(&["dataset.a", "dataset.b"]).await;
}
