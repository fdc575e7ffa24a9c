//! A node is backed up while it works, goes on, is lost, and comes back from the older backup.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oc_client::{Client, ListingFilter};
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::{FragmentState, Run, RunState};
use oc_testkit::{Node, until};
use oc_trust::{Listing, Unverified, UsageHead};
use serde_json::Value;
use tempfile::TempDir;

use crate::outage::second_step_at_work;
use crate::scene::{IMAGES, JUNE, MACHINES, SOON, Scene, large, over, start};
use crate::sites::both;

const HOUR: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(100);

/// Backs a node up while it runs; the folder of the backup.
fn back_up(node: &Node, place: &TempDir) -> PathBuf {
    let folder = place.path().join("backup");
    let arguments = ["--output", "json", "backup", folder.to_str().unwrap()];
    let made = node.run(&arguments);
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{errors}");
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(told["files"].as_u64().unwrap() > 10, "{told}");
    let again = node.run(&arguments);
    refuses(&again, "is not empty");
    folder
}

fn refuses(output: &std::process::Output, words: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains(words),
        "{errors}"
    );
}

/// Loses a node as a power cut would, and starts it on the backup.
async fn restore(node: &mut Node, backup: &Path) {
    let folder = backup.to_str().unwrap();
    refuses(&node.run(&["restore", folder, "--yes"]), "a node runs on");
    node.kill();
    let unasked = node.run(&["restore", folder]);
    assert_eq!(unasked.status.code(), Some(6), "nobody said yes");
    let token = backup.join("admin.token");
    let whole = fs::read(&token).unwrap();
    fs::write(&token, "changed").unwrap();
    let damaged = node.run(&["restore", folder, "--yes"]);
    refuses(&damaged, "is not the file that was backed up");
    fs::write(&token, whole).unwrap();

    let restored = node.run(&["restore", folder, "--yes"]);
    let errors = String::from_utf8_lossy(&restored.stderr);
    assert!(restored.status.success(), "{errors}");
    for key in fs::read_dir(node.data().join("keys")).unwrap() {
        let key = key.unwrap();
        let mode = key.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key:?}");
    }
    node.begin().await;
}

/// Starts something at South, and waits until it is at work.
async fn begin_at_south(scene: &Scene, seconds: &str) -> Run {
    let north = scene.north();
    let mut request = scene.sleep(seconds, "", JUNE);
    request.placement = [("main".to_owned(), "South".to_owned())].into();
    let run = start(&north, request).await.unwrap();
    until("the fragment runs at South", SOON, async || {
        let run = north.pipeline().run(&run.run_id).await.ok()?;
        let state = run.fragments[0].state();
        let begun = matches!(state, FragmentState::Running | FragmentState::Succeeded);
        begun.then_some(run)
    })
    .await
}

