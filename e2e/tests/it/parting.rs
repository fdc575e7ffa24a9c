//! One side withdraws or leaves for good while the other is away: who comes back learns it, and nothing hangs.

use std::time::Duration;

use oc_client::{Client, Export, ListingFilter};
use oc_proto::compute::v1::EndGrantRequest;
use oc_proto::discovery::v1::PeerState;
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::{Run, RunState};
use oc_testkit::{Node, until};

use crate::leaving::bill;
use crate::outage::{books_agree, second_step_at_work};
use crate::restoring::works_at_south;
use crate::scene::{MACHINES, SOON, Scene, over};
use crate::sites::both;

const LIMIT: Duration = Duration::from_secs(100);
/// With these a run gives a silent site up within seconds.
const IMPATIENT: [&str; 6] = [
    "pipeline.policy.lease=4s",
    "pipeline.policy.call=2s",
    "pipeline.policy.capacity=3s",
    "pipeline.policy.books=1s",
    "pipeline.policy.hold=4s",
    "pipeline.policy.attempts=2",
];

/// A run that both have signed the bill of, and another in the middle of its work at South; the grant of both.
async fn one_done_and_one_at_work(scene: &Scene) -> (String, Run) {
    let grants = scene.north().compute().grants(false).await.unwrap();
    works_at_south(scene).await;
    books_agree(scene).await;
    let run = second_step_at_work(scene, 600).await;
    (grants[0].grant_id.clone(), run)
}

fn leaves(node: &Node) {
    let left = node.run(&["network", "leave", "pair", "--yes"]);
    let errors = String::from_utf8_lossy(&left.stderr);
    assert!(left.status.success(), "{errors}");
}

/// It knows that nobody is connected to it.
pub(crate) async fn is_alone(client: &Client) {
    until("nobody is connected", LIMIT, async || {
        let peers = client.discovery().peers().await.ok()?;
        let connected = i32::from(PeerState::Connected);
        peers
            .iter()
            .all(|peer| peer.state != connected)
            .then_some(())
    })
    .await;
}

/// Its books of the grant are those of the one record that both signed, as anybody can verify.
async fn bill_stands(scene: &Scene, node: &Node, grant: &str) {
    let client = node.client();
    let accounting = client.accounting();
    let export = accounting.export(grant, "", Export::Json);
    let export = export.await.unwrap();
    let (provider, consumer) = (&scene.pair.south_id, &scene.pair.north_id);
    let records = bill::verified(node, &export, provider, consumer).await;
    assert_eq!(records, 1);
}

#[tokio::test]
async fn who_was_away_learns_that_the_offer_it_used_was_withdrawn() {
    let mut scene = both(&[], &[]).await;
    let (grant, run) = one_done_and_one_at_work(&scene).await;
    scene.pair.north.kill();
    let withdrawn = scene.south().compute().withdraw_offer("machines").await;
    let withdrawn = withdrawn.unwrap();
    let ended = (withdrawn.grants_revoked, withdrawn.attempts_stopped);
    assert_eq!(ended, (1, 1));
    scene.nothing_is_held().await;

    scene.pair.north.begin().await;
    let north = scene.north();
    let (run, why) = over(&north, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    assert_eq!(run.cause.unwrap().code, "offer-withdrawn", "{why}");
    scene.reaches(&north, &grant, GrantState::Revoked).await;
    until("the machines are listed no more", SOON, async || {
        let found = north.catalog().search(&ListingFilter::default()).await;
        let found = found.ok()?.listings;
        let gone = found.iter().all(|it| it.listing_id != MACHINES);
        gone.then_some(())
    })
    .await;
    books_agree(&scene).await;
}

#[tokio::test]
async fn who_was_away_when_its_provider_left_is_told_and_keeps_its_books() {
    let mut scene = both(&IMPATIENT, &["compute.lease_seconds=4"]).await;
    let (grant, run) = one_done_and_one_at_work(&scene).await;
    scene.pair.north.kill();
    leaves(&scene.pair.south);
    let south = scene.south();
    until("South has forgotten North's grants", SOON, async || {
        let grants = south.compute().grants(false).await.ok()?;
        grants.is_empty().then_some(())
    })
    .await;
    scene.nothing_is_held().await;

    scene.pair.north.begin().await;
    let north = scene.north();
    let (run, why) = over(&north, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    let cause = run.cause.unwrap();
    assert!(cause.text.contains("South"), "{why}");
    assert!(cause.advice.contains("has left the network"), "{why}");
    is_alone(&north).await;
    let end = EndGrantRequest {
        grant_id: grant.clone(),
        reason: "South has left".to_owned(),
    };
    let ended = north.compute().end_grant(&end).await.unwrap();
    assert_eq!(ended.state, i32::from(GrantState::Ended));
    for node in [&scene.pair.north, &scene.pair.south] {
        bill_stands(&scene, node, &grant).await;
    }
}

#[tokio::test]
async fn who_was_away_when_its_consumer_left_stops_its_work_and_keeps_its_books() {
    let mut scene = both(&IMPATIENT, &["compute.lease_seconds=4"]).await;
    let (grant, run) = one_done_and_one_at_work(&scene).await;
    scene.pair.south.kill();
    leaves(&scene.pair.north);
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    assert!(!run.cause.unwrap().text.is_empty(), "{why}");

    scene.pair.south.begin().await;
    is_alone(&scene.south()).await;
    scene.nothing_is_held().await;
    scene.revoke(&grant, "North has left").await;
    let south = scene.south();
    scene.reaches(&south, &grant, GrantState::Revoked).await;
    for node in [&scene.pair.north, &scene.pair.south] {
        bill_stands(&scene, node, &grant).await;
    }
}
