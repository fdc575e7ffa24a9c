//! Authority that ends while work runs under it: the work ends too, says why, and is billed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::RunState;
use oc_testkit::until;
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{JUNE, SOON, Scene, large, over, start};

const HOUR: Duration = Duration::from_secs(3600);

/// Nothing may run on for longer once its authority has ended.
const CUT: Duration = Duration::from_secs(10);

/// A time to sleep that no other test has.
fn marker(number: u32) -> String {
    format!("3600.{}{number}", std::process::id())
}

/// True while a process of this machine has the marker in its command line.
fn runs(marker: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            line.windows(marker.len())
                .any(|part| part == marker.as_bytes())
        })
}

async fn runs_at_south(marker: &str) {
    until("the tool runs at South", SOON, async || {
        runs(marker).then_some(())
    })
    .await;
}

/// Waits until nothing of it is left at South, which may take no longer than it may.
async fn ends_at_south(scene: &Scene, marker: &str) {
    until("no process is left, and no core is held", CUT, async || {
        (!runs(marker) && scene.held().await.1 == 0).then_some(())
    })
    .await;
}

/// Both sides have one record of what was used, and the same.
async fn is_billed(scene: &Scene, grant_id: &str) {
    let (north, south) = (scene.north(), scene.south());
    let record = until("both have the record", SOON, async || {
        let ours = north.accounting().records(grant_id, "").await.ok()?;
        let theirs = south.accounting().records(grant_id, "").await.ok()?;
        match (ours.as_slice(), theirs.as_slice()) {
            ([ours], [theirs]) if ours.record_id == theirs.record_id => Some(ours.clone()),
            _ => None,
        }
    })
    .await;
    assert_ne!(record.outcome, "succeeded", "{record:?}");
    assert!(record.wall_ms > 0, "{record:?}");
    assert!(record.charge_micros > 0, "{record:?}");
}

#[tokio::test]
async fn no_authority_left_ten_seconds_after_a_revocation_and_what_ran_is_billed() {
    let scene = Scene::set(&[]).await;
    let grant = scene.grant(large(), HOUR).await;
    let marker = marker(1);
    let run = start(&scene.north(), scene.sleep(&marker, "", JUNE))
        .await
        .unwrap();
    runs_at_south(&marker).await;
    scene.revoke(&grant.grant_id, "no more students").await;
    ends_at_south(&scene, &marker).await;
    let (run, why) = over(&scene.north(), &run.run_id, SOON).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    assert_eq!(run.cause.unwrap().code, "grant-revoked", "{why}");
    assert!(why.contains("ask the owner for a new grant"), "{why}");
    is_billed(&scene, &grant.grant_id).await;
    assert_eq!(scene.held().await, (0, 0), "no_authority_left");
}

#[tokio::test]
async fn the_end_of_a_grant_ends_what_runs_under_it() {
    let scene = Scene::set(&[]).await;
    let grant = scene.grant(large(), Duration::from_secs(8)).await;
    let marker = marker(2);
    let run = start(&scene.north(), scene.sleep(&marker, "", JUNE))
        .await
        .unwrap();
    runs_at_south(&marker).await;
    scene
        .reaches(&scene.south(), &grant.grant_id, GrantState::Expired)
        .await;
    ends_at_south(&scene, &marker).await;
    let (run, why) = over(&scene.north(), &run.run_id, SOON).await;
    assert_eq!(run.state, i32::from(RunState::Failed), "{why}");
    assert!(why.contains("is expired: its end was reached"), "{why}");
    is_billed(&scene, &grant.grant_id).await;
}

/// An attempt that runs at South: where its objects are, and what opens them.
struct Attempt {
    node: String,
    input: String,
    macaroon: String,
}

