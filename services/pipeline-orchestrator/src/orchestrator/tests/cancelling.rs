//! Stopping runs: once, and only what is not over.

use super::*;

#[tokio::test]
async fn a_run_is_cancelled_once_however_often_that_is_said() {
    let desk = Desk::open().await;
    let run = desk.store(Vec::new()).await;
    let first = desk.orchestrator.cancel(&user("ada"), &run).await.unwrap();
    let over = [pb::RunState::Releasing, pb::RunState::Cancelled].map(i32::from);
    assert!(over.contains(&first.state), "{first:?}");
    let cause = first.cause.unwrap();
    assert_eq!(cause.text, "stopped by its user");
    let again = desk.orchestrator.cancel(&user("ada"), &run).await.unwrap();
    assert!(over.contains(&again.state), "{again:?}");
    let document = desk.orchestrator.document(&user("ada"), &run).await;
    assert!(document.unwrap().value.run.state() != RunState::Failed);
}

#[tokio::test]
async fn a_run_that_has_failed_already_is_not_stopped_and_says_so() {
    let desk = Desk::open().await;
    let at = AttemptRef {
        fragment: 0,
        attempt: 1,
    };
    let refused = Event::Trouble {
        action: Action::ReserveCapacity { at },
        cause: Cause::new(code::NO_GRANT, "no grant", me(), now()),
        lasting: true,
    };
    let run = desk.store(vec![Event::Tick, refused]).await;
    let refused = desk.orchestrator.cancel(&user("ada"), &run).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), Kind::Precondition);
    assert!(refused.to_string().contains("it has failed"), "{refused}");
}
