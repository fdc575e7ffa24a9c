//! A line between two organisations that goes silent, is cut, or is bad, in the middle of a run.

use std::time::{Duration, Instant};

use oc_proto::pipeline::v1::RunState;
use oc_testkit::{Conditions, Link, Pair, Passage, until};

use crate::outage::{books_agree, says_so, second_step_at_work};
use crate::scene::{SOON, Scene, over};
use crate::sites::furnish;

const LIMIT: Duration = Duration::from_secs(100);
const STALLED: Conditions = Conditions {
    passage: Passage::Stalled,
    delay: Duration::ZERO,
    rate: None,
};

async fn linked(north: &[&str], south: &[&str]) -> (Scene, Link) {
    let (pair, link) = Pair::meet_over_link(north, south).await;
    (furnish(Scene::on(pair).await).await, link)
}

#[tokio::test]
async fn a_silence_shorter_than_the_lease_is_said_and_costs_no_attempt() {
    let (scene, link) = linked(&[], &["compute.lease_seconds=60"]).await;
    let run = second_step_at_work(&scene, 3).await;
    link.set(STALLED);
    says_so(&scene, &run.run_id).await;
    link.set(Conditions::default());
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let attempts: Vec<_> = run.fragments.iter().map(|it| it.attempts).collect();
    assert_eq!(attempts, [1, 1], "no_effect_twice: {why}");
    scene.nothing_is_held().await;
    books_agree(&scene).await;
}

#[tokio::test]
async fn after_a_silence_longer_than_the_lease_nothing_of_the_lost_attempt_is_left_and_the_books_settle()
 {
    let lease = ["pipeline.policy.lease=4s", "pipeline.policy.call=2s"];
    let (scene, link) = linked(&lease, &["compute.lease_seconds=4"]).await;
    let run = second_step_at_work(&scene, 30).await;
    link.set(STALLED);
    says_so(&scene, &run.run_id).await;
    // The provider kills first: by its own clock, while nobody can tell it anything.
    until("South has ended the attempt by itself", SOON, async || {
        (scene.held().await.1 == 0).then_some(())
    })
    .await;
    link.set(Conditions::default());
    let stopped = scene.pair.north.run(&["cancel", &run.run_id, "--yes"]);
    assert!(stopped.status.success(), "{stopped:?}");
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Cancelled), "{why}");
    scene.nothing_is_held().await;
    books_agree(&scene).await;
}

#[tokio::test]
async fn a_line_that_is_cut_again_and_again_delays_a_run_and_does_it_no_harm() {
    let (scene, link) = linked(&[], &[]).await;
    let run = second_step_at_work(&scene, 3).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        link.reset();
        until("South has dialled again", SOON, async || {
            (link.connections() > 0).then_some(())
        })
        .await;
    }
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    assert_eq!(run.fragments[0].attempts, 1, "no_effect_twice: {why}");
    scene.nothing_is_held().await;
    books_agree(&scene).await;
}

#[tokio::test]
async fn a_slow_line_makes_a_run_slow_and_nothing_worse() {
    let (scene, link) = linked(&[], &[]).await;
    link.set(Conditions {
        delay: Duration::from_millis(150),
        rate: std::num::NonZeroU32::new(256 * 1024),
        ..Conditions::default()
    });
    let run = second_step_at_work(&scene, 1).await;
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let attempts: Vec<_> = run.fragments.iter().map(|it| it.attempts).collect();
    assert_eq!(attempts, [1, 1], "{why}");
    books_agree(&scene).await;
}
