//! Who sees what of the books.

use http::{Method, StatusCode};
use oc_kernel::AttemptId;
use oc_trust::event::{AttemptEvent, AttemptState, Event as _, UserEvent, UserState};
use serde_json::{Value, json};

use crate::world::{Attempt, Org, World};

async fn as_user(org: &Org, path: &str) -> (StatusCode, Value) {
    let (status, body) = org.raw("user", Method::GET, path, Value::Null).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// North's user ran one attempt under the grant, and somebody else another one.
async fn two_people() -> (World, Attempt) {
    let world = World::start().await;
    let (own, other) = (Attempt::new(), Attempt::new());
    world.run(&own).await;
    let mut seen = other.seen(world.grant.id, AttemptState::Submitted);
    seen["user"] = "somebody".into();
    seen["pseudonym"] = "p-2".into();
    let subject = world.grant.id.to_string();
    world
        .north
        .publish(AttemptEvent::TYPE, &subject, seen)
        .await;
    let mut usage = other.usage(&subject);
    usage["pseudonym"] = "p-2".into();
    world.report(usage).await;
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["size"], 2, "{settled}");
    (world, own)
}

#[tokio::test]
async fn a_user_sees_the_records_of_their_own_runs_and_no_others() {
    let (world, own) = two_people().await;
    let (_, records) = as_user(&world.north, "/records").await;
    let records = records["records"].as_array().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["attempt_id"], own.attempt.to_string());
    let (_, sums) = as_user(&world.north, "/sums?by=organisation").await;
    assert_eq!(sums["sums"][0]["records"], 1, "{sums}");
    for query in ["", "?month=", &format!("?grant_id={}", world.grant.id)] {
        let (_, export) = as_user(&world.north, &format!("/exports{query}")).await;
        let books = export["books"].as_array().unwrap();
        let exported: Vec<&Value> = books
            .iter()
            .flat_map(|part| part["records"].as_array().unwrap())
            .collect();
        assert_eq!(exported.len(), 1, "{export}");
        assert_eq!(exported[0]["run"], own.run.to_string());
    }
    // An operator sees them all.
    let all = world.north.get("/records").await;
    assert_eq!(all["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_user_of_the_provider_sees_nothing_of_the_partners_people() {
    let (world, _) = two_people().await;
    let (_, records) = as_user(&world.south, "/records").await;
    assert_eq!(records["records"], json!([]));
    let (_, sums) = as_user(&world.south, "/sums").await;
    assert_eq!(sums["sums"], json!([]));
    let (status, _) = as_user(
        &world.south,
        &format!("/exports?grant_id={}", world.grant.id),
    )
    .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_books_of_a_grant_are_for_operators() {
    let world = World::start().await;
    let books = format!("/books/{}", world.grant.id);
    for (method, path) in [
        (Method::GET, books.clone()),
        (Method::POST, format!("{books}/settle")),
        (
            Method::POST,
            format!("/records/{}/corrections", AttemptId::new()),
        ),
    ] {
        let (status, _) = world.north.raw("user", method, &path, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn nobody_can_tell_whose_the_records_of_a_removed_user_were() {
    let (world, own) = two_people().await;
    let removed = UserEvent {
        user: "user".to_owned(),
        state: UserState::Removed,
    };
    let records = async || as_user(&world.north, "/records").await.1["records"].clone();
    assert_eq!(records().await.as_array().unwrap().len(), 1);
    let (subject, data) = (removed.subject(), removed.data());
    world.north.publish(UserEvent::TYPE, &subject, data).await;
    assert_eq!(records().await, json!([]));
    // The end of an attempt that was on its way does not bring the name back.
    let late = own.seen(world.grant.id, AttemptState::Ended);
    let subject = world.grant.id.to_string();
    world
        .north
        .publish(AttemptEvent::TYPE, &subject, late)
        .await;
    assert_eq!(records().await, json!([]));
    let all = world.north.get("/records").await;
    assert_eq!(all["records"].as_array().unwrap().len(), 2);
}
