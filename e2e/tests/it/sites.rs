//! One workflow over two sites, and what one run hands to the next.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oc_client::Client;
use oc_proto::compute::v1::{Offer, OfferKind};
use oc_proto::pipeline::v1::{
    DatasetInput, FileInput, InputValue, ListingRef, Run, RunOutputInput, RunRequest, RunState,
    input_value,
};
use oc_proto::types::v1::{DatasetQuery, Limits, ObjectRef};
use oc_testkit::until;

use crate::scene::{IMAGES, JUNE, SOON, Scene, large, over, start};

const LIMIT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A step's tool that reads one file and prints another.
pub(crate) fn filter(command: &str) -> String {
    format!(
        "{{class: CommandLineTool, baseCommand: {command}, stdin: $(inputs.read.path), \
         inputs: {{read: File}}, outputs: {{made: stdout}}, stdout: made.txt}}"
    )
}

/// A workflow of two such steps, one after the other.
pub(crate) fn two_steps(first: &str, second: &str) -> String {
    let (first, second) = (filter(first), filter(second));
    format!(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {{read: File}}\nsteps:\n  \
         first: {{in: {{read: read}}, out: [made], run: {first}}}\n  \
         second: {{in: {{read: first/made}}, out: [made], run: {second}}}\n\
         outputs:\n  made: {{type: File, outputSource: second/made}}\n"
    )
}

pub(crate) fn one_step(command: &str) -> String {
    let tool = filter(command);
    format!(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {{read: File}}\nsteps:\n  \
         first: {{in: {{read: read}}, out: [made], run: {tool}}}\n\
         outputs:\n  made: {{type: File, outputSource: first/made}}\n"
    )
}

pub(crate) fn request(
    cwl: String,
    read: input_value::Value,
    placement: &[(&str, &str)],
) -> RunRequest {
    let placement = placement.iter();
    RunRequest {
        cwl,
        inputs: [("read".to_owned(), InputValue { value: Some(read) })].into(),
        placement: placement
            .map(|(step, site)| ((*step).to_owned(), (*site).to_owned()))
            .collect(),
        name: "sites".to_owned(),
        ..RunRequest::default()
    }
}

pub(crate) fn offer(name: &str, kind: OfferKind) -> Offer {
    let capacity = if kind == OfferKind::Storage {
        Limits {
            storage_bytes: 1 << 30,
            ..Limits::default()
        }
    } else {
        Limits {
            cores: 2,
            memory_bytes: 2 << 30,
            concurrent_fragments: 2,
            wall_seconds: 3600,
            ..Limits::default()
        }
    };
    Offer {
        name: name.to_owned(),
        kind: kind.into(),
        capacity: Some(capacity),
        ..Offer::default()
    }
}

/// The scene, with machines and a second storage offer at North and a grant from South.
pub(crate) async fn both(north_settings: &[&str], south_settings: &[&str]) -> Scene {
    furnish(Scene::set_with(north_settings, south_settings).await).await
}

/// The same on a scene that is set.
pub(crate) async fn furnish(scene: Scene) -> Scene {
    at_home(&scene).await;
    scene.grant(large(), DAY).await;
    scene
}

/// North gets machines and a second storage offer.
pub(crate) async fn at_home(scene: &Scene) {
    let north = scene.north();
    for (name, kind) in [
        ("home", OfferKind::Compute),
        ("uploads", OfferKind::Storage),
    ] {
        let made = offer(name, kind);
        north.compute().create_offer(&made).await.unwrap();
    }
    until("North's offers are listed", SOON, async || {
        let offers = north.compute().offers().await.ok()?;
        offers.iter().all(|offer| offer.listed).then_some(())
    })
    .await;
}

/// Uploads a text into North's second storage offer.
pub(crate) async fn upload(client: &Client, key: &str, text: &str) -> ObjectRef {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upload");
    std::fs::write(&path, text).unwrap();
    let file = tokio::fs::File::open(&path).await.unwrap();
    let compute = client.compute();
    let put = compute.put_object("uploads", key, None, file);
    put.await.unwrap()
}

