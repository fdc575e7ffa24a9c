//! Whose objects are whose: a user has their own, an operator all, and partners learn of no user.

use http::{Method, StatusCode};
use oc_kernel::Kind;
use oc_proto::compute::v1 as pb;
use oc_proto::compute::v1::storage_service_client::StorageServiceClient;
use oc_proto::federation::v1 as fed;
use oc_service::CallError;
use oc_trust::Delegation;
use oc_trust::event::{Event as _, UserEvent, UserState};
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::objects::{call_as, put, shelf, upload};
use crate::work::{Attempt, Step};
use crate::world::{World, eventually};

async fn write(org: &Org, who: &str, key: &str) -> u16 {
    let (status, _) = call_as(who, org, "PUT", key, &[], b"bytes").await;
    status.as_u16()
}

async fn read(org: &Org, who: &str, key: &str) -> u16 {
    let (status, _) = call_as(who, org, "GET", key, &[], b"").await;
    status.as_u16()
}

async fn delete(org: &Org, who: &str, key: &str) -> u16 {
    let (status, _) = call_as(who, org, "DELETE", key, &[], b"").await;
    status.as_u16()
}

/// The keys that a caller sees.
async fn seen(org: &Org, who: &str, query: &str) -> Vec<String> {
    let path = format!("storage/results/objects?{query}");
    let (status, page) = org.rest_as(who, Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let objects = page["objects"].as_array().unwrap().iter();
    objects
        .map(|object| object["key"].as_str().unwrap().to_owned())
        .collect()
}

fn storage(org: &Org) -> StorageServiceClient<oc_service::Channel> {
    StorageServiceClient::new(
        org.switchboard
            .channel("pipeline-orchestrator", "compute-provider"),
    )
}

async fn started_by(org: &Org, attempt: &Attempt, user: &str) {
    let said = pb::SetRunUserRequest {
        run_id: attempt.run.to_string(),
        user_id: user.into(),
    };
    storage(org).set_run_user(said).await.unwrap();
}

#[tokio::test]
async fn a_user_lists_reads_and_deletes_their_own_objects_and_an_operator_all() {
    let org = shelf().await;
    assert_eq!(write(&org, "alice", "a/1.txt").await, 201);
    assert_eq!(write(&org, "bob", "b/1.txt").await, 201);
    assert_eq!(write(&org, "operator", "o/1.txt").await, 201);

    assert_eq!(seen(&org, "alice", "").await, ["a/1.txt"]);
    assert_eq!(seen(&org, "alice", "prefix=b/").await, [""; 0]);
    assert_eq!(
        seen(&org, "operator", "").await,
        ["a/1.txt", "b/1.txt", "o/1.txt"]
    );
    assert_eq!(seen(&org, "admin", "user_id=bob").await, ["b/1.txt"]);
    let others = "storage/results/objects?user_id=bob";
    let (status, _) = org.rest_as("alice", Method::GET, others, Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let path = "storage/results/objects?prefix=b/";
    let page = org.ok(Method::GET, path, Value::Null).await;
    assert_eq!(page["notes"][0]["user_id"], "bob");
    assert_eq!(page["notes"][0]["stored_at_ms"], json!(org.world.now_ms()));

    assert_eq!(read(&org, "alice", "a/1.txt").await, 200);
    assert_eq!(read(&org, "operator", "a/1.txt").await, 200);
    for key in ["b/1.txt", "o/1.txt", "b/none.txt"] {
        assert_eq!(read(&org, "alice", key).await, 404, "{key}");
    }
    assert_eq!(delete(&org, "alice", "b/1.txt").await, 403);
    assert_eq!(read(&org, "bob", "b/1.txt").await, 200);
    assert_eq!(delete(&org, "alice", "a/1.txt").await, 200);
    assert_eq!(delete(&org, "operator", "b/1.txt").await, 200);
    assert_eq!(seen(&org, "operator", "").await, ["o/1.txt"]);
}

#[tokio::test]
async fn a_user_writes_nothing_below_a_first_name_under_which_another_has_something() {
    let org = shelf().await;
    assert_eq!(write(&org, "operator", "toulouse/in.tif").await, 201);
    assert_eq!(write(&org, "bob", "bob/in.tif").await, 201);
    for key in ["toulouse/evil.txt", "toulouse/a/b", "toulouse", "bob/x"] {
        assert_eq!(write(&org, "alice", key).await, 403, "{key}");
    }
    // The very object is no exception, whatever its content is.
    assert_eq!(write(&org, "alice", "bob/in.tif").await, 403);
    assert_eq!(write(&org, "alice", "toulouse-2/in.tif").await, 201);
    assert_eq!(write(&org, "alice", "toulouse-2/out.tif").await, 201);
    assert_eq!(write(&org, "operator", "bob/note.txt").await, 201);
    assert_eq!(seen(&org, "alice", "").await.len(), 2);

    // Nobody has anything there any more.
    delete(&org, "operator", "toulouse/in.tif").await;
    assert_eq!(write(&org, "alice", "toulouse/evil.txt").await, 201);
}

#[tokio::test]
async fn nobody_writes_into_the_workspace_of_runs() {
    let org = shelf().await;
    let partner = World::new().found();
    for who in ["alice", "operator"] {
        for key in [format!("{partner}"), format!("{}/x", org.id)] {
            let request = http::Request::put(format!("/api/compute/v1/storage/work/objects/{key}"))
                .header("authorization", format!("Bearer {who}"))
                .body(axum::body::Body::from("bytes"))
                .unwrap();
            let (status, answer) = org.send(request).await;
            let text = String::from_utf8_lossy(&answer);
            assert_eq!(status, 403, "{who}, {key}: {text}");
            assert!(text.contains("a storage that is offered"), "{text}");
        }
    }
}

#[tokio::test]
async fn the_folder_of_a_users_inputs_is_theirs_before_they_have_anything_in_it() {
    let org = shelf().await;
    for key in [
        "inputs-bob/x",
        "inputs-admin/x",
        "inputs-dave",
        "runs/x",
        "runs",
    ] {
        assert_eq!(write(&org, "alice", key).await, 403, "{key}");
    }
    assert_eq!(write(&org, "alice", "inputs-alice/x").await, 201);
    assert_eq!(write(&org, "bob", "inputs-bob/x").await, 201);
    // What somebody else has there does not keep its owner away.
    assert_eq!(write(&org, "operator", "inputs-alice/y").await, 201);
    assert_eq!(write(&org, "alice", "inputs-alice/z").await, 201);
    let (_, answer) = call_as("alice", &org, "PUT", "inputs-bob/y", &[], b"x").await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("write below `inputs-alice`"), "{text}");
    assert_eq!(write(&org, "operator", "runs/x").await, 403);
}

#[tokio::test]
async fn what_a_run_leaves_at_home_belongs_to_the_user_who_started_it() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    started_by(&north, &attempt, "alice").await;
    attempt.start(&north, &south).await;
    let step = Step::of(&south, &attempt).await;
    step.store("said.txt", b"hello\n").await;

    let key = format!("{}/said.txt", attempt.prefix());
    assert_eq!(read(&north, "alice", &key).await, 200);
    assert_eq!(read(&north, "bob", &key).await, 404);
    assert_eq!(read(&north, "operator", &key).await, 200);
    assert_eq!(seen(&north, "alice", "").await, [key.as_str()]);
    assert_eq!(seen(&north, "bob", "").await, [""; 0]);
    assert_eq!(write(&north, "bob", "demo/x").await, 403);
}

