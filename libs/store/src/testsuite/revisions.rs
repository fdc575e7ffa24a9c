//! Reading, writing, deleting, and what a revision promises.

use oc_kernel::Revision;
use serde_json::json;

use super::{Fixture, OTHERS, THINGS, at_once};
use crate::{Document, Expect, OutboxEvent, StoreError};

pub async fn an_absent_document_reads_as_none(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.get(&THINGS, "a").await.unwrap(), None);
    store.ping().await.unwrap();
}

pub async fn what_is_written_is_read_back_with_its_revision(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let value = json!({"text": "é\u{1f680}", "list": [1, 2.5, null]}).to_string();
    let revision = store
        .put(
            &THINGS,
            "a/ü b",
            Expect::Absent,
            value.clone().into(),
            vec![],
        )
        .await
        .unwrap();
    let document = Document {
        key: "a/ü b".into(),
        revision,
        value: value.into(),
    };
    assert_eq!(store.get(&THINGS, "a/ü b").await.unwrap(), Some(document));
}

pub async fn every_write_raises_the_revision(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut last = Revision(0);
    for expect in [Expect::Absent, Expect::Any, Expect::Any] {
        let revision = store.put(&THINGS, "a", expect, b"{}".into(), vec![]).await;
        let revision = revision.unwrap();
        assert!(revision > last);
        last = revision;
    }
    let next = store.put(&THINGS, "a", Expect::Revision(last), b"{}".into(), vec![]);
    assert!(next.await.unwrap() > last);
}

pub async fn stale_revision_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let put = |expect, value: &'static str| store.put(&THINGS, "a", expect, value.into(), vec![]);
    let first = put(Expect::Absent, "{}").await.unwrap();
    let second = put(Expect::Revision(first), "{}").await.unwrap();
    let error = put(Expect::Revision(first), r#"{"lost":1}"#)
        .await
        .unwrap_err();
    match error {
        StoreError::Stale {
            expected, found, ..
        } => assert_eq!((expected, found), (first, second)),
        other => panic!("{other}"),
    }
    let error = store
        .delete(&THINGS, "a", Expect::Revision(first), vec![])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Stale { .. }), "{error}");
    let document = store.get(&THINGS, "a").await.unwrap().unwrap();
    assert_eq!((document.revision, document.value), (second, b"{}".into()));
}

pub async fn an_absent_document_has_no_revision_to_expect(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for revision in [0, 1] {
        let expect = Expect::Revision(Revision(revision));
        let error = store.put(&THINGS, "a", expect, b"{}".into(), vec![]).await;
        assert!(matches!(error, Err(StoreError::Stale { .. })));
        let error = store.delete(&THINGS, "a", expect, vec![]).await;
        assert!(matches!(error, Err(StoreError::Stale { .. })));
    }
}

pub async fn one_of_sixteen_creators_wins(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let creators = (0..16).map(|n| {
        let store = store.clone();
        async move {
            let value = json!({ "n": n }).to_string();
            store
                .put(&THINGS, "a", Expect::Absent, value.into(), vec![])
                .await
        }
    });
    let mut won = 0;
    for outcome in at_once(creators).await {
        match outcome {
            Ok(_) => won += 1,
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(won, 1);
}

pub async fn deleting_nothing_says_so_and_sends_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let event = OutboxEvent::new("gone", "a", json!(null));
    let deleted = store.delete(&THINGS, "a", Expect::Any, vec![event]).await;
    assert_eq!(deleted.unwrap(), None);
    assert!(store.outbox(10).await.unwrap().is_empty());
}

pub async fn a_deleted_document_is_absent_and_its_revisions_go_on(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let put = |expect| store.put(&THINGS, "a", expect, b"{}".into(), vec![]);
    let written = put(Expect::Absent).await.unwrap();
    let deleted = store
        .delete(&THINGS, "a", Expect::Revision(written), vec![])
        .await
        .unwrap()
        .unwrap();
    assert!(deleted > written);
    assert_eq!(store.get(&THINGS, "a").await.unwrap(), None);
    let again = store.delete(&THINGS, "a", Expect::Any, vec![]).await;
    assert_eq!(again.unwrap(), None);
    assert!(matches!(
        put(Expect::Revision(deleted)).await,
        Err(StoreError::Stale { .. })
    ));
    assert!(put(Expect::Absent).await.unwrap() > deleted);
}

pub async fn revisions_go_on_where_the_tombstone_has_gone(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let put = |expect| store.put(&THINGS, "a", expect, b"{}".into(), vec![]);
    put(Expect::Absent).await.unwrap();
    put(Expect::Any).await.unwrap();
    let deleted = store.delete(&THINGS, "a", Expect::Any, vec![]).await;
    let deleted = deleted.unwrap().unwrap();
    assert!(put(Expect::Absent).await.unwrap() > deleted);
    let deleted = store.delete(&THINGS, "a", Expect::Any, vec![]).await;
    let deleted = deleted.unwrap().unwrap();
    drop(store);
    let store = fixture.open().await;
    let again = store.put(&THINGS, "a", Expect::Absent, b"{}".into(), vec![]);
    assert!(again.await.unwrap() > deleted);
}

pub async fn collections_do_not_mix(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let put = store.put(&THINGS, "a", Expect::Absent, b"{}".into(), vec![]);
    put.await.unwrap();
    assert_eq!(store.get(&OTHERS, "a").await.unwrap(), None);
    let put = store.put(&OTHERS, "a", Expect::Absent, b"[]".into(), vec![]);
    put.await.unwrap();
    store
        .delete(&OTHERS, "a", Expect::Any, vec![])
        .await
        .unwrap();
    assert!(store.get(&THINGS, "a").await.unwrap().is_some());
}

pub async fn a_bad_key_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for key in ["", "a\0b", &"k".repeat(1025)] {
        let put = store.put(&THINGS, key, Expect::Any, b"{}".into(), vec![]);
        assert!(matches!(put.await, Err(StoreError::Key { .. })), "{key:?}");
    }
}

pub async fn what_is_not_json_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let put = store.put(&THINGS, "a", Expect::Any, b"{".into(), vec![]);
    assert!(matches!(put.await, Err(StoreError::Unreadable { .. })));
    let long = format!("\"{}\"", "x".repeat(8 << 20));
    let put = store.put(&THINGS, "a", Expect::Any, long.into(), vec![]);
    assert!(matches!(put.await, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.get(&THINGS, "a").await.unwrap(), None);
}

pub async fn everything_survives_reopening(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut written = Vec::new();
    for key in ["a", "b", "c"] {
        let value = json!({"tags": [key]}).to_string();
        let revision = store.put(&THINGS, key, Expect::Absent, value.clone().into(), vec![]);
        written.push((key, revision.await.unwrap(), value));
    }
    store
        .delete(&THINGS, "b", Expect::Any, vec![])
        .await
        .unwrap();
    drop(store);

    let store = fixture.open().await;
    for (key, revision, value) in written {
        let found = store.get(&THINGS, key).await.unwrap();
        let expected = (key != "b").then(|| Document {
            key: key.into(),
            revision,
            value: value.into(),
        });
        assert_eq!(found, expected);
    }
}
