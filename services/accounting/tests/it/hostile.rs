//! A provider that writes what it likes into its own books, and makes the charge fit.

use oc_trust::UsageRecord;
use oc_trust::event::{AttemptEvent, AttemptState, Event as _};
use serde_json::json;

use crate::world::{Attempt, World};

/// The bytes that arrived in North's storage.
const ARRIVED: u64 = 1_000;

/// North sees the bytes of an attempt arrive; South's record of it is falsified. What North objects to.
async fn objection(falsify: fn(&mut UsageRecord)) -> (World, Option<String>) {
    let world = World::start().await;
    let attempt = Attempt::new();
    let subject = world.grant.id.to_string();
    for state in [AttemptState::Submitted, AttemptState::Ended] {
        let mut seen = attempt.seen(world.grant.id, state);
        if state == AttemptState::Ended {
            seen["bytes_out"] = ARRIVED.into();
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