pub(crate) fn uploaded(object: ObjectRef, listing_id: &str) -> input_value::Value {
    input_value::Value::File(FileInput {
        object: Some(object),
        listing_id: listing_id.to_owned(),
    })
}

/// Waits until a run has succeeded; the run and its only file.
async fn made(client: &Client, run_id: &str) -> (Run, String) {
    let (run, why) = over(client, run_id, LIMIT).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let results = client.pipeline().results(run_id).await.unwrap();
    let bytes = client.download(&results.files[0].path).await.unwrap();
    (run, String::from_utf8(bytes.to_vec()).unwrap())
}

fn sites(run: &Run) -> Vec<&str> {
    let fragments = run.fragments.iter();
    fragments
        .map(|fragment| fragment.site_name.as_str())
        .collect()
}

#[tokio::test]
async fn the_first_step_runs_next_to_the_data_and_hands_its_output_to_the_second_at_home() {
    let scene = both(&[], &[]).await;
    let image = input_value::Value::Dataset(DatasetInput {
        dataset: Some(ListingRef {
            owner: scene.pair.south_id.clone(),
            listing_id: IMAGES.to_owned(),
        }),
        query: Some(DatasetQuery {
            time: Some(JUNE),
            assets: vec!["B04".to_owned()],
            limit: 1,
            ..DatasetQuery::default()
        }),
    });
    let cwl = two_steps("[sha256sum]", "[tr, a-f, A-F]");
    let asked = request(cwl, image, &[("second", "North")]);
    let run = start(&scene.north(), asked).await.unwrap();
    let (run, text) = made(&scene.north(), &run.run_id).await;
    assert_eq!(sites(&run), ["South", "North"]);
    let band = "../testdata/sentinel/toulouse-20250627-a/B04.tif";
    let band = Path::new(env!("CARGO_MANIFEST_DIR")).join(band);
    let sum = Command::new("sha256sum").arg(band).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap().to_uppercase();
    assert_eq!(text.split(' ').next(), sum.split(' ').next());
}

#[tokio::test]
async fn a_run_reads_what_an_earlier_run_left_and_what_a_person_uploaded() {
    let scene = both(&[], &[]).await;
    let north = scene.north();
    let object = upload(&north, "notes/today.txt", "red green\n").await;
    let read = uploaded(object.clone(), "storage.uploads");
    let asked = request(one_step("[tr, a-z, A-Z]"), read, &[("first", "South")]);
    let first = start(&north, asked).await.unwrap();
    let (run, text) = made(&north, &first.run_id).await;
    assert_eq!((sites(&run), text.as_str()), (vec!["South"], "RED GREEN\n"));

    let earlier = input_value::Value::RunOutput(RunOutputInput {
        run_id: first.run_id.clone(),
        output: "made".to_owned(),
    });
    let asked = request(one_step("[rev]"), earlier, &[("first", "South")]);
    let second = start(&north, asked).await.unwrap();
    let (run, text) = made(&north, &second.run_id).await;
    assert_eq!((sites(&run), text.as_str()), (vec!["South"], "NEERG DER\n"));
}

#[tokio::test]
async fn a_file_that_does_not_lie_where_it_is_named_is_refused_before_anything_runs() {
    let scene = both(&[], &[]).await;
    let north = scene.north();
    let object = upload(&north, "notes/today.txt", "red\n").await;
    let changed = ObjectRef {
        length: object.length + 1,
        ..object.clone()
    };
    for (object, listing, reason) in [
        // The first storage offer is `results`.
        (
            object.clone(),
            "",
            "no `notes/today.txt` in storage.results",
        ),
        (object, "compute.home", "no storage of ours"),
        (changed, "storage.uploads", "has other content"),
    ] {
        let asked = request(one_step("[rev]"), uploaded(object, listing), &[]);
        let error = start(&north, asked).await.unwrap_err();
        let problem = error.problem().unwrap();
        assert_eq!(problem.status, 422, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(north.pipeline().runs(10).await.unwrap().is_empty());
}
