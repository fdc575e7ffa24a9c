//! Time, loss, restarts and leaving.

use std::time::Duration;

use super::node::{Org, dataset};
use super::world::World;

#[tokio::test]
async fn an_offer_whose_owner_is_gone_is_marked_stale_and_then_dropped_and_comes_back_with_it() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    south.publish(dataset("coast")).await;
    north.sees(&["dataset.coast"]).await;

    world.set_cut(south.id, true).await;
    north.sees(&["dataset.coast?"]).await;
    world.clock.advance(Duration::from_secs(181));
    north.sees(&[]).await;

    south.publish(dataset("coast")).await;
    world.set_cut(south.id, false).await;
    north.sees(&["dataset.coast"]).await;
}

#[tokio::test]
async fn what_its_service_stops_renewing_is_withdrawn_everywhere() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    south.publish(dataset("abandoned")).await;
    north.sees(&["dataset.abandoned"]).await;
    world.clock.advance(Duration::from_secs(181));
    south.publish(dataset("kept")).await;
    south.sees(&["dataset.kept"]).await;
    north.sees(&["dataset.kept"]).await;
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_repeats_no_number() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    let first = south.publish(dataset("coast")).await;
    north.sees(&["dataset.coast"]).await;

    world.set_cut(south.id, true).await;
    let north = north.restart().await;
    north.sees(&["dataset.coast?"]).await;
    assert!(north.get(south.id, "dataset.coast").await.is_ok());

    let south = south.restart().await;
    world.set_cut(south.id, false).await;
    north.sees(&["dataset.coast"]).await;
    south.sees(&["dataset.coast"]).await;
    let next = south.publish(dataset("inland")).await;
    assert!(next.revision > first.revision);
    north.sees(&["dataset.coast", "dataset.inland"]).await;
}

#[tokio::test]
async fn a_signature_is_renewed_before_it_ends() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    let listing = oc_proto::catalog::v1::Listing {
        ttl_seconds: 86_400,
        ..dataset("coast")
    };
    let first = south.publish(listing).await;
    north.sees(&["dataset.coast"]).await;
    world.clock.advance(Duration::from_secs(13 * 3600));
    let renewed = async {
        loop {
            let found = north
                .get(south.id, "dataset.coast")
                .await
                .unwrap()
                .listing
                .unwrap();
            if found.revision > first.revision {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_blocked_partner_vanishes_with_its_listings() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    south.publish(dataset("coast")).await;
    north.sees(&["dataset.coast"]).await;
    world.block(north.id, south.id).await;
    north.sees(&[]).await;
    let north = north.restart().await;
    assert_eq!(
        north.ids().await,
        Vec::<String>::new(),
        "nothing of it is left in the store"
    );
}

#[tokio::test]
async fn leaving_a_network_takes_its_listings_along_and_leaves_ours() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    south.publish(dataset("coast")).await;
    north.publish(dataset("own")).await;
    north.sees(&["dataset.coast", "dataset.own"]).await;
    world.leave(north.id).await;
    north.sees(&["dataset.own"]).await;
}

#[tokio::test]
async fn who_comes_back_to_a_network_is_read_there_as_it_signs_now() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    south.publish(dataset("coast")).await;
    north.sees(&["dataset.coast"]).await;
    let signed = async |org: &Org| {
        let found = org.get(south.id, "dataset.coast").await;
        found.map_or_else(|_| Vec::new(), |found| found.envelope)
    };
    let back = async {
        world.leave(south.id).await;
        while !signed(&south).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Another time, so another statement.
        world.clock.advance(Duration::from_secs(1));
        world.join_again(south.id).await;
        while signed(&south).await.is_empty() || signed(&north).await != signed(&south).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(10);
    assert!(
        tokio::time::timeout(limit, back).await.is_ok(),
        "North keeps what South signed before it left"
    );
}

/// Waits until North has South's coast under this title.
async fn sees_title(north: &Org, south: &Org, title: &str) {
    let seen = async {
        loop {
            let found = north.get(south.id, "dataset.coast").await;
            if found.is_ok_and(|found| found.listing.unwrap().title == title) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = tokio::time::timeout(Duration::from_secs(10), seen);
    limit.await.expect(title);
}

#[tokio::test]
async fn partners_take_what_a_restored_catalogue_lists_although_they_have_seen_later_numbers() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    let titled = |title: &str| oc_proto::catalog::v1::Listing {
        title: title.to_owned(),
        ..dataset("coast")
    };
    south.publish(titled("of the backup")).await;
    south.back_up();
    for title in ["later", "lost"] {
        south.publish(titled(title)).await;
    }
    south.publish(dataset("inland")).await;
    north.sees(&["dataset.coast", "dataset.inland"]).await;
    sees_title(&north, &south, "lost").await;

    // Twice from the same backup.
    let mut south = south;
    for epoch in [1_763_000_000_000, 1_763_000_000_001] {
        south = south.restore(epoch).await;
        sees_title(&north, &south, "of the backup").await;
        north.sees(&["dataset.coast"]).await;
        south.publish(titled("new")).await;
        sees_title(&north, &south, "new").await;
    }
}

#[tokio::test]
async fn partners_keep_what_a_restored_catalogue_cannot_sign_yet() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let north = Org::start(&world, "North", &folder).await;
    for name in ["coast", "inland"] {
        south.publish(dataset(name)).await;
    }
    let both = ["dataset.coast", "dataset.inland"];
    north.sees(&both).await;
    south.back_up();
    world.set_silent(south.id, true);
    let before = world.member(&south.id).not_yet;
    let south = south.restore(1_763_000_000_000).await;
    let asked = async {
        while world.member(&south.id).not_yet < before + 2 {
            assert_eq!(north.ids().await, both);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(10);
    let asked = tokio::time::timeout(limit, asked).await;
    asked.expect("North is told to come later");
    assert_eq!(north.ids().await, both);

    world.set_silent(south.id, false);
    south.withdraw("dataset.inland").await;
    north.sees(&["dataset.coast"]).await;
}
