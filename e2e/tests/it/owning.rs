//! What belongs to one user is no other user's, whoever runs the work.

use std::time::Duration;

use oc_client::Client;
use oc_proto::backend::v1::CreateUserRequest;
use oc_proto::pipeline::v1::{RunOutputInput, RunState, input_value};
use secrecy::SecretString;

use crate::scene::{Scene, over, start};
use crate::sites::{both, one_step, request, upload, uploaded};

const LIMIT: Duration = Duration::from_secs(60);

/// A new user of North.
pub(crate) async fn user(scene: &Scene, name: &str) -> Client {
    let wanted = CreateUserRequest {
        name: name.to_owned(),
        roles: vec!["user".to_owned()],
    };
    let made = scene.north().backend().create_user(&wanted).await.unwrap();
    let token = SecretString::from(made.token);
    Client::new(scene.pair.north.address(), Some(token)).unwrap()
}

#[tokio::test]
async fn a_user_reads_and_names_what_their_own_runs_left_and_nothing_of_others() {
    let scene = both(&[], &[]).await;
    let (admin, alice, bob) = (
        scene.north(),
        user(&scene, "alice").await,
        user(&scene, "bob").await,
    );
    let secret = upload(&admin, "secret/a.txt", "red\n").await;
    let named = request(one_step("[rev]"), uploaded(secret, "storage.uploads"), &[]);
    let error = start(&alice, named).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.status, 422, "{error}");
    assert!(error.to_string().contains("no `secret/a.txt`"), "{error}");

    // Her own run at South, into North's storage.
    let object = upload(&alice, "alice/a.txt", "red\n").await;
    let read = uploaded(object.clone(), "storage.uploads");
    let run = start(
        &alice,
        request(one_step("[rev]"), read, &[("first", "South")]),
    )
    .await
    .unwrap();
    let (run, why) = over(&alice, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let results = alice.pipeline().results(&run.run_id).await.unwrap();
    let path = &results.files[0].path;
    assert_eq!(&*alice.download(path).await.unwrap(), b"der\n");
    assert_eq!(&*admin.download(path).await.unwrap(), b"der\n");
    let error = bob.download(path).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 404, "{error}");
    assert_eq!(bob.compute().objects("results", "").await.unwrap().len(), 0);
    assert_eq!(
        alice.compute().objects("results", "").await.unwrap().len(),
        1
    );

    let hers = uploaded(object, "storage.uploads");
    let earlier = input_value::Value::RunOutput(RunOutputInput {
        run_id: run.run_id,
        output: "made".to_owned(),
    });
    for (input, status) in [(hers, 422), (earlier, 404)] {
        let error = start(&bob, request(one_step("[rev]"), input, &[])).await;
        let error = error.unwrap_err();
        assert_eq!(error.problem().unwrap().status, status, "{error}");
    }
}
