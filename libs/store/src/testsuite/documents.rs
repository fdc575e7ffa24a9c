//! The typed face, which must behave alike over every driver.

use oc_kernel::Revision;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Fixture, THINGS, at_once};
use crate::{Documents, Expect, OutboxEvent, Query, StoreError};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counter {
    count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn counter(count: u32) -> Counter {
    Counter { count, note: None }
}

fn increment(counter: &mut Counter) -> Result<Vec<OutboxEvent>, StoreError> {
    counter.count += 1;
    Ok(vec![])
}

pub async fn concurrent_counting_loses_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let counters: Documents<Counter> = Documents::new(store, &THINGS, 1);
    counters.create("a", &counter(0), vec![]).await.unwrap();
    let writers = (0..8).map(|_| {
        let counters = counters.clone();
        async move {
            for _ in 0..5 {
                loop {
                    match counters.update("a", increment).await {
                        Ok(_) => break,
                        Err(StoreError::Contended { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }
    });
    at_once(writers).await;
    let found = counters.require("a").await.unwrap();
    assert_eq!(found.value.count, 40);
}

pub async fn unknown_fields_survive_an_update(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let newer = json!({"v": 2, "count": 1, "note": "old", "later": {"x": [1]}}).to_string();
    store
        .put(&THINGS, "a", Expect::Absent, newer.into(), vec![])
        .await
        .unwrap();

    let counters: Documents<Counter> = Documents::new(store.clone(), &THINGS, 2);
    let clear = |counter: &mut Counter| {
        counter.note = None;
        increment(counter)
    };
    counters.update("a", clear).await.unwrap();

    let stored = store.get(&THINGS, "a").await.unwrap().unwrap();
    let stored: Value = serde_json::from_slice(&stored.value).unwrap();
    assert_eq!(stored, json!({"v": 2, "count": 2, "later": {"x": [1]}}));
}

pub async fn a_newer_schema_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let newer: Documents<Counter> = Documents::new(store.clone(), &THINGS, 2);
    newer.create("a", &counter(1), vec![]).await.unwrap();

    let older: Documents<Counter> = Documents::new(store, &THINGS, 1);
    let refused = |error| {
        matches!(
            error,
            StoreError::NewerSchema {
                found: 2,
                known: 1,
                ..
            }
        )
    };
    assert!(refused(older.get("a").await.unwrap_err()));
    assert!(refused(older.all(&Query::all()).await.unwrap_err()));
    assert!(refused(older.update("a", increment).await.unwrap_err()));
    assert_eq!(newer.require("a").await.unwrap().value, counter(1));
}

pub async fn an_update_that_changes_nothing_writes_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let counters: Documents<Counter> = Documents::new(store, &THINGS, 1);
    let written = counters.create("a", &counter(1), vec![]).await.unwrap();
    let unchanged = |_: &mut Counter| Ok::<_, StoreError>(vec![]);
    let after = counters.update("a", unchanged).await.unwrap();
    assert_eq!(after.revision, written);
    let tells =
        |_: &mut Counter| Ok::<_, StoreError>(vec![OutboxEvent::new("seen", "a", json!(1))]);
    let after = counters.update("a", tells).await.unwrap();
    assert!(after.revision > written);
}

pub async fn an_update_meets_a_missing_document(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let counters: Documents<Counter> = Documents::new(store, &THINGS, 1);
    let error = counters.update("a", increment).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

pub async fn update_or_create_begins_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let counters: Documents<Counter> = Documents::new(store, &THINGS, 1);
    let writers = (0..6).map(|_| {
        let counters = counters.clone();
        async move {
            let begun = counters.update_or_create("a", || counter(10), increment);
            begun.await.unwrap().value.count
        }
    });
    let mut counts = at_once(writers).await;
    counts.sort_unstable();
    assert_eq!(counts, [11, 12, 13, 14, 15, 16]);
    let found = counters.require("a").await.unwrap();
    assert!(found.revision > Revision(0));
    assert_eq!(found.value.count, 16);
}
