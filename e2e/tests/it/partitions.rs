//! A line between two organisations that goes silent, is cut, or is bad, in the middle of a run.

use std::time::{Duration, Instant};

use oc_client::Client;
use oc_proto::pipeline::v1::{FragmentState, Run, RunRequest, RunState};
use oc_testkit::{Conditions, Link, Pair, Passage, until};

use crate::outage::{books_agree, says_so, second_step_at_work};
use crate::parting::is_alone;
use crate::scene::{SOON, Scene, over, start};
use crate::sites::furnish;

const LIMIT: Duration = Duration::from_secs(100);
/// A lease that is lost within seconds.
const SHORT: [&str; 4] = [
    "pipeline.policy.lease=4s",
    "pipeline.policy.call=2s",
    "pipeline.policy.books=1s",
    "pipeline.policy.hold=4s",
];
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
async fn a_silence_that_ends_the_connection_costs_no_attempt_while_the_lease_lasts() {
    let lease = ["pipeline.policy.lease=60s"];
    let (scene, link) = linked(&lease, &["compute.lease_seconds=60"]).await;
    let run = second_step_at_work(&scene, 3).await;
    link.set(STALLED);
    says_so(&scene, &run.run_id).await;
    for side in [scene.north(), scene.south()] {
        is_alone(&side).await;
    }
    // South has done its work meanwhile, and nobody has heard of it.
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
    let (scene, link) = linked(&SHORT, &["compute.lease_seconds=4"]).await;
    let run = second_step_at_work(&scene, 10).await;
    link.set(STALLED);
    says_so(&scene, &run.run_id).await;
    ended_by_itself(&scene).await;
    link.set(Conditions::default());
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let attempts: Vec<_> = run.fragments.iter().map(|it| it.attempts).collect();
    assert_eq!(attempts, [1, 2], "{why}");
    scene.nothing_is_held().await;
    books_agree(&scene).await;
}

#[tokio::test]
async fn a_run_moves_away_from_a_silent_site_and_both_settle_what_was_lost_there() {
    let (scene, link) = linked(&SHORT, &["compute.lease_seconds=4"]).await;
    let north = scene.north();
    // While North's cores are taken the plan prefers South.
    let mut takes_all = bare("3600", 2);
    takes_all.placement = [("main".to_owned(), "North".to_owned())].into();
    let takes_all = begun(&north, takes_all).await;
    let run = begun(&north, bare("8", 1)).await;
    assert_eq!(run.fragments[0].site_name, "South");
    let cancelled = scene
        .pair
        .north
        .run(&["cancel", &takes_all.run_id, "--yes"]);
    assert!(cancelled.status.success(), "{cancelled:?}");
    over(&north, &takes_all.run_id, LIMIT).await;

    link.set(STALLED);
    says_so(&scene, &run.run_id).await;
    ended_by_itself(&scene).await;
    let (run, why) = over(&north, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let fragment = &run.fragments[0];
    assert_eq!(
        (fragment.site_name.as_str(), fragment.attempts),
        ("North", 2),
        "{why}"
    );
    link.set(Conditions::default());
    scene.pair.connected().await;
    books_agree(&scene).await;
    scene.nothing_is_held().await;
}

/// Sleeps, reads nothing and leaves nothing.
fn bare(seconds: &str, cores: u32) -> RunRequest {
    RunRequest {
        cwl: format!(
            "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, \"{seconds}\"]\n\
             requirements: {{ResourceRequirement: {{coresMin: {cores}}}}}\ninputs: {{}}\noutputs: {{}}\n"
        ),
        name: "bare".to_owned(),
        ..RunRequest::default()
    }
}

async fn begun(north: &Client, request: RunRequest) -> Run {
    let run = start(north, request).await.unwrap();
    until("its only fragment runs", SOON, async || {
        let run = north.pipeline().run(&run.run_id).await.ok()?;
        (run.fragments[0].state == i32::from(FragmentState::Running)).then_some(run)
    })
    .await
}

/// The provider kills first: by its own clock, while nobody can tell it anything.
async fn ended_by_itself(scene: &Scene) {
    until("South has ended the attempt by itself", SOON, async || {
        (scene.held().await.1 == 0).then_some(())
    })
    .await;
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
