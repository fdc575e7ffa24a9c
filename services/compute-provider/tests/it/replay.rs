//! What North signed and sent, sent again: by another member, later, or under another name.

use oc_kernel::Kind;
use oc_proto::federation::v1 as fed;
use oc_service::CallError;
use oc_trust::event::{Event as _, UsageEvent};
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::work::{Attempt, Step};
use crate::world::eventually;

/// A whole life of an attempt at South, and what North sent for it.
async fn ended() -> (Org, Org, Attempt, fed::SubmitRequest) {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let held = attempt.reserve(&north, &south).await.unwrap();
    let submission = attempt.submission(&north, &south, &held).await;
    let sent = submission.clone();
    north.compute_at(&south).submit(submission).await.unwrap();
    let step = Step::of(&south, &attempt).await;
    step.store("said.txt", b"hello\n").await;
    let outputs = json!({"said": {"class": "File", "location": "output:said.txt"}}).to_string();
    south.stage.succeed(attempt.attempt, &outputs).await;
    let (state, _) = attempt.end(&north, &south).await;
    assert_eq!(state, fed::AttemptState::Succeeded);
    eventually(async || south.told(UsageEvent::TYPE).len() == 1).await;
    attempt.release(&north, &south).await;
    (north, south, attempt, sent)
}

/// What an operator of South sees of the grant and of the machines.
async fn seen(south: &Org, grant: &str) -> (Value, Value, usize) {
    let grant = south.grant(grant).await;
    let used = south.used("default").await;
    (grant, used, south.told(UsageEvent::TYPE).len())
}

#[tokio::test]
async fn a_delegation_opens_nothing_for_a_member_with_a_hold_of_its_own() {
    let (north, south, grant) = story().await;
    let east = Org::start(&north.world).await;
    east.offer_room().await;
    let granted = east.granted_by(&south, &["compute.default"]).await;
    // North's, not yet submitted; East has overheard it.
    let attempt = Attempt::new(&grant);
    let held = attempt.reserve(&north, &south).await.unwrap();
    let stolen = attempt.submission(&north, &south, &held).await;
    let own = Attempt::new(&granted);
    let own_hold = own.reserve(&east, &south).await.unwrap();
    let before = seen(&south, &attempt.grant).await;
    let with_own_hold = fed::SubmitRequest {
        reservation_id: own_hold.reservation_id.clone(),
        ..stolen.clone()
    };
    // The chain of North's with the ids of East's attempt.
    let mut as_own = with_own_hold.clone();
    let fragment = as_own.fragment.as_mut().unwrap();
    fragment.run_id = own.run.to_string();
    fragment.fragment_id = own.fragment.to_string();
    fragment.attempt_id = own.attempt.to_string();
    fragment.output.as_mut().unwrap().prefix = own.prefix().to_string();
    for replayed in [stolen.clone(), with_own_hold, as_own] {
        let refused = east.compute_at(&south).submit(replayed).await;
        let error = CallError::from(refused.unwrap_err());
        let refused = matches!(
            error.kind,
            Kind::NotFound | Kind::Forbidden | Kind::Unauthenticated
        );
        assert!(refused, "{error} {:?}", error.kind);
    }
    assert_eq!(seen(&south, &attempt.grant).await, before);
    for attempt in [&attempt, &own] {
        assert!(!south.stage.is_running(attempt.attempt));
    }
    // It still opens for North what it was made for.
    north.compute_at(&south).submit(stolen).await.unwrap();
    south.stage.runs(attempt.attempt).await;
}

#[tokio::test]
async fn what_was_submitted_runs_once_however_often_it_is_sent() {
    let (north, south, attempt, sent) = ended().await;
    let before = seen(&south, &attempt.grant).await;
    // The same operation is answered, with another name it is not the same; neither begins anything.
    let mut renamed = sent.clone();
    renamed.operation_id = "submit-again".to_owned();
    for replayed in [sent.clone(), renamed] {
        let operation = replayed.operation_id.clone();
        let answer = north.compute_at(&south).submit(replayed).await;
        if let Err(status) = answer {
            let error = CallError::from(status);
            let refused = matches!(
                error.kind,
                Kind::NotFound | Kind::Forbidden | Kind::Precondition | Kind::Conflict
            );
            assert!(refused, "{operation}: {error} {:?}", error.kind);
        } else {
            assert_eq!(operation, "submit", "another operation was taken");
        }
        assert!(!south.stage.is_running(attempt.attempt));
        assert_eq!(seen(&south, &attempt.grant).await, before);
    }
    // Nor does a new hold for the attempt that is over bring it back.
    let again = attempt.reserve(&north, &south).await;
    if let Ok(held) = again {
        let replayed = fed::SubmitRequest {
            reservation_id: held.reservation_id,
            operation_id: "submit-anew".to_owned(),
            ..sent
        };
        let refused = north.compute_at(&south).submit(replayed).await;
        let error = CallError::from(refused.unwrap_err());
        assert!(
            matches!(
                error.kind,
                Kind::NotFound | Kind::Precondition | Kind::Conflict | Kind::Forbidden
            ),
            "{error} {:?}",
            error.kind
        );
        attempt.release(&north, &south).await;
    }
    assert!(!south.stage.is_running(attempt.attempt));
    assert_eq!(seen(&south, &attempt.grant).await, before);
}
