//! Events that leave with a write.

use std::time::Duration;

use serde_json::json;

use super::{Fixture, THINGS};
use crate::{Expect, OutboxEvent, Store};

fn event(kind: &str, n: u32) -> OutboxEvent {
    OutboxEvent::new(kind, "a", json!({ "n": n }))
}

async fn kinds(store: &dyn Store) -> Vec<String> {
    let entries = store.outbox(100).await.unwrap();
    entries.into_iter().map(|entry| entry.event.kind).collect()
}

pub async fn events_leave_in_order_and_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let events = vec![event("one", 1), event("two", 2)];
    let first = store
        .put(&THINGS, "a", Expect::Absent, b"{}".into(), events)
        .await
        .unwrap();
    let events = vec![event("three", 3)];
    let second = store
        .delete(&THINGS, "a", Expect::Any, events)
        .await
        .unwrap()
        .unwrap();

    let entries = store.outbox(100).await.unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.event.clone(), e.revision, e.place))
        .collect();
    assert_eq!(
        seen,
        [
            (event("one", 1), first, 0),
            (event("two", 2), first, 1),
            (event("three", 3), second, 0)
        ]
    );
    let mut ids: Vec<_> = entries.iter().map(|entry| entry.id()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);

    assert_eq!(store.outbox(2).await.unwrap().len(), 2);
    let token = entries[1].token.clone();
    store
        .acknowledge(std::slice::from_ref(&token))
        .await
        .unwrap();
    assert_eq!(kinds(&*store).await, ["one", "three"]);
    store.acknowledge(&[token]).await.unwrap();
    assert_eq!(kinds(&*store).await, ["one", "three"]);
}

pub async fn a_refused_write_sends_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let put = |events| store.put(&THINGS, "a", Expect::Absent, b"{}".into(), events);
    put(vec![event("created", 1)]).await.unwrap();
    put(vec![event("again", 2)]).await.unwrap_err();
    assert_eq!(kinds(&*store).await, ["created"]);
}

pub async fn unacknowledged_events_survive_reopening(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for (n, kind) in ["one", "two"].into_iter().enumerate() {
        let key = format!("k{n}");
        let events = vec![event(kind, 0)];
        let put = store.put(&THINGS, &key, Expect::Absent, b"{}".into(), events);
        put.await.unwrap();
    }
    let entries = store.outbox(1).await.unwrap();
    store
        .acknowledge(&[entries[0].token.clone()])
        .await
        .unwrap();
    drop(store);

    let store = fixture.open().await;
    assert_eq!(kinds(&*store).await, ["two"]);
}

pub async fn the_signal_tells_of_new_events(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut changes = store.outbox_changes();
    changes.mark_unchanged();
    let put = store.put(&THINGS, "a", Expect::Any, b"{}".into(), vec![event("e", 1)]);
    put.await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), changes.changed())
        .await
        .expect("the signal changes")
        .unwrap();
}
