//! A provider whose books are not believed: its grant stops, others go on.

use std::time::Duration;

use oc_client::Client;
use oc_proto::accounting::v1::CorrectUsageRequest;
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::RunState;
use oc_testkit::until;

use crate::scene::{JUNE, SOON, Scene, large, over, start};

const HOUR: Duration = Duration::from_secs(3600);

/// Runs something at South; the grant it ran under.
async fn run(scene: &Scene) -> String {
    let run = start(&scene.north(), scene.sleep("0.1", "", JUNE)).await;
    let (run, why) = over(&scene.north(), &run.unwrap().run_id, HOUR).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    run.fragments[0].grant_id.clone()
}

/// The only record of a grant, once somebody has it.
async fn record(of: &Client, grant_id: &str) -> String {
    until("there is a record", SOON, async || {
        let records = of.accounting().records(grant_id, "").await.ok()?;
        Some(records.first()?.record_id.clone())
    })
    .await
}

/// What the last settlement of a grant was disputed for.
async fn objection(north: &Client, grant_id: &str) -> Option<String> {
    let settled = north.accounting().settle(grant_id).await.unwrap();
    assert_eq!(settled.countersigned, settled.disputes.is_empty());
    settled.disputes.first().map(|dispute| dispute.code.clone())
}

#[tokio::test]
async fn work_goes_on_under_another_grant_while_the_books_of_one_are_disputed() {
    let scene = Scene::set(&[]).await;
    let (north, south) = (scene.north(), scene.south());
    let preferred = scene.grant(large(), 2 * HOUR).await.grant_id;
    let other = scene.grant(large(), HOUR).await.grant_id;
    assert_eq!(run(&scene).await, preferred, "the one that ends later");
    assert_eq!(objection(&north, &preferred).await, None);

    // South says that a megabyte more left than arrived.
    let lie = CorrectUsageRequest {
        record_id: record(&south, &preferred).await,
        bytes_out: Some(1_000_000),
        ..CorrectUsageRequest::default()
    };
    let wrong = south.accounting().correct(&lie).await.unwrap();
    let code = objection(&north, &preferred).await;
    assert_eq!(code.as_deref(), Some("bytes"));
    assert_eq!(run(&scene).await, other);
    assert_eq!(objection(&north, &other).await, None);

    // With that one alone nothing begins, and the plan says why.
    scene.revoke(&other, "no more").await;
    scene.reaches(&north, &other, GrantState::Revoked).await;
    let refused = start(&north, scene.sleep("0.1", "", JUNE))
        .await
        .unwrap_err();
    assert_eq!(refused.problem().unwrap().status, 409, "{refused}");
    assert!(refused.to_string().contains("disputed"), "{refused}");

    // The right figure answers the objection.
    let right = CorrectUsageRequest {
        record_id: wrong.record.unwrap().record_id,
        bytes_out: Some(0),
        ..CorrectUsageRequest::default()
    };
    south.accounting().correct(&right).await.unwrap();
    until("the books agree again", SOON, async || {
        objection(&north, &preferred).await.is_none().then_some(())
    })
    .await;
    assert_eq!(run(&scene).await, preferred);
}

#[tokio::test]
async fn an_objection_to_how_an_attempt_ended_is_answered_by_a_correction() {
    let scene = Scene::set(&[]).await;
    let (north, south) = (scene.north(), scene.south());
    let grant = scene.grant(large(), HOUR).await.grant_id;
    assert_eq!(run(&scene).await, grant);
    assert_eq!(objection(&north, &grant).await, None);
    let record_id = record(&south, &grant).await;
    let with = |record_id: String, outcome: &str| CorrectUsageRequest {
        record_id,
        outcome: Some(outcome.to_owned()),
        ..CorrectUsageRequest::default()
    };
    let unknown = with(record_id.clone(), "eaten");
    let unknown = south.accounting().correct(&unknown).await.unwrap_err();
    assert!(unknown.to_string().contains("no outcome"), "{unknown}");
    let lie = with(record_id, "failed");
    let wrong = south.accounting().correct(&lie).await.unwrap();
    let code = objection(&north, &grant).await;
    assert_eq!(code.as_deref(), Some("outcome"));
    let right = with(wrong.record.unwrap().record_id, "succeeded");
    south.accounting().correct(&right).await.unwrap();
    until("the books agree again", SOON, async || {
        objection(&north, &grant).await.is_none().then_some(())
    })
    .await;
}
