//! A provider that writes what it likes into its own books, and makes the charge fit.

use oc_trust::event::{AttemptEvent, AttemptState, Event as _};
use oc_trust::{Outcome, UsageRecord};
use serde_json::{Value, json};

use crate::world::{Attempt, World};

/// The bytes that arrived in North's storage.
const ARRIVED: u64 = 1_000;

/// North sees the bytes of an attempt arrive; South's record of it is falsified. What North objects to.
async fn objection(falsify: fn(&mut UsageRecord)) -> (World, Option<String>) {
    let end = json!({"outcome": Outcome::Succeeded, "bytes_out": ARRIVED});
    objection_after(end, falsify).await
}

/// North hears of an end with these members; South's record of it is falsified. What North objects to.
async fn objection_after(end: Value, falsify: fn(&mut UsageRecord)) -> (World, Option<String>) {
    let world = World::start().await;
    let attempt = Attempt::new();
    let subject = world.grant.id.to_string();
    for state in [AttemptState::Submitted, AttemptState::Ended] {
        let mut seen = attempt.seen(world.grant.id, state);
        if state == AttemptState::Ended {
            for (member, value) in end.as_object().unwrap() {
                seen[member] = value.clone();
            }
        }
        world
            .north
            .publish(AttemptEvent::TYPE, &subject, seen)
            .await;
    }
    let mut record = attempt.record(&world.grant);
    falsify(&mut record);
    record.charge = record.charge_at(&world.grant.price);
    let log = &world.south.ledger;
    log.append(world.key(), vec![record]).await.unwrap();
    let (_, settled) = world.north.settle(world.grant.id).await;
    let objection = settled["disputes"][0]["code"].as_str().map(str::to_owned);
    assert_eq!(settled["countersigned"], objection.is_none(), "{settled}");
    (world, objection)
}

#[tokio::test]
async fn a_record_is_held_against_what_arrived_and_how_long_it_took() {
    type Falsify = fn(&mut UsageRecord);
    let cases: [(Falsify, Option<&str>); 4] = [
        (|_| (), None),
        (|r| r.bytes_out += 1, Some("bytes")),
        (|r| r.bytes_out = u64::from(u32::MAX), Some("bytes")),
        (|r| r.wall_ms += 30_000, Some("wall")),
    ];
    for (number, (falsify, expected)) in cases.into_iter().enumerate() {
        let (world, objection) = objection(falsify).await;
        assert_eq!(objection.as_deref(), expected, "case {number}");
        let books = world.books(&world.south).await;
        let agreed = if expected.is_none() { 1 } else { 0 };
        assert_eq!(books["agreed_size"], json!(agreed), "case {number}");
    }
}

#[tokio::test]
async fn what_a_provider_said_it_lost_is_not_booked_at_a_price() {
    type Falsify = fn(&mut UsageRecord);
    let cases: [(Falsify, Option<&str>); 4] = [
        (|r| r.outcome = Outcome::Lost, None),
        (|r| r.outcome = Outcome::Cancelled, Some("outcome")),
        (|r| r.outcome = Outcome::Failed, Some("outcome")),
        (|r| r.outcome = Outcome::Succeeded, Some("outcome")),
    ];
    for (number, (falsify, expected)) in cases.into_iter().enumerate() {
        let told = json!({"outcome": Outcome::Lost});
        let (world, objection) = objection_after(told, falsify).await;
        assert_eq!(objection.as_deref(), expected, "case {number}");
        for org in [&world.north, &world.south] {
            let books = world.books(org).await;
            let signed = expected.is_none();
            assert_eq!(books["countersigned"], json!(signed), "case {number}");
        }
    }
}

#[tokio::test]
async fn an_attempt_that_was_never_heard_from_again_may_be_booked_by_its_price() {
    let silence = json!({"outcome": null});
    let (_world, objection) = objection_after(silence, |r| r.outcome = Outcome::Cancelled).await;
    assert_eq!(objection, None);
}
