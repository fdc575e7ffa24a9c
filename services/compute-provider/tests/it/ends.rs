//! Ends that come from outside: leases, revocations, cancellations, crashes. Each leaves the capacity whole.

use std::time::{Duration, Instant};

use http::Method;
use oc_compute_provider::Settings;
use oc_compute_provider::domain::runtime::End;
use oc_kernel::{Code, Kind};
use oc_proto::federation::v1 as fed;
use oc_proto::federation::v1::watch_response::Event;
use oc_service::CallError;
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::stage::Stage;
use crate::work::{Attempt, Step};
use crate::world::{World, eventually};

async fn is_whole(site: &Org) {
    eventually(async || {
        let used = site.used("default").await;
        used["cores"] == 0 && used["concurrent_fragments"] == 0
    })
    .await;
}

#[tokio::test]
async fn no_job_without_lease_when_its_renewals_stop() {
    let world = World::new();
    let north = Org::start(&world).await;
    let settings = Settings {
        lease_seconds: 1,
        ..Settings::default()
    };
    let south = Org::start_with(&world, Stage::new(&world), settings).await;
    south.offer_machines().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, &["compute.default"]).await;
    let attempt = Attempt::new(&grant);
    let submitted = attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    // Renewed, it outlives its first second, and a second one.
    let mut challenge = submitted.challenge;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_200) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let lease_id = submitted.lease_id.clone();
        let renewal = fed::RenewLeaseRequest {
            lease_id,
            challenge,
        };
        let answer = north
            .compute_at(&south)
            .renew_lease(renewal)
            .await
            .unwrap()
            .into_inner();
        challenge = answer.challenge;
        assert!(south.stage.is_running(attempt.attempt));
    }
    let (state, code) = attempt.end(&north, &south).await;
    assert_eq!(
        (state, code.as_str()),
        (fed::AttemptState::Lost, "lease-lost")
    );
    assert!(south.stage.was_stopped(attempt.attempt));
    is_whole(&south).await;
    eventually(async || !south.told("oc.compute.usage.v1").is_empty()).await;
    assert_eq!(south.told("oc.compute.usage.v1")[0]["outcome"], "cancelled");
}

#[tokio::test]
async fn a_renewal_without_a_challenge_of_ours_keeps_nothing_alive() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let submitted = attempt.start(&north, &south).await;
    let renew = |challenge| fed::RenewLeaseRequest {
        lease_id: submitted.lease_id.clone(),
        challenge,
    };
    let mut client = north.compute_at(&south);
    for wrong in [0, submitted.challenge + 1] {
        let error = CallError::from(client.renew_lease(renew(wrong)).await.unwrap_err());
        assert_eq!(error.kind, Kind::Invalid);
    }
    let east = Org::start(&south.world).await;
    let stolen = east
        .compute_at(&south)
        .renew_lease(renew(submitted.challenge))
        .await;
    let stolen = CallError::from(stolen.unwrap_err());
    let said = (stolen.kind, stolen.code);
    assert_eq!(said, (Kind::NotFound, Some(Code::LeaseLost)));
    client
        .renew_lease(renew(submitted.challenge))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_revocation_stops_work_and_says_so_in_its_log() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    let held = Attempt::new(&grant);
    let reservation = held.reserve(&north, &south).await.unwrap();
    let submission = held.submission(&north, &south, &reservation).await;
    let following = attempt.end(&north, &south);
    let id = grant["grant_id"].as_str().unwrap();
    let path = format!("grants/{id}/revoke");
    let revoking = south.ok(Method::POST, &path, json!({}));
    let ((state, code), _) = tokio::join!(following, revoking);
    assert_eq!(
        (state, code.as_str()),
        (fed::AttemptState::Lost, "grant-raised")
    );
    assert!(south.stage.was_stopped(attempt.attempt));

    let late = held.refused(&north, &south, submission).await;
    assert!(matches!(
        CallError::from(late).kind,
        Kind::Forbidden | Kind::NotFound
    ));
    let error = CallError::from(
        Attempt::new(&grant)
            .reserve(&north, &south)
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::Forbidden);
    assert_eq!(error.code, Some(Code::GrantRevoked), "{error}");
    is_whole(&south).await;
}

