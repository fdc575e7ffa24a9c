//! What was agreed to with a plan bounds what follows.

use std::time::Duration;

use oc_proto::pipeline::v1::{RunRequest, RunState};
use oc_testkit::until;

use crate::scene::{SOON, over, start};
use crate::sites::both;

#[tokio::test]
async fn a_run_that_was_to_cost_nothing_does_not_move_to_a_partner_who_asks_a_price() {
    let scene = both(&[], &[]).await;
    let north = scene.north();
    let sleep = RunRequest {
        cwl: "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, \"60\"]\ninputs: {}\noutputs: {}\n"
            .to_owned(),
        name: "sleep".to_owned(),
        ..RunRequest::default()
    };
    let run = start(&north, sleep).await.unwrap();
    assert_eq!(run.fragments[0].site_name, "North");
    assert_eq!(run.cost_micros, 0);
    until("it runs at North", SOON, async || {
        let run = north.pipeline().run(&run.run_id).await.ok()?;
        (run.fragments[0].started_at_ms > 0).then_some(())
    })
    .await;
    north.compute().withdraw_offer("home").await.unwrap();
    let (run, why) = over(&north, &run.run_id, Duration::from_secs(60)).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    let expected = "not tried at South instead: it would cost at most";
    assert!(why.contains(expected), "{why}");
    assert!(why.contains("what to do: start a new run"), "{why}");
    assert_eq!(run.fragments[0].site_name, "North", "{why}");
    assert_eq!(scene.held().await, (0, 0));
}