#[tokio::test]
async fn what_a_run_on_our_own_machines_leaves_belongs_to_its_user_too() {
    let org = Org::start(&World::new()).await;
    org.offer_room().await;
    org.offer_machines().await;
    let attempt = Attempt::new(&json!({}));
    started_by(&org, &attempt, "bob").await;
    attempt.start(&org, &org).await;
    let step = Step::of(&org, &attempt).await;
    step.store("said.txt", b"hello\n").await;
    let key = format!("{}/said.txt", attempt.prefix());
    assert_eq!(read(&org, "bob", &key).await, 200);
    assert_eq!(read(&org, "alice", &key).await, 404);
}

#[tokio::test]
async fn what_belongs_to_nobody_known_is_for_operators() {
    let (north, south, grant) = story().await;
    let request = upload(&north, &south, &grant, b"0123456789").await;
    let place = south
        .objects_at(&north)
        .request_upload(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(put(&north, &place.token, 0, b"0123456789").await.0, 200);
    assert_eq!(read(&north, "alice", &request.key).await, 404);
    assert_eq!(read(&north, "operator", &request.key).await, 200);
}

#[tokio::test]
async fn a_partners_run_with_the_id_of_ours_gives_our_user_nothing() {
    let (north, south, _) = story().await;
    north.approve_all().await;
    let grant = south.granted_by(&north, &["storage.results"]).await;
    let attempt = Attempt::new(&grant);
    started_by(&north, &attempt, "alice").await;
    let envelope = crate::work::grant_envelope(&south, &attempt.grant).await;
    let parent = oc_trust::dsse::Envelope::from_json(&envelope)
        .unwrap()
        .digest();
    let mut delegation: Delegation = attempt.delegation(&south, &north, Some(parent));
    delegation.offer = None;
    delegation.output.as_mut().unwrap().owner = north.id;
    let signer = south.world.signer(&south.id);
    let signed = oc_trust::seal(&signer, delegation).await.unwrap();
    let request = fed::RequestUploadRequest {
        delegation: vec![envelope, signed.bytes().to_vec()],
        attempt_id: attempt.attempt.to_string(),
        listing_id: "storage.results".into(),
        key: format!("{}/said.txt", attempt.prefix()),
        length: 5,
        sha256: oc_kernel::Digest::of(b"hello").to_string(),
        media_type: String::new(),
    };
    let place = north
        .objects_at(&north)
        .request_upload(request.clone())
        .await;
    let token = place.unwrap().into_inner().token;
    assert_eq!(put(&north, &token, 0, b"hello").await.0, 200);
    assert_eq!(read(&north, "alice", &request.key).await, 404);
    assert_eq!(read(&north, "operator", &request.key).await, 200);
}

#[tokio::test]
async fn our_services_ask_for_one_users_objects_and_say_once_who_started_a_run() {
    let org = shelf().await;
    assert_eq!(write(&org, "alice", "a/1.txt").await, 201);
    let ask = |user: &str| pb::ListObjectsRequest {
        offer: "results".into(),
        prefix: "a/1.txt".into(),
        user_id: user.into(),
        ..Default::default()
    };
    let found = async |user: &str| {
        let page = storage(&org).list_objects(ask(user)).await.unwrap();
        page.into_inner().objects.len()
    };
    assert_eq!(found("alice").await, 1);
    assert_eq!(found("bob").await, 0);
    assert_eq!(found("").await, 1);

    let attempt = Attempt::new(&json!({}));
    started_by(&org, &attempt, "alice").await;
    started_by(&org, &attempt, "alice").await;
    for (user, expected) in [("bob", Kind::Conflict), ("a/b", Kind::Malformed)] {
        let said = pb::SetRunUserRequest {
            run_id: attempt.run.to_string(),
            user_id: user.into(),
        };
        let error = storage(&org).set_run_user(said).await.unwrap_err();
        assert_eq!(CallError::from(error).kind, expected, "{user}");
    }
}

#[tokio::test]
async fn the_objects_of_a_removed_user_are_nobodys_and_an_operator_has_them() {
    let org = shelf().await;
    assert_eq!(write(&org, "alice", "a/1.txt").await, 201);
    assert_eq!(write(&org, "alice", "a/2.txt").await, 201);
    assert_eq!(write(&org, "bob", "b/1.txt").await, 201);
    let removed = UserEvent {
        user: "alice".to_owned(),
        state: UserState::Removed,
    };
    org.world
        .tell(&org.id, UserEvent::TYPE, removed.data())
        .await;
    eventually(async || seen(&org, "alice", "").await.is_empty()).await;
    assert_eq!(read(&org, "alice", "a/1.txt").await, 404);
    assert_eq!(seen(&org, "admin", "user_id=alice").await, [""; 0]);
    assert_eq!(seen(&org, "bob", "").await, ["b/1.txt"]);
    let all = ["a/1.txt", "a/2.txt", "b/1.txt"];
    assert_eq!(seen(&org, "operator", "").await, all);
}
