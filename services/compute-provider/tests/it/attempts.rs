//! A partner's fragment from the reservation to the books.

use http::Method;
use oc_kernel::{Code, Digest, Kind};
use oc_proto::federation::v1 as fed;
use oc_proto::federation::v1::watch_response::Event;
use oc_service::CallError;
use oc_trust::event::{Event as _, UsageEvent};
use serde_json::{Value, json};

use crate::node::Org;
use crate::stage::Stage;
use crate::work::{Attempt, Step, staged};
use crate::world::{World, eventually};

/// North has a shelf; South has machines, and has granted them.
pub(crate) async fn story() -> (Org, Org, Value) {
    let world = World::new();
    let (north, south) = (Org::start(&world).await, Org::start(&world).await);
    north.offer_room().await;
    south.offer_machines().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, &["compute.default"]).await;
    (north, south, grant)
}

#[tokio::test]
async fn a_fragment_runs_at_a_partner_and_its_output_lies_in_our_own_storage() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let submitted = attempt.start(&north, &south).await;
    assert_eq!(submitted.lease_ms, 15_000);
    let step = Step::of(&south, &attempt).await;
    step.store("said.txt", b"hello\n").await;
    south.stage.log(attempt.attempt, "hello").await;
    let outputs = json!({"said": {"class": "File", "location": "output:said.txt"}}).to_string();
    south.stage.succeed(attempt.attempt, &outputs).await;

    let events = attempt.watch(&north, &south, 0).await;
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let result = events
        .iter()
        .find_map(|event| match event.event.as_ref().unwrap() {
            Event::Result(result) => Some(result.clone()),
            _ => None,
        });
    let result = result.unwrap();
    let key = format!("{}/said.txt", attempt.prefix());
    let said: Value = serde_json::from_str(&result.outputs_json).unwrap();
    let sha256 = Digest::of(b"hello\n").to_string();
    assert_eq!(
        said["said"]["location"],
        format!("oc:{}/objects/{key}", north.id)
    );
    assert_eq!(said["said"]["checksum"], format!("sha256${sha256}"));
    let usage = result.usage.unwrap();
    assert_eq!((usage.bytes_out, usage.bytes_in, usage.cores), (6, 11, 1));
    let (state, code) = attempt.end(&north, &south).await;
    assert_eq!(
        (state, code.as_str()),
        (fed::AttemptState::Succeeded, "succeeded")
    );

    let path = format!("storage/results/objects/{key}");
    let request = http::Request::builder()
        .uri(format!("/api/compute/v1/{path}"))
        .header("authorization", "Bearer operator")
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(north.send(request).await.1, b"hello\n");

    eventually(async || !south.told("oc.compute.usage.v1").is_empty()).await;
    let booked = &south.told("oc.compute.usage.v1")[0];
    assert_eq!(booked["attempt_id"], attempt.attempt.to_string());
    assert_eq!(
        (&booked["outcome"], &booked["bytes_out"]),
        (&json!("succeeded"), &json!(6))
    );
    assert_eq!(booked["wall_ms"], usage.wall_ms);
    assert_eq!(booked["pseudonym"], "user-7");
    // As accounting reads it.
    let read: UsageEvent = serde_json::from_value(booked.clone()).unwrap();
    assert_eq!((read.data(), read.cores), (booked.clone(), usage.cores));
    assert!(!booked.to_string().contains("hello"));
}

#[tokio::test]
async fn our_own_fragment_needs_no_grant_and_its_output_stays_here() {
    let world = World::new();
    let north = Org::start(&world).await;
    north.offer_room().await;
    north.offer_machines().await;
    let attempt = Attempt::new(&Value::Null);
    attempt.start(&north, &north).await;
    let step = Step::of(&north, &attempt).await;
    step.store("said.txt", b"hello\n").await;
    let outputs = json!({"said": {"class": "File", "location": "output:said.txt"}}).to_string();
    north.stage.succeed(attempt.attempt, &outputs).await;
    assert_eq!(
        attempt.end(&north, &north).await.0,
        fed::AttemptState::Succeeded
    );
    let listed = north
        .ok(
            Method::GET,
            "storage/results/objects?prefix=demo/",
            Value::Null,
        )
        .await;
    let key = listed["objects"][0]["key"].as_str().unwrap();
    assert_eq!(key, format!("{}/said.txt", attempt.prefix()));
    eventually(async || !north.told("oc.compute.usage.v1").is_empty()).await;
    assert_eq!(north.told("oc.compute.usage.v1")[0]["grant_id"], "own");
    assert_eq!(north.told("oc.compute.usage.v1")[0]["bytes_out"], 0);
}