/// A runner that keeps what opens its attempt's objects beside its job.
fn telling_runner(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let program = oc_testkit::program().with_file_name("oc-step");
    let path = folder.join("runner");
    let script = format!(
        "#!/bin/sh\ntee \"$(dirname \"$2\")/macaroon\" | '{}' \"$@\"\n",
        program.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn attempts(scene: &Scene, count: usize) -> Vec<Attempt> {
    let root = scene.pair.south.data().join("work/attempts");
    let read = |folder: PathBuf| -> Option<Attempt> {
        let macaroon = std::fs::read_to_string(folder.join("macaroon")).ok()?;
        let job = std::fs::read(folder.join("job.json")).ok()?;
        let job: Value = serde_json::from_slice(&job).ok()?;
        Some(Attempt {
            node: job["node"].as_str()?.to_owned(),
            input: job["inputs"][0]["name"].as_str()?.to_owned(),
            macaroon: macaroon.lines().next()?.to_owned(),
        })
    };
    until("the attempts have their macaroons", SOON, async || {
        let folders = std::fs::read_dir(&root).ok()?.flatten();
        let found: Vec<_> = folders.filter_map(|entry| read(entry.path())).collect();
        (found.len() == count).then_some(found)
    })
    .await
}

/// What every object route of an attempt answers to a macaroon: the status and the text.
async fn answers(attempt: &Attempt, macaroon: &str) -> Vec<(u16, String)> {
    let http = reqwest::Client::new();
    let announcement = json!({"name": "said.txt", "length": 5, "sha256": "0".repeat(64)});
    let routes = [
        (
            Method::GET,
            format!("inputs/{}", attempt.input),
            String::new(),
        ),
        (Method::POST, "uploads".to_owned(), announcement.to_string()),
        (
            Method::PUT,
            "uploads/said.txt".to_owned(),
            "hello".to_owned(),
        ),
    ];
    let mut answers = Vec::new();
    for (method, route, body) in routes {
        let request = http
            .request(method, format!("{}/{route}", attempt.node))
            .header("authorization", format!("Macaroon {macaroon}"))
            .header("content-type", "application/json")
            .header("range", "bytes=0-")
            .body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        answers.push((status, response.text().await.unwrap_or_default()));
    }
    answers
}

fn all_say(answers: &[(u16, String)], status: u16, words: &str) {
    for (found, text) in answers {
        assert_eq!(*found, status, "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_macaroon_opens_the_objects_of_its_own_attempt_until_the_grant_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let runner = telling_runner(folder.path());
    let setting = format!("compute.process.runner={}", runner.display());
    let scene = Scene::set(&[&setting]).await;
    let grant = scene.grant(large(), HOUR).await;
    let limit = "ResourceRequirement: {coresMin: 1}";
    let markers = [marker(3), marker(4)];
    for marker in &markers {
        let request = scene.sleep(marker, limit, JUNE);
        start(&scene.north(), request).await.unwrap();
    }
    for marker in &markers {
        runs_at_south(marker).await;
    }
    let both = attempts(&scene, 2).await;
    let [one, other] = both.as_slice() else {
        unreachable!()
    };

    let own = answers(one, &one.macaroon).await;
    assert_eq!(own[0].0, 206, "{own:?}");
    let others = answers(one, &other.macaroon).await;
    all_say(
        &others,
        403,
        "the macaroon does not open this: it is for attempt",
    );
    let mut changed = one.macaroon.clone();
    let at = changed.len() - 8;
    let letter = if &changed[at..=at] == "A" { "B" } else { "A" };
    changed.replace_range(at..=at, letter);
    let tampered = answers(one, &changed).await;
    all_say(
        &tampered,
        401,
        "the macaroon was not made here or was changed",
    );
    let garbage = answers(one, "AgEDZm9v").await;
    all_say(&garbage, 401, "the macaroon");
    no_account(&scene, &one.macaroon).await;

    scene.revoke(&grant.grant_id, "no more students").await;
    for (status, text) in answers(one, &one.macaroon).await {
        assert!(matches!(status, 401 | 403), "{status} {text}");
        let why = ["the authority of this attempt has ended", "it is over"];
        assert!(why.iter().any(|why| text.contains(why)), "{text}");
    }
    for marker in &markers {
        ends_at_south(&scene, marker).await;
    }
}

/// A macaroon is no account: it opens neither our people's routes nor those of partners.
async fn no_account(scene: &Scene, macaroon: &str) {
    let http = reqwest::Client::new();
    let base = scene.pair.north.address();
    let shelf = "/api/compute/v1/storage/results/objects";
    let object = format!("{shelf}/a.txt");
    let rpc = |method: &str| format!("/oc.federation.v1.ObjectsService/{method}");
    for address in [base, scene.pair.south.address()] {
        for (method, path) in [
            (Method::GET, shelf),
            (Method::GET, &object),
            (Method::PUT, &object),
            (Method::DELETE, &object),
        ] {
            for scheme in ["Macaroon", "Bearer"] {
                let request = http
                    .request(method.clone(), format!("{address}{path}"))
                    .header("authorization", format!("{scheme} {macaroon}"));
                let status = request.send().await.unwrap().status().as_u16();
                assert_eq!(status, 401, "{method} {path} {scheme}");
            }
        }
        for method in ["RequestUpload", "GetUpload", "OpenDownload"] {
            let request = http
                .post(format!("{address}{}", rpc(method)))
                .header("content-type", "application/grpc")
                .header("authorization", format!("Bearer {macaroon}"))
                .body(vec![0; 5]);
            let response = request.send().await.unwrap();
            let status = response.headers()["grpc-status"].to_str().unwrap();
            assert_eq!(status, "16", "{method}: unauthenticated");
        }
    }
}
