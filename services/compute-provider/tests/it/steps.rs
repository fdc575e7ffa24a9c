//! A running step at the object routes: its own inputs and outputs, and nothing else, while it may run.

use std::time::Duration;

use http::Method;
use oc_proto::compute::v1 as pb;
use oc_proto::compute::v1::macaroon_service_client::MacaroonServiceClient;
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::objects::{call_as, shelf};
use crate::work::{Attempt, Step, staged};
use crate::world::eventually;

/// A step that has the input `a`, an object of North's.
async fn started<'a>(north: &Org, south: &'a Org, grant: &Value) -> (Attempt, Step<'a>) {
    let mut attempt = Attempt::new(grant);
    let key = format!("in/{}.txt", attempt.attempt);
    let request = http::Request::put(format!("/api/compute/v1/storage/results/objects/{key}"))
        .header("authorization", "Bearer operator")
        .body(axum::body::Body::from("read me"))
        .unwrap();
    assert_eq!(north.send(request).await.0, 201);
    attempt.inputs = vec![staged("a", north.id, &key, b"read me")];
    let reservation = attempt.reserve(north, south).await.unwrap();
    let mut submission = attempt.submission(north, south, &reservation).await;
    let spec = submission.fragment.as_mut().unwrap();
    spec.inputs[0].delegation = spec.output.as_ref().unwrap().delegation.clone();
    north.compute_at(south).submit(submission).await.unwrap();
    let step = Step::of(south, &attempt).await;
    (attempt, step)
}

/// What each object route answers.
async fn statuses(step: &Step<'_>) -> [u16; 3] {
    [
        step.read("a").await.0.as_u16(),
        step.announce("said.txt", b"hello").await.as_u16(),
        step.upload("said.txt", b"hello").await.as_u16(),
    ]
}

#[tokio::test]
async fn another_fragments_macaroon_opens_no_route() {
    let (north, south, grant) = story().await;
    let (_one, first) = started(&north, &south, &grant).await;
    let (_two, second) = started(&north, &south, &grant).await;
    first.store("said.txt", b"hello").await;
    let thief = Step {
        macaroon: second.macaroon.clone(),
        ..first
    };
    assert_eq!(statuses(&thief).await, [403, 403, 403]);
    let forged = Step {
        macaroon: "AgEDZm9v".into(),
        ..thief
    };
    assert_eq!(statuses(&forged).await, [401, 401, 401]);
    // Its own attempt under another fragment's name is not its own either.
    let elsewhere = Step {
        fragment: oc_kernel::FragmentId::new(),
        attempt: second.attempt,
        macaroon: second.macaroon.clone(),
        ..forged
    };
    assert_eq!(statuses(&elsewhere).await, [403, 403, 403]);
}

#[tokio::test]
async fn after_a_revocation_its_own_macaroon_opens_no_route() {
    let (north, south, grant) = story().await;
    let (_attempt, step) = started(&north, &south, &grant).await;
    assert_eq!(step.read("a").await.0, 200);
    assert_eq!(step.announce("said.txt", b"hello").await, 200);
    let id = grant["grant_id"].as_str().unwrap();
    south
        .ok(Method::POST, &format!("grants/{id}/revoke"), json!({}))
        .await;
    assert_eq!(statuses(&step).await, [403, 403, 403]);
}

#[tokio::test]
async fn a_name_that_climbs_or_other_bytes_under_an_announced_name_are_refused() {
    let (north, south, grant) = story().await;
    let (_attempt, step) = started(&north, &south, &grant).await;
    for name in ["../x", "a/../../x", "/x", ".x", ""] {
        assert_eq!(step.announce(name, b"hello").await, 400, "{name}");
    }
    assert_eq!(step.announce("said.txt", b"hello").await, 200);
    assert_eq!(step.announce("said.txt", b"other!").await, 409);
    assert_eq!(step.upload("said.txt", b"other").await, 409);
    assert_eq!(step.upload("unannounced.txt", b"hello").await, 404);
    assert_eq!(step.upload("said.txt", b"hello").await, 200);
    assert_eq!(
        step.announce("large.bin", &[0; 20_000]).await,
        403,
        "above its macaroon"
    );
}