#[tokio::test]
async fn a_cancelled_attempt_ends_as_cancelled_and_cancelling_again_is_no_error() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    let cancel = || fed::CancelAttemptRequest {
        attempt_id: attempt.attempt.to_string(),
        reason: "no longer wanted".into(),
    };
    let mut client = north.compute_at(&south);
    client.cancel_attempt(cancel()).await.unwrap();
    assert_eq!(
        attempt.end(&north, &south).await.0,
        fed::AttemptState::Cancelled
    );
    let again = client.cancel_attempt(cancel()).await.unwrap().into_inner();
    assert_eq!(again.state(), fed::AttemptState::Cancelled);
    is_whole(&south).await;
}

#[tokio::test]
async fn a_release_stops_what_runs_gives_everything_back_and_can_be_repeated() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    attempt.release(&north, &south).await;
    assert!(!south.stage.is_running(attempt.attempt));
    assert_eq!(south.used("default").await["cores"], 0);
    assert!(south.stage.was_swept(attempt.attempt));
    attempt.release(&north, &south).await;
    // Its key was used: it cannot run a second time.
    let mut again = attempt.wish();
    again.operation_id = "reserve-again".into();
    let error = north
        .compute_at(&south)
        .reserve_capacity(again)
        .await
        .unwrap_err();
    assert_eq!(CallError::from(error).kind, Kind::Conflict);
}

#[tokio::test]
async fn a_mere_hold_is_given_back_by_its_reservation() {
    let (north, south, grant) = story().await;
    let held = Attempt::new(&grant).reserve(&north, &south).await.unwrap();
    let request = fed::ReleaseCapacityRequest {
        reservation_id: held.reservation_id,
        attempt_id: String::new(),
    };
    north
        .compute_at(&south)
        .release_capacity(request)
        .await
        .unwrap();
    assert_eq!(south.used("default").await["cores"], 0);
}

#[tokio::test]
async fn no_capacity_leak_when_a_runner_dies_without_a_word() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    south.stage.vanish(attempt.attempt);
    assert_eq!(
        attempt.end(&north, &south).await.0,
        fed::AttemptState::Failed
    );
    is_whole(&south).await;
}

#[tokio::test]
async fn an_end_that_cannot_be_kept_or_that_nobody_asked_for_is_a_failure_and_charged() {
    let (north, south, grant) = story().await;
    // What an expression throws may be any size, and a document in a store may not.
    let unkept = End::Failed {
        step: "say".into(),
        message: "x".repeat(9 << 20),
        exit_code: None,
        code: String::new(),
    };
    for (n, end, why) in [(1, unkept, "cannot keep"), (2, End::Stopped, "unasked")] {
        let attempt = Attempt::new(&grant);
        attempt.start(&north, &south).await;
        south.stage.runs(attempt.attempt).await;
        south.stage.end(attempt.attempt, end).await;
        let last = attempt.watch(&north, &south, 0).await.pop().unwrap();
        let Some(Event::State(changed)) = last.event else {
            panic!("no state")
        };
        assert_eq!(changed.state(), fed::AttemptState::Failed);
        let cause = changed.cause.unwrap();
        assert!(cause.text.contains(why), "{}", cause.text);
        eventually(async || south.told("oc.compute.usage.v1").len() == n).await;
        let booked = south.told("oc.compute.usage.v1");
        assert_eq!(booked[n - 1]["outcome"], "failed");
    }
    is_whole(&south).await;
}

