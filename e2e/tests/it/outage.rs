//! A partner that vanishes in the middle of a run.

use std::time::{Duration, Instant};

use oc_proto::pipeline::v1::{FragmentState, Run, RunState};
use oc_testkit::until;

use crate::scene::{SOON, Scene, over, start};
use crate::sites::{both, request, two_steps, upload, uploaded};

const LIMIT: Duration = Duration::from_secs(100);

/// Starts a run whose first step is done at North and whose second works at South for some seconds.
pub(crate) async fn second_step_at_work(scene: &Scene, seconds: u32) -> Run {
    let north = scene.north();
    let object = upload(&north, "names.txt", "ada\n").await;
    let slow = format!("[sh, -c, \"sleep {seconds}; cat\"]");
    let asked = request(
        two_steps("[tr, a-z, A-Z]", &slow),
        uploaded(object, "storage.uploads"),
        &[("first", "North"), ("second", "South")],
    );
    let run = start(&north, asked).await.unwrap();
    until("the second step runs at South", SOON, async || {
        let run = north.pipeline().run(&run.run_id).await.ok()?;
        (run.fragments[1].state == i32::from(FragmentState::Running)).then_some(run)
    })
    .await
}

/// Waits until the run says of itself that South is silent.
pub(crate) async fn says_so(scene: &Scene, run_id: &str) {
    let north = scene.north();
    let since = Instant::now();
    until("the run says that South is silent", SOON, async || {
        let why = north.pipeline().explain(run_id).await.ok()?;
        let says = |text: &str| text.contains("South has not answered");
        let causes = why.entries.iter().filter_map(|entry| entry.cause.as_ref());
        let told = causes.into_iter().any(|cause| says(&cause.text));
        (told && says(&why.text)).then_some(())
    })
    .await;
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "no_silence: {:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn no_silence_about_a_site_that_was_killed_and_the_run_ends_well_when_it_is_back() {
    let mut scene = both(&[], &[]).await;
    let run = second_step_at_work(&scene, 2).await;
    scene.pair.south.kill();
    says_so(&scene, &run.run_id).await;
    scene.pair.south.begin().await;
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    assert_eq!(run.fragments[0].attempts, 1, "no_effect_twice");
}

#[tokio::test]
async fn a_run_whose_site_stays_away_fails_with_the_cause_and_a_retry_keeps_what_was_good() {
    let patience = [
        "pipeline.policy.lease=4s",
        "pipeline.policy.call=2s",
        "pipeline.policy.capacity=3s",
        "pipeline.policy.books=1s",
        "pipeline.policy.hold=4s",
        "pipeline.policy.attempts=2",
    ];
    let mut scene = both(&patience, &["compute.lease_seconds=4"]).await;
    let before = second_step_at_work(&scene, 2).await;
    scene.pair.south.kill();
    says_so(&scene, &before.run_id).await;
    let (run, why) = over(&scene.north(), &before.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    assert!(why.contains("South"), "{why}");
    let cause = run.cause.clone().unwrap();
    assert!(cause.text.contains("South"), "{cause:?}");
    assert_eq!(
        run.fragments[0].state,
        i32::from(FragmentState::Succeeded),
        "{why}"
    );

    scene.pair.south.begin().await;
    scene.pair.connected().await;
    let asked = scene.pair.north.run(&["retry", &run.run_id]);
    let question = String::from_utf8_lossy(&asked.stderr);
    assert!(
        question.contains("EUR more. Start it?") && question.contains("--yes"),
        "{question}"
    );
    let unchanged = scene.north().pipeline().run(&run.run_id).await.unwrap();
    assert_eq!(unchanged.state, run.state, "nothing was started");
    let output = scene.pair.north.run(&["retry", &run.run_id, "--yes"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let again = until("the retried run is over", LIMIT, async || {
        let run = scene.north().pipeline().run(&run.run_id).await.ok()?;
        (run.state == i32::from(RunState::Succeeded)).then_some(run)
    })
    .await;
    let (kept, first) = (&again.fragments[0], &before.fragments[0]);
    assert_eq!(kept.attempt_id, first.attempt_id, "the good step is kept");
    assert_eq!(kept.attempts, 1);
}

#[tokio::test]
async fn a_run_goes_on_although_its_own_node_was_killed_while_a_partner_worked() {
    let mut scene = both(&[], &[]).await;
    let run = second_step_at_work(&scene, 3).await;
    scene.pair.north.kill();
    scene.pair.north.begin().await;
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let attempts: Vec<_> = run.fragments.iter().map(|it| it.attempts).collect();
    assert_eq!(attempts, [1, 1], "no_effect_twice");
    books_agree(&scene).await;
}

#[tokio::test]
async fn a_run_ends_well_after_both_nodes_lost_their_power() {
    let mut scene = both(&[], &[]).await;
    let run = second_step_at_work(&scene, 3).await;
    scene.pair.north.kill();
    scene.pair.south.kill();
    scene.pair.south.begin().await;
    scene.pair.north.begin().await;
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    assert_eq!(run.fragments[0].attempts, 1, "no_effect_twice");
    scene.nothing_is_held().await;
    books_agree(&scene).await;
}

/// Waits until both have signed the same books of every grant.
pub(crate) async fn books_agree(scene: &Scene) {
    let (north, south) = (scene.north(), scene.south());
    for grant in north.compute().grants(false).await.unwrap() {
        until("books_agree", LIMIT, async || {
            let ours = north.accounting().books(&grant.grant_id).await.ok()?;
            let theirs = south.accounting().books(&grant.grant_id).await.ok()?;
            let agreed = ours.countersigned && theirs.countersigned && ours.size > 0;
            (agreed && ours.root == theirs.root && ours.disputes.is_empty()).then_some(())
        })
        .await;
    }
}