/// Something of a second at South, to its end.
pub(crate) async fn works_at_south(scene: &Scene) {
    let run = begin_at_south(scene, "0.1").await;
    let (run, why) = over(&scene.north(), &run.run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
}

async fn found(by: &Client) -> Vec<String> {
    let found = by.catalog().search(&ListingFilter::default()).await;
    let listings = found.unwrap().listings.into_iter();
    listings.map(|listing| listing.listing_id).collect()
}

/// Waits until somebody finds `id`, or does not.
async fn finds(client: &Client, id: &str, expected: bool) {
    until("what a partner finds", SOON, async || {
        let found = found(client).await;
        (found.iter().any(|found| found == id) == expected).then_some(())
    })
    .await;
}

/// Does something while somebody looks all the time, who must not miss any of these listings.
async fn without_losing<T>(by: &Client, ids: &[&str], what: impl Future<Output = T>) -> T {
    tokio::select! {
        done = what => done,
        never = looks(by, ids) => match never {},
    }
}

async fn looks(by: &Client, ids: &[&str]) -> Infallible {
    loop {
        let found = found(by).await;
        let missing = ids.iter().find(|id| !found.iter().any(|it| it == *id));
        assert_eq!(missing, None, "of {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The epoch of a listing, as its partner holds it.
async fn listed_in(by: &Client, owner: &str, id: &str) -> u64 {
    let listing = by.catalog().listing(owner, id).await.unwrap();
    let listing = Unverified::<Listing>::parse(&listing.envelope).unwrap();
    listing.claim().revision.epoch
}

/// Offers machines of that name.
fn offer(node: &Node, name: &str) {
    let offered = node.run(&["offer", "compute", name, "--cores", "1", "--memory", "1GiB"]);
    let errors = String::from_utf8_lossy(&offered.stderr);
    assert!(offered.status.success(), "{errors}");
}

/// Waits until both have signed the same so many records; the epoch of the head under both signatures.
async fn signed(scene: &Scene, grant: &str, size: u64) -> u64 {
    let (north, south) = (scene.north(), scene.south());
    let head = until("books_agree", LIMIT, async || {
        let ours = north.accounting().books(grant).await.ok()?;
        let theirs = south.accounting().books(grant).await.ok()?;
        let signed = [&ours, &theirs].iter().all(|books| {
            books.countersigned && books.disputes.is_empty() && books.agreed_size == size
        });
        (signed && ours.root == theirs.root).then_some(theirs.head)
    })
    .await;
    let head = Unverified::<UsageHead>::parse(&head).unwrap();
    head.claim().epoch
}

#[tokio::test]
async fn a_provider_that_was_restored_rolls_nothing_back_at_its_partner_and_gets_its_books_back() {
    // What is held of images at the backup and released later is held anew, until its time is over.
    let mut scene = Scene::set(&["data.reservation_seconds=15"]).await;
    let place = tempfile::tempdir().unwrap();
    let north = scene.north();
    let grant = scene.grant(large(), 2 * HOUR).await.grant_id;
    works_at_south(&scene).await;
    let before = signed(&scene, &grant, 1).await;
    let revoked = scene.grant_on(&[MACHINES], large(), HOUR).await.grant_id;
    let south_id = scene.pair.south_id.clone();
    let listed_before = listed_in(&north, &south_id, MACHINES).await;
    let at_work = begin_at_south(&scene, "2").await;
    let backup = back_up(&scene.pair.south, &place);
    let (done, why) = over(&north, &at_work.run_id, LIMIT).await;
    assert_eq!(done.state, i32::from(RunState::Succeeded), "{why}");

    // What South does from here on it forgets, and North has seen.
    offer(&scene.pair.south, "forgotten");
    finds(&north, "compute.forgotten", true).await;
    scene.revoke(&revoked, "no more students").await;
    scene.reaches(&north, &revoked, GrantState::Revoked).await;
    works_at_south(&scene).await;
    works_at_south(&scene).await;
    signed(&scene, &grant, 4).await;
    let forgotten = scene.grant_on(&[MACHINES], large(), HOUR).await.grant_id;

    let back = async {
        restore(&mut scene.pair.south, &backup).await;
        scene.pair.connected().await;
        finds(&north, "compute.forgotten", false).await;
    };
    without_losing(&north, &[MACHINES, IMAGES], back).await;
    assert!(listed_in(&north, &south_id, MACHINES).await > listed_before);
    offer(&scene.pair.south, "new");
    finds(&north, "compute.new", true).await;

    signed(&scene, &grant, 4).await;
    let lost = scene.reaches(&north, &forgotten, GrantState::Revoked).await;
    let why = lost.cause.unwrap().text;
    assert_eq!(why, "its provider does not know it any more");
    works_at_south(&scene).await;
    assert!(signed(&scene, &grant, 5).await > before, "epochs rise");
    let kept = north.compute().grant(&revoked).await.unwrap();
    assert_eq!(kept.state, i32::from(GrantState::Revoked));
    scene.nothing_is_held().await;
}

#[tokio::test]
async fn a_consumer_that_was_restored_takes_up_its_books_and_a_run_that_was_on_its_way_ends() {
    let mut scene = both(&[], &[]).await;
    let place = tempfile::tempdir().unwrap();
    let (south, north_id) = (scene.south(), scene.pair.north_id.clone());
    let grants = scene.north().compute().grants(false).await.unwrap();
    let grant = grants[0].grant_id.clone();
    finds(&south, "storage.uploads", true).await;
    let listed_before = listed_in(&south, &north_id, "storage.results").await;
    let on_its_way = second_step_at_work(&scene, 2).await;
    let backup = back_up(&scene.pair.north, &place);
    let (done, why) = over(&scene.north(), &on_its_way.run_id, LIMIT).await;
    assert_eq!(done.state, i32::from(RunState::Succeeded), "{why}");
    signed(&scene, &grant, 1).await;
    works_at_south(&scene).await;
    works_at_south(&scene).await;
    signed(&scene, &grant, 3).await;
    offer(&scene.pair.north, "forgotten");
    finds(&south, "compute.forgotten", true).await;

    let back = async {
        restore(&mut scene.pair.north, &backup).await;
        scene.pair.connected().await;
        finds(&south, "compute.forgotten", false).await;
    };
    without_losing(&south, &["storage.results", "storage.uploads"], back).await;
    assert!(listed_in(&south, &north_id, "storage.results").await > listed_before);
    let (again, why) = over(&scene.north(), &on_its_way.run_id, LIMIT).await;
    let cause = again.cause.clone().unwrap_or_default();
    assert!(
        again.state == i32::from(RunState::Succeeded) || !cause.text.is_empty(),
        "no_silence: {why}"
    );
    // What South has forgotten of it is done once more, and billed.
    let books = until("South has billed all", SOON, async || {
        let books = south.accounting().books(&grant).await.ok()?;
        (scene.held().await.1 == 0).then_some(books)
    })
    .await;
    assert!(books.size >= 3, "{books:?}");
    signed(&scene, &grant, books.size).await;
    works_at_south(&scene).await;
    signed(&scene, &grant, books.size + 1).await;
    scene.nothing_is_held().await;
}