#[tokio::test]
async fn a_result_too_large_to_be_told_fails_the_attempt_and_frees_its_capacity() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    let step = Step::of(&south, &attempt).await;
    step.store("said.txt", b"hello\n").await;
    let one = json!({"class": "File", "location": "output:said.txt"});
    let outputs = json!({"said": vec![one; 20_000]}).to_string();
    assert!(outputs.len() < 2 << 20);
    south.stage.succeed(attempt.attempt, &outputs).await;
    let last = attempt.watch(&north, &south, 0).await.pop().unwrap();
    let Some(Event::State(changed)) = last.event else {
        panic!("no state")
    };
    assert_eq!(changed.state(), fed::AttemptState::Failed);
    let cause = changed.cause.unwrap();
    assert!(cause.text.contains("shorter prefix"), "{}", cause.text);
    is_whole(&south).await;
    eventually(async || !south.told("oc.compute.usage.v1").is_empty()).await;
    assert_eq!(south.told("oc.compute.usage.v1")[0]["outcome"], "failed");
}

#[tokio::test]
async fn no_lease_without_job_after_a_crash_and_the_attempt_is_billed_once() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    let held = Attempt::new(&grant);
    held.reserve(&north, &south).await.unwrap();
    south.stage.log(attempt.attempt, "the last word").await;
    let watch = fed::WatchRequest {
        attempt_id: attempt.attempt.to_string(),
        after: 0,
    };
    let mut seen = north
        .compute_at(&south)
        .watch(watch)
        .await
        .unwrap()
        .into_inner();
    while seen
        .message()
        .await
        .unwrap()
        .is_some_and(|event| !matches!(event.event, Some(Event::Log(_))))
    {}

    let south = south.crash().await;
    let (state, code) = attempt.end(&north, &south).await;
    assert_eq!(
        (state, code.as_str()),
        (fed::AttemptState::Lost, "node-restarted")
    );
    assert_eq!(south.stage.starts(), 0);
    south.world.clock.advance(Duration::from_secs(60));
    is_whole(&south).await;
    eventually(async || !south.told("oc.compute.usage.v1").is_empty()).await;
    // What South lost itself it charges to nobody (protocol, section 14).
    assert_eq!(south.told("oc.compute.usage.v1")[0]["outcome"], "lost");

    let south = south.restart().await;
    is_whole(&south).await;
    assert_eq!(south.told("oc.compute.usage.v1"), Vec::<Value>::new());
    assert_eq!(
        attempt.watch(&north, &south, 0).await.len(),
        attempt.watch(&north, &south, 0).await.len()
    );
}

#[tokio::test]
async fn a_withdrawn_offer_stops_what_runs_in_it() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    let following = attempt.end(&north, &south);
    let withdrawing = south.ok(Method::DELETE, "offers/default", Value::Null);
    let ((state, _), withdrawn) = tokio::join!(following, withdrawing);
    assert_eq!(withdrawn["attempts_stopped"], 1);
    assert_eq!(state, fed::AttemptState::Lost);
    eventually(async || {
        let offers = south.ok(Method::GET, "offers", Value::Null).await;
        offers["offers"].as_array().unwrap().is_empty()
    })
    .await;
    // Its ledger has gone with it; a consumer that comes only now is told how its attempt ended, and can give it back.
    let cancel = fed::CancelAttemptRequest {
        attempt_id: attempt.attempt.to_string(),
        reason: "no longer wanted".into(),
    };
    let told = north.compute_at(&south).cancel_attempt(cancel).await;
    assert_eq!(told.unwrap().into_inner().state(), state);
    attempt.release(&north, &south).await;
    // Whoever was granted it is told that it was withdrawn; others that there is no such thing.
    let later = Attempt::new(&grant).reserve(&north, &south).await;
    let later = CallError::from(later.unwrap_err());
    assert_eq!(later.code, Some(Code::OfferWithdrawn), "{later}");
    let free = fed::GetCapacityRequest {
        listing_id: "compute.default".into(),
        grant_id: grant["grant_id"].as_str().unwrap().into(),
    };
    let asked = async |free: fed::GetCapacityRequest| {
        let answer = north.compute_at(&south).get_capacity(free).await;
        CallError::from(answer.unwrap_err())
    };
    assert_eq!(asked(free.clone()).await.code, Some(Code::OfferWithdrawn));
    let never = fed::GetCapacityRequest {
        listing_id: "compute.never".into(),
        ..free
    };
    assert_eq!(asked(never).await.kind, Kind::NotFound);
}
