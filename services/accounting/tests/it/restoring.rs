//! Books after one side was restored from an older backup.

use http::StatusCode;
use oc_trust::UsageRecord;

use crate::world::{Attempt, World};

const EPOCH: u64 = 1_763_000_000_000;

/// Runs and settles until both have signed so many records in all.
async fn run_until(world: &World, size: u64) {
    let have = world.books(&world.south).await["size"].as_u64().unwrap();
    for _ in have..size {
        world.run(&Attempt::new()).await;
    }
    let (status, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::OK, "{settled}");
    assert_eq!(settled["countersigned"], true, "{settled}");
    assert_eq!(settled["size"], size);
}

/// Both hold the same so many records under both signatures.
async fn agree(world: &World, size: u64) {
    for org in [&world.north, &world.south] {
        let books = world.books(org).await;
        assert_eq!(books["agreed_size"], size, "{books}");
        assert_eq!(books["countersigned"], true, "{books}");
    }
    let export = world.agreed_export().await;
    let records = export["books"][0]["records"].as_array().unwrap().len();
    assert_eq!(records as u64, size);
}

#[tokio::test]
async fn a_provider_gets_the_records_back_that_it_lost_by_a_restore() {
    let mut world = World::start().await;
    run_until(&world, 1).await;
    let backup = world.south.back_up();
    run_until(&world, 3).await;
    world.restore_south(backup, EPOCH).await;

    // Nothing is signed or recorded before North was asked, and the books say why.
    let books = world.books(&world.south).await;
    assert_eq!(books["countersigned"], false, "{books}");
    assert_eq!(books["disputes"][0]["code"], "restored", "{books}");
    let early = Attempt::new();
    let south = world.accounting_of_south();
    let usage: oc_trust::event::UsageEvent =
        serde_json::from_value(early.usage(&world.grant.id.to_string())).unwrap();
    let refused = south.record(&usage).await.unwrap_err();
    assert!(
        refused.to_string().contains("restored from a backup"),
        "{refused}"
    );
    let (status, problem) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert!(
        problem.to_string().contains("restored from a backup"),
        "{problem}"
    );

    // As its settler does without being asked.
    let (status, healed) = world.south.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::OK, "{healed}");
    agree(&world, 3).await;
    run_until(&world, 5).await;
    // As at the next start: it is healed once.
    let south = world.accounting_of_south();
    south.raise_epoch(EPOCH).await.unwrap();
    agree(&world, 5).await;
}

#[tokio::test]
async fn a_provider_whose_consumer_is_away_says_what_it_waits_for() {
    let mut world = World::start().await;
    let backup = world.south.back_up();
    run_until(&world, 1).await;
    world.restore_south(backup, EPOCH).await;
    *world.south.discovery.cut.lock().unwrap() = true;
    let (status, _) = world.south.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let books = world.books(&world.south).await;
    let cause = &books["disputes"][0];
    assert!(
        cause["text"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{cause}"
    );
    assert!(
        cause["advice"]
            .as_str()
            .unwrap()
            .contains("opencloud peers"),
        "{cause}"
    );
    *world.south.discovery.cut.lock().unwrap() = false;
    world.south.settle(world.grant.id).await;
    agree(&world, 1).await;
}

#[tokio::test]
async fn a_consumer_takes_up_what_it_signed_before_its_restore() {
    let mut world = World::start().await;
    run_until(&world, 1).await;
    let backup = world.north.back_up();
    run_until(&world, 3).await;
    world.restore_north(backup, EPOCH).await;
    run_until(&world, 4).await;
    agree(&world, 4).await;
}

#[tokio::test]
async fn what_a_consumer_had_not_signed_before_its_restore_is_disputed_and_named() {
    let mut world = World::start().await;
    let backup = world.north.back_up();
    let mut forgotten = Attempt::new();
    forgotten.submitted_ms -= 3_600_000;
    world.run(&forgotten).await;
    world.restore_north(backup, EPOCH).await;
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["disputes"][0]["code"], "attempt", "{settled}");
}

#[tokio::test]
async fn books_heal_after_both_sides_were_restored() {
    let mut world = World::start().await;
    run_until(&world, 1).await;
    let north = world.north.back_up();
    run_until(&world, 2).await;
    let south = world.south.back_up();
    run_until(&world, 4).await;
    world.restore_north(north, EPOCH).await;
    world.restore_south(south, EPOCH).await;
    let (status, healed) = world.south.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::OK, "{healed}");
    run_until(&world, 3).await;
    agree(&world, 3).await;
}

#[tokio::test]
async fn a_consumer_that_shows_other_records_than_were_signed_is_not_believed() {
    let mut world = World::start().await;
    let backup = world.south.back_up();
    run_until(&world, 1).await;
    world.restore_south(backup, EPOCH).await;
    // Its own record before the one that both signed: the log has forked.
    let record: UsageRecord = Attempt::new().record(&world.grant);
    let ledger = &world.south.ledger;
    ledger.append(world.key(), vec![record]).await.unwrap();
    let (status, problem) = world.south.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let books = world.books(&world.south).await;
    let text = books["disputes"][0]["text"].as_str().unwrap();
    assert!(text.contains("not those that were signed"), "{text}");
}

#[tokio::test]
async fn nobody_but_the_provider_reads_a_consumers_copy() {
    let world = World::start().await;
    run_until(&world, 1).await;
    let north = world.north.accounting();
    let stranger = oc_kernel::OrgId::from_digest([9; 32]);
    assert!(north.head(world.grant.id, stranger, 0).await.is_err());
    assert!(north.log(world.grant.id, stranger, 0, 0).await.is_err());
    let held = north
        .head(world.grant.id, world.grant.provider, 0)
        .await
        .unwrap();
    assert!(!held.agreed.is_empty());
}
