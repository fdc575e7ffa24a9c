//! Leaving: nothing of a partner's stays.

use http::Method;
use oc_store::SqliteOptions;
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::work::{Attempt, Step};
use crate::world::{NETWORK, eventually};

/// Waits, some seconds on, until nothing of a partner's is left but that there were grants.
async fn only_notes_are_left(site: &Org, partner: &Org) {
    site.world.clock.advance(std::time::Duration::from_secs(10));
    eventually(async || {
        let left = traces(site, partner).await;
        left.iter().all(|trace| trace.starts_with("grants/"))
    })
    .await;
}

/// True while the partner's name stands in any live document or file of this node.
async fn traces(site: &Org, partner: &Org) -> Vec<String> {
    use oc_kernel::PageRequest;
    use oc_store::{Query, SqliteStore, Store as _};
    let path = site.folder.path().join("compute.db");
    let store = SqliteStore::open(path, SqliteOptions::default())
        .await
        .unwrap();
    let mut found = Vec::new();
    let names = [
        "answers",
        "attempt-events",
        "attempts",
        "egress",
        "grants",
        "ledgers",
        "objects",
        "offers",
        "outputs",
        "payloads",
        "rooms",
        "rules",
    ];
    for name in names {
        let collection: &'static oc_store::Collection =
            Box::leak(Box::new(oc_store::Collection::new(name, &[])));
        let page = store
            .list(collection, &Query::all(), &PageRequest::default())
            .await
            .unwrap();
        for document in page.items {
            let text = format!(
                "{}{}",
                document.key,
                String::from_utf8_lossy(&document.value)
            );
            if text.contains(&partner.id.to_string()) || text.contains("grant-") {
                found.push(format!("{name}/{}", document.key));
            }
        }
    }
    let objects = walk(&site.folder.path().join("objects"));
    let work = walk(&site.folder.path().join("work"));
    found.extend(objects.into_iter().chain(work));
    found
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}

/// North has run something at South, and runs something now.
async fn at_work() -> (Org, Org, Value, Attempt) {
    let (north, south, grant) = story().await;
    let done = Attempt::new(&grant);
    done.start(&north, &south).await;
    let step = Step::of(&south, &done).await;
    step.store("said.txt", b"hello").await;
    south.stage.log(done.attempt, "hello").await;
    south.stage.succeed(done.attempt, "{}").await;
    done.end(&north, &south).await;
    let running = Attempt::new(&grant);
    running.start(&north, &south).await;
    south.stage.runs(running.attempt).await;
    (north, south, grant, running)
}

#[tokio::test]
async fn after_leaving_the_network_nothing_of_the_partner_is_left() {
    let (north, south, _grant, running) = at_work().await;
    assert!(!traces(&south, &north).await.is_empty());
    let left = json!({"network_id": NETWORK, "state": "left"});
    south
        .world
        .tell(&south.id, "oc.discovery.network.v1", left)
        .await;
    eventually(async || south.stage.was_stopped(running.attempt)).await;
    south
        .world
        .clock
        .advance(std::time::Duration::from_secs(10));
    eventually(async || traces(&south, &north).await.is_empty()).await;
    assert!(south.stage.was_swept(running.attempt));
    // The books were told of both attempts, once each.
    let booked = south.told("oc.compute.usage.v1");
    assert_eq!(booked.len(), 2, "{booked:?}");
    assert_eq!(
        south.ok(Method::GET, "grants", Value::Null).await["grants"],
        json!([])
    );
}

#[tokio::test]
async fn an_ended_grant_leaves_nothing_but_its_note() {
    let (north, south, grant, running) = at_work().await;
    let before = traces(&south, &north).await;
    for kind in ["payloads/", "outputs/", "attempts/", "ledgers/"] {
        let there = before.iter().any(|trace| trace.starts_with(kind));
        assert!(there, "no {kind} among {before:?}");
    }
    let id = grant["grant_id"].as_str().unwrap();
    let path = format!("grants/{id}/end");
    north.ok(Method::POST, &path, json!({})).await;
    eventually(async || south.stage.was_stopped(running.attempt)).await;
    only_notes_are_left(&south, &north).await;
    assert_eq!(south.told("oc.compute.usage.v1").len(), 2, "the books stay");
}

#[tokio::test]
async fn a_blocked_partner_is_stopped_and_its_traces_go() {
    let (north, south, grant, running) = at_work().await;
    let blocked = json!({"org_id": north.id.to_string(), "state": "blocked"});
    south
        .world
        .tell(&south.id, "oc.discovery.peer.v1", blocked)
        .await;
    eventually(async || south.stage.was_stopped(running.attempt)).await;
    let id = grant["grant_id"].as_str().unwrap();
    assert_eq!(south.grant(id).await["state"], "revoked");
    only_notes_are_left(&south, &north).await;
}

#[tokio::test]
async fn a_lost_connection_ends_nothing() {
    let (north, south, grant, running) = at_work().await;
    let lost = json!({"org_id": north.id.to_string(), "state": "lost", "network_id": NETWORK});
    south
        .world
        .tell(&south.id, "oc.discovery.peer.v1", lost)
        .await;
    let id = grant["grant_id"].as_str().unwrap();
    assert_eq!(south.grant(id).await["state"], "active");
    assert!(south.stage.is_running(running.attempt));
}