#[tokio::test]
async fn an_output_that_broke_off_on_its_way_is_delivered_when_the_owner_is_back() {
    let (north, south, grant) = story().await;
    let (attempt, step) = started(&north, &south, &grant).await;
    assert_eq!(step.announce("said.txt", b"hello").await, 200);
    north.world.change(&north.id, |member| member.cut = true);
    let back = async {
        eventually(async || north.world.member(&north.id).missed > 0).await;
        north.world.change(&north.id, |member| member.cut = false);
    };
    let (status, ()) = tokio::join!(step.upload("said.txt", b"hello"), back);
    assert_eq!(status, 200);
    let key = format!("{}/said.txt", attempt.prefix());
    let listed = north
        .ok(
            Method::GET,
            &format!("storage/results/objects?prefix={key}"),
            Value::Null,
        )
        .await;
    assert_eq!(listed["objects"][0]["length"], 5);
}

#[tokio::test]
async fn an_output_that_does_not_fit_into_its_owners_storage_is_refused_at_once_with_the_figures() {
    let (north, south, grant) = story().await;
    let (_attempt, step) = started(&north, &south, &grant).await;
    let there = north.used("results").await["storage_bytes"]
        .as_u64()
        .unwrap();
    let fill = vec![0; (1 << 20) - 3 - usize::try_from(there).unwrap()];
    let (status, _) = call_as("operator", &north, "PUT", "fill", &[], &fill).await;
    assert_eq!(status, 201);
    assert_eq!(step.announce("said.txt", b"hello").await, 200);
    let sent = tokio::time::timeout(Duration::from_secs(10), step.sent("said.txt", b"hello"));
    let (status, answer) = sent.await.unwrap();
    // A runner tries 429 again.
    assert_eq!(status, 409);
    let text = String::from_utf8_lossy(&answer);
    let figures = "storage.results has 3 bytes free of 1048576, and 5 more were to be stored";
    assert!(text.contains(figures), "{text}");
}

#[tokio::test]
async fn an_own_output_that_does_not_fit_is_refused_at_once_with_the_figures() {
    let org = shelf().await;
    let attempt = Attempt::new(&Value::Null);
    org.offer_machines().await;
    attempt.start(&org, &org).await;
    let step = Step::of(&org, &attempt).await;
    let (status, _) = call_as("operator", &org, "PUT", "fill", &[], &[0; (1 << 20) - 3]).await;
    assert_eq!(status, 201);
    assert_eq!(step.announce("said.txt", b"hello").await, 409);
    assert_eq!(step.announce("said.txt", b"hey").await, 200);
}

#[tokio::test]
async fn a_macaroon_is_minted_for_what_runs_and_validated_with_a_reason() {
    let (north, south, grant) = story().await;
    let (attempt, step) = started(&north, &south, &grant).await;
    let channel = south
        .switchboard
        .channel("pipeline-orchestrator", "compute-provider");
    let mut client = MacaroonServiceClient::new(channel);
    let mint = |caveats: Vec<String>| pb::MintMacaroonRequest {
        attempt_id: attempt.attempt.to_string(),
        caveats,
    };
    let validate = |macaroon: &str, name: &str| pb::ValidateMacaroonRequest {
        macaroon: macaroon.to_owned(),
        attempt_id: attempt.attempt.to_string(),
        operation: "output".into(),
        name: name.into(),
    };
    let narrow = format!("output = {}/said.txt", attempt.prefix());
    let minted = client
        .mint_macaroon(mint(vec![narrow]))
        .await
        .unwrap()
        .into_inner()
        .macaroon;
    let good = client
        .validate_macaroon(validate(&minted, "said.txt"))
        .await
        .unwrap()
        .into_inner();
    assert!(good.valid, "{}", good.reason);
    let other = client
        .validate_macaroon(validate(&minted, "other.txt"))
        .await
        .unwrap()
        .into_inner();
    assert!(
        !other.valid && other.reason.contains("does not hold"),
        "{}",
        other.reason
    );
    let wide = client
        .validate_macaroon(validate(&step.macaroon, "other.txt"))
        .await
        .unwrap();
    assert!(wide.into_inner().valid);
    let unknown = client
        .mint_macaroon(mint(vec!["user = alice".into()]))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::InvalidArgument);
    let gone = pb::MintMacaroonRequest {
        attempt_id: oc_kernel::AttemptId::new().to_string(),
        caveats: vec![],
    };
    let gone = client.mint_macaroon(gone).await.unwrap_err();
    assert_eq!(gone.code(), tonic::Code::NotFound);
}