#[tokio::test]
async fn a_partner_reads_our_object_by_delegation_and_only_that_one() {
    let (north, south, grant) = story().await;
    for key in ["in/a.txt", "in/b.txt"] {
        let path = format!("/api/compute/v1/storage/results/objects/{key}");
        let request = http::Request::builder()
            .method("PUT")
            .uri(path)
            .header("authorization", "Bearer operator")
            .body(axum::body::Body::from(format!("bytes of {key}")))
            .unwrap();
        assert_eq!(north.send(request).await.0, 201);
    }
    let mut attempt = Attempt::new(&grant);
    attempt.inputs = vec![staged("a", north.id, "in/a.txt", b"bytes of in/a.txt")];
    let reservation = attempt.reserve(&north, &south).await.unwrap();
    let mut submission = attempt.submission(&north, &south, &reservation).await;
    let spec = submission.fragment.as_mut().unwrap();
    spec.inputs[0].delegation = spec.output.as_ref().unwrap().delegation.clone();
    north.compute_at(&south).submit(submission).await.unwrap();
    let step = Step::of(&south, &attempt).await;
    let (status, bytes) = step.read("a").await;
    assert_eq!(
        (status.as_u16(), bytes.as_slice()),
        (200, b"bytes of in/a.txt".as_slice())
    );
    assert_eq!(step.read("b").await.0, 403);

    // The chain that opens one object opens no other, whoever shows it.
    let delegation = attempt.delegation(&north, &south, None);
    let signed = oc_trust::seal(&north.world.signer(&north.id), delegation).await;
    let chain = vec![signed.unwrap().bytes().to_vec()];
    let open = |key: &str| fed::OpenDownloadRequest {
        delegation: chain.clone(),
        attempt_id: attempt.attempt.to_string(),
        key: key.into(),
    };
    let mut objects = south.objects_at(&north);
    objects.open_download(open("in/a.txt")).await.unwrap();
    let error = CallError::from(objects.open_download(open("in/b.txt")).await.unwrap_err());
    assert_eq!(error.kind, Kind::Forbidden);
}

#[tokio::test]
async fn no_effect_twice_by_a_repeated_reservation_or_submission() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let held = attempt.reserve(&north, &south).await.unwrap();
    assert_eq!(attempt.reserve(&north, &south).await.unwrap(), held);
    assert_eq!(south.used("default").await["concurrent_fragments"], 1);
    let submission = attempt.submission(&north, &south, &held).await;
    let mut client = north.compute_at(&south);
    let first = client
        .submit(submission.clone())
        .await
        .unwrap()
        .into_inner();
    let again = client.submit(submission).await.unwrap().into_inner();
    assert_eq!(first.lease_id, again.lease_id);
    south.stage.runs(attempt.attempt).await;
    let other = fed::ReserveCapacityRequest {
        cores: 2,
        ..attempt.wish()
    };
    let error = CallError::from(client.reserve_capacity(other).await.unwrap_err());
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(south.stage.starts(), 1);
}

#[tokio::test]
async fn no_oversell_by_sixty_four_reservations_at_once() {
    let (north, south, grant) = story().await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (attempt, mut client) = (Attempt::new(&grant), north.compute_at(&south));
        tries.spawn(async move { client.reserve_capacity(attempt.wish()).await.is_ok() });
    }
    let held = tries
        .join_all()
        .await
        .into_iter()
        .filter(|held| *held)
        .count();
    assert_eq!(held, 2);
    assert_eq!(south.used("default").await["cores"], 2);
}

#[tokio::test]
async fn an_abandoned_hold_returns() {
    let (north, south, grant) = story().await;
    for _ in 0..2 {
        Attempt::new(&grant).reserve(&north, &south).await.unwrap();
    }
    let full = CallError::from(
        Attempt::new(&grant)
            .reserve(&north, &south)
            .await
            .unwrap_err(),
    );
    assert_eq!(full.kind, Kind::Exhausted);
    assert!(
        full.message.contains("2 of 2 taken") || full.message.contains("allows 2"),
        "{full}"
    );
    south
        .world
        .clock
        .advance(std::time::Duration::from_secs(30));
    Attempt::new(&grant).reserve(&north, &south).await.unwrap();
}

#[tokio::test]
async fn what_is_free_is_what_the_offer_and_the_grant_both_have() {
    let (north, south, grant) = story().await;
    Attempt::new(&grant).reserve(&north, &south).await.unwrap();
    let request = fed::GetCapacityRequest {
        listing_id: "compute.default".into(),
        grant_id: grant["grant_id"].as_str().unwrap().into(),
    };
    let answer = north
        .compute_at(&south)
        .get_capacity(request)
        .await
        .unwrap()
        .into_inner();
    let free = answer.free.unwrap();
    assert_eq!((free.cores, free.concurrent_fragments), (1, 1));
    assert_eq!(free.core_seconds, 10_000 - 60);
    assert!(answer.sandbox);
}

