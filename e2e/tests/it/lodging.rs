//! Results that lie in a partner's storage: read by those whose run it is, as long as the grant stands.

use std::time::Duration;

use oc_client::{Client, ClientError};
use oc_proto::compute::v1::OfferKind;
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::{
    ListingRef, OutputPlace, Run, RunOutputInput, RunRequest, RunState, input_value,
};
use oc_testkit::until;

use crate::owning::user;
use crate::scene::{IMAGES, MACHINES, SOON, Scene, large, over, start};
use crate::sites::{at_home, offer, one_step, request, upload, uploaded};

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DEPOT: &str = "storage.depot";

/// South lends storage beside its machines.
async fn lent() -> Scene {
    let scene = Scene::set(&[]).await;
    at_home(&scene).await;
    let (north, south) = (scene.north(), scene.south());
    let depot = offer("depot", OfferKind::Storage);
    south.compute().create_offer(&depot).await.unwrap();
    until("North sees the storage", SOON, async || {
        let owner = &scene.pair.south_id;
        north.catalog().listing(owner, DEPOT).await.ok()
    })
    .await;
    scene
}

fn into_the_depot(scene: &Scene, request: RunRequest) -> RunRequest {
    let storage = ListingRef {
        owner: scene.pair.south_id.clone(),
        listing_id: DEPOT.to_owned(),
    };
    RunRequest {
        output: Some(OutputPlace {
            storage: Some(storage),
            prefix: "of/objects".to_owned(),
        }),
        ..request
    }
}

async fn done(client: &Client, request: RunRequest) -> Run {
    let run = start(client, request).await.unwrap();
    let (run, why) = over(client, &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    run
}

fn status(answer: Result<impl AsRef<[u8]>, ClientError>) -> (u16, String) {
    let error = answer.map(|_| ()).unwrap_err();
    (error.problem().unwrap().status, error.to_string())
}

#[tokio::test]
async fn results_in_a_partners_storage_are_fetched_by_those_whose_run_it_is_while_the_grant_stands()
{
    let scene = lent().await;
    let grant = scene
        .grant_on(&[MACHINES, IMAGES, DEPOT], large(), HOUR)
        .await;
    let (north, alice, bob) = (
        scene.north(),
        user(&scene, "alice").await,
        user(&scene, "bob").await,
    );
    let object = upload(&alice, "alice/a.txt", "red\n").await;
    let read = uploaded(object, "storage.uploads");
    for site in ["South", "North"] {
        let asked = request(one_step("[rev]"), read.clone(), &[("first", site)]);
        let run = done(&alice, into_the_depot(&scene, asked)).await;
        let results = alice.pipeline().results(&run.run_id).await.unwrap();
        let path = &results.files[0].path;
        assert_eq!(&*alice.download(path).await.unwrap(), b"der\n", "{site}");
        assert_eq!(&*north.download(path).await.unwrap(), b"der\n", "{site}");
        let (refused, _) = status(bob.download(path).await);
        assert_eq!(refused, 404);
        let (missing, said) = status(alice.download(&format!("{path}x")).await);
        assert_eq!(missing, 404, "{said}");

        let earlier = input_value::Value::RunOutput(RunOutputInput {
            run_id: run.run_id.clone(),
            output: "made".to_owned(),
        });
        let again = request(one_step("[rev]"), earlier, &[("first", "North")]);
        let again = done(&alice, again).await;
        let home = alice.pipeline().results(&again.run_id).await.unwrap();
        let bytes = alice.download(&home.files[0].path).await.unwrap();
        assert_eq!(&*bytes, b"red\n");
    }

    let runs = alice.pipeline().runs(10).await.unwrap();
    let lodged = runs.last().unwrap();
    let results = alice.pipeline().results(&lodged.run_id).await.unwrap();
    let path = &results.files[0].path;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("results");
    let output = scene.pair.north.run(&[
        "results",
        &lodged.run_id,
        "--download",
        target.to_str().unwrap(),
    ]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let fetched = std::fs::read(target.join("made/made.txt")).unwrap();
    assert_eq!(fetched, b"der\n");

    scene.revoke(&grant.grant_id, "moved away").await;
    scene
        .reaches(&north, &grant.grant_id, GrantState::Revoked)
        .await;
    let (closed, said) = status(alice.download(path).await);
    assert_eq!(closed, 409, "{said}");
    assert!(said.contains("no longer in force: moved away"), "{said}");
}
