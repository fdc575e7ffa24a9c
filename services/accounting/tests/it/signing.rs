//! When books are said to be countersigned: only while both organisations hold both signatures.

use std::time::{Duration, Instant};

use http::StatusCode;
use oc_kernel::{Clock as _, SystemClock};

use crate::world::{Attempt, World, until};

/// Seconds that no test lasts.
const SELDOM: u64 = 3600;

fn just_ended() -> Attempt {
    let mut attempt = Attempt::new();
    attempt.submitted_ms = SystemClock.now_ms() - attempt.wall_ms - 300;
    attempt
}

#[tokio::test]
async fn whoever_says_countersigned_exports_the_same_as_the_other() {
    let world = World::start().await;
    world.run(&Attempt::new()).await;
    *world.north.discovery.lost_answer.lock().unwrap() = Some("/Countersign");
    let (status, problem) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");

    // South took the signature, and North cannot know that.
    assert_eq!(world.books(&world.south).await["countersigned"], true);
    let books = world.books(&world.north).await;
    assert_eq!(books["countersigned"], false, "{books}");
    assert_eq!(books["agreed_size"], 1, "it has signed: {books}");
    let export = world.agreed_export().await;
    assert_eq!(export["books"][0]["records"].as_array().unwrap().len(), 1);

    *world.north.discovery.lost_answer.lock().unwrap() = None;
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["countersigned"], true, "{settled}");
    assert_eq!(world.books(&world.north).await["countersigned"], true);
    world.agreed_export().await;
}

#[tokio::test]
async fn a_signature_that_was_not_handed_over_is_handed_over_without_being_asked() {
    let world = World::settling_every(1).await;
    *world.north.discovery.lost_answer.lock().unwrap() = Some("/Countersign");
    world.run(&Attempt::new()).await;
    let signed = || async { world.books(&world.north).await["agreed_size"] == 1 };
    until("North has signed", signed).await;
    *world.north.discovery.lost_answer.lock().unwrap() = None;
    let said = || async { world.books(&world.north).await["countersigned"] == true };
    until("North knows that South holds both signatures", said).await;
}

#[tokio::test]
async fn books_are_not_said_to_be_countersigned_while_a_record_is_on_its_way() {
    let world = World::start().await;
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["countersigned"], true, "{settled}");
    world.observe(&just_ended()).await;
    assert_eq!(world.books(&world.north).await["countersigned"], false);
}

#[tokio::test]
async fn an_attempt_that_ended_is_countersigned_at_both_at_once() {
    let world = World::settling_every(SELDOM).await;
    for size in 1..=3 {
        let begin = Instant::now();
        world.run(&just_ended()).await;
        let both = || async {
            let (north, south) = (
                world.books(&world.north).await,
                world.books(&world.south).await,
            );
            let stands = [north, south].map(|b| b["countersigned"] == true && b["size"] == size);
            if stands.contains(&true) {
                world.agreed_export().await;
            }
            stands == [true, true]
        };
        until("both hold both signatures", both).await;
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
    }
}