#[tokio::test]
async fn more_than_the_grant_or_the_offer_allows_is_refused_with_the_number() {
    let (north, south, grant) = story().await;
    let mut large = Attempt::new(&grant);
    large.cores = 3;
    let error = CallError::from(large.reserve(&north, &south).await.unwrap_err());
    assert!(
        error
            .message
            .contains("2 cores for one fragment, 3 were asked"),
        "{error}"
    );
    let mut long = Attempt::new(&grant).wish();
    long.wall_seconds = 601;
    let error = north
        .compute_at(&south)
        .reserve_capacity(long)
        .await
        .unwrap_err();
    assert!(
        error
            .message()
            .contains("600 seconds for one fragment, 601 were asked"),
        "{error}"
    );
    let mut none = Attempt::new(&grant);
    none.cores = 0;
    let error = CallError::from(none.reserve(&north, &south).await.unwrap_err());
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn a_site_without_a_sandbox_runs_no_partners_work_and_says_what_is_missing() {
    let world = World::new();
    let north = Org::start(&world).await;
    let stage = Stage::new(&world).without_sandbox();
    let south = Org::start_with(&world, stage, Default::default()).await;
    south.offer_machines().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, &["compute.default"]).await;
    let error = CallError::from(
        Attempt::new(&grant)
            .reserve(&north, &south)
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::Unsupported);
    assert_eq!(error.code, Some(Code::SandboxMissing));
    assert!(error.message.contains("install bubblewrap"), "{error}");
    let own = Attempt::new(&Value::Null);
    own.reserve(&south, &south).await.unwrap();
}

#[tokio::test]
async fn a_required_container_is_refused_where_there_is_no_runtime_for_it() {
    let (north, south, grant) = story().await;
    let mut attempt = Attempt::new(&grant);
    let mut document: Value = serde_json::from_str(&attempt.document).unwrap();
    document["steps"][0]["run"]["requirements"] =
        json!([{"class": "DockerRequirement", "dockerPull": "debian:12"}]);
    attempt.document = document.to_string();
    let held = attempt.reserve(&north, &south).await.unwrap();
    let submission = attempt.submission(&north, &south, &held).await;
    let error = CallError::from(attempt.refused(&north, &south, submission).await);
    assert_eq!(error.kind, Kind::Unsupported);
    assert!(error.message.contains("DockerRequirement"), "{error}");
    assert!(error.advice.unwrap().contains("hints"));
}

#[tokio::test]
async fn a_faulty_document_is_refused_with_its_place_and_nothing_is_kept() {
    let (north, south, grant) = story().await;
    let mut attempt = Attempt::new(&grant);
    attempt.document = attempt.document.replace("say/said", "say/nothing");
    let held = attempt.reserve(&north, &south).await.unwrap();
    let submission = attempt.submission(&north, &south, &held).await;
    let error = CallError::from(attempt.refused(&north, &south, submission).await);
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("fragment:1:"), "{error}");
    let watch = fed::WatchRequest {
        attempt_id: attempt.attempt.to_string(),
        after: 0,
    };
    let error = north.compute_at(&south).watch(watch).await.err().unwrap();
    assert_eq!(CallError::from(error).kind, Kind::NotFound);
}

#[tokio::test]
async fn what_a_failed_tool_said_is_the_cause_of_the_end() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    let end = oc_compute_provider::domain::runtime::End::Failed {
        step: "say".into(),
        message: "program `gdalinfo` was not found".into(),
        exit_code: Some(127),
        code: "over-memory".into(),
    };
    south.stage.end(attempt.attempt, end).await;
    let last = attempt.watch(&north, &south, 0).await.pop().unwrap();
    let Some(Event::State(changed)) = last.event else {
        panic!("no state")
    };
    assert_eq!(changed.state(), fed::AttemptState::Failed);
    let cause = changed.cause.unwrap();
    assert_eq!(cause.text, "step `say`: program `gdalinfo` was not found");
    assert_eq!(cause.code, "over-memory");
    eventually(async || !south.told("oc.compute.usage.v1").is_empty()).await;
    assert_eq!(south.told("oc.compute.usage.v1")[0]["outcome"], "failed");
}

#[tokio::test]
async fn an_output_that_was_never_stored_fails_the_attempt() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    let outputs = json!({"said": {"class": "File", "location": "output:said.txt"}}).to_string();
    south.stage.succeed(attempt.attempt, &outputs).await;
    assert_eq!(
        attempt.end(&north, &south).await.0,
        fed::AttemptState::Failed
    );
}
