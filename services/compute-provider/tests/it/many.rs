//! Attempts with many outputs.

use futures::{StreamExt as _, stream};
use http::Method;
use oc_kernel::PageRequest;
use oc_store::{Collection, Query, SqliteOptions, SqliteStore, Store as _};

use oc_proto::federation::v1::watch_response::Event;
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::objects::{call_as, shelf};
use crate::work::{Attempt, Step};

static ATTEMPTS: Collection = Collection::new("attempts", &[]);

/// Bytes of what South keeps of its only attempt.
async fn kept_of_attempt(south: &Org) -> usize {
    let path = south.folder.path().join("compute.db");
    let store = SqliteStore::open(path, SqliteOptions::default()).await;
    let page = store
        .unwrap()
        .list(&ATTEMPTS, &Query::all(), &PageRequest::default())
        .await
        .unwrap();
    assert_eq!(page.items.len(), 1);
    page.items[0].value.len()
}

#[tokio::test]
async fn what_is_written_for_an_output_does_not_grow_with_their_number() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    let step = Step::of(&south, &attempt).await;
    let before = kept_of_attempt(&south).await;
    for number in 0..5 {
        step.store(&format!("d/{number}"), b"x").await;
    }
    assert_eq!(kept_of_attempt(&south).await, before);
    let location = |number: u32| json!({"class": "File", "location": format!("output:d/{number}")});
    let outputs = json!({"files": (0..5).map(location).collect::<Vec<_>>()});
    south
        .stage
        .succeed(attempt.attempt, &outputs.to_string())
        .await;
    let events = attempt.watch(&north, &south, 0).await;
    let objects = events.iter().find_map(|event| match &event.event {
        Some(Event::Result(result)) => Some(result.objects.len()),
        _ => None,
    });
    assert_eq!(objects, Some(5));
}

#[tokio::test]
async fn outputs_that_are_stored_side_by_side_are_all_there_and_counted_once() {
    const FILES: u64 = 60;
    let org = shelf().await;
    org.offer_machines().await;
    let attempt = Attempt::new(&Value::Null);
    attempt.start(&org, &org).await;
    let step = Step::of(&org, &attempt).await;
    for number in 0..FILES {
        step.store(&format!("one/{number}"), b"hi").await;
    }
    stream::iter(0..FILES)
        .for_each_concurrent(8, |number| {
            let step = &step;
            async move {
                // Two announcements of one name at once are one.
                let name = format!("d/{number}");
                tokio::join!(step.announce(&name, b"hi"), step.announce(&name, b"hi"));
                step.store(&name, b"hi").await;
            }
        })
        .await;
    assert_eq!(org.used("results").await["storage_bytes"], 4 * FILES);
    let path = "storage/results/objects?page_size=1000";
    let listed = org.ok(Method::GET, path, Value::Null).await;
    assert_eq!(
        listed["objects"].as_array().unwrap().len() as u64,
        2 * FILES
    );
}

#[tokio::test]
async fn one_file_that_is_several_outputs_is_told_as_one_object() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    let step = Step::of(&south, &attempt).await;
    for name in ["a/x.txt", "a/y.txt"] {
        step.store(name, b"x").await;
    }
    let file = |name: &str| json!({"class": "File", "location": format!("output:a/{name}")});
    let outputs = json!({"a": file("x.txt"), "b": [file("y.txt"), file("x.txt")],
                         "d": {"class": "Directory", "basename": "d", "listing": [file("y.txt")]}});
    south
        .stage
        .succeed(attempt.attempt, &outputs.to_string())
        .await;
    let events = attempt.watch(&north, &south, 0).await;
    let result = events.into_iter().find_map(|event| match event.event {
        Some(Event::Result(result)) => Some(result),
        _ => None,
    });
    let result = result.unwrap();
    let keys = result.objects.iter().map(|object| object.key.as_str());
    let names: Vec<_> = keys.map(|key| key.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["x.txt", "y.txt"]);
    let outputs: Value = serde_json::from_str(&result.outputs_json).unwrap();
    assert_eq!(outputs["a"]["location"], outputs["b"][1]["location"]);
    assert_eq!(
        outputs["b"][0]["location"],
        outputs["d"]["listing"][0]["location"]
    );
}

#[tokio::test]
async fn many_objects_that_are_removed_at_once_all_go() {
    const FILES: usize = 150;
    let org = shelf().await;
    let all = |method: &'static str| {
        let org = &org;
        let calls = (0..FILES).map(move |number| async move {
            let key = format!("a/{number}");
            call_as("operator", org, method, &key, &[], b"x").await.0
        });
        futures::future::join_all(calls)
    };
    let written = all("PUT").await;
    assert!(written.iter().all(|status| *status == 201), "{written:?}");
    let removed = all("DELETE").await;
    assert!(removed.iter().all(|status| *status == 200), "{removed:?}");
    assert_eq!(org.used("results").await["storage_bytes"], 0);
}
