//! Lists by prefix and by index, and their pages.

use std::collections::BTreeSet;
use std::ops::Bound;

use oc_kernel::{PageRequest, PageToken};
use serde_json::{Value, json};

use super::{Fixture, THINGS};
use crate::{Collection, Expect, Index, IndexValue, Query, Store, StoreError};

async fn put(store: &dyn Store, key: &str, value: Value) {
    let value = value.to_string().into_bytes();
    store
        .put(&THINGS, key, Expect::Any, value, vec![])
        .await
        .unwrap();
}

/// The keys of every page, with `size` documents a page.
async fn keys(
    store: &dyn Store,
    collection: &'static Collection,
    query: Query,
    size: u32,
) -> Vec<String> {
    let mut page = PageRequest { size, token: None };
    let mut keys = Vec::new();
    loop {
        let found = store.list(collection, &query, &page).await.unwrap();
        assert!(found.items.len() <= size as usize);
        keys.extend(found.items.into_iter().map(|item| item.key));
        if found.next.is_none() {
            return keys;
        }
        page.token = found.next;
    }
}

pub async fn a_prefix_lists_its_keys_in_order(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for key in ["b", "a/2", "a0", "a/10", "a/", "a", "a/\u{10ffff}z", "A/1"] {
        put(&*store, key, json!({})).await;
    }
    store
        .delete(&THINGS, "a/2", Expect::Any, vec![])
        .await
        .unwrap();
    for size in [1, 2, 100] {
        assert_eq!(
            keys(&*store, &THINGS, Query::prefix("a/"), size).await,
            ["a/", "a/10", "a/\u{10ffff}z"]
        );
    }
    let all = ["A/1", "a", "a/", "a/10", "a/\u{10ffff}z", "a0", "b"];
    assert_eq!(keys(&*store, &THINGS, Query::all(), 3).await, all);
    let mut reversed = all;
    reversed.reverse();
    assert_eq!(
        keys(&*store, &THINGS, Query::all().descending(), 3).await,
        reversed
    );
    let page = PageRequest::default();
    let exact = store
        .list(&THINGS, &Query::prefix("b"), &page)
        .await
        .unwrap();
    assert_eq!((exact.items.len(), exact.next), (1, None));
}

pub async fn pages_leave_no_gap_while_others_write(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let standing: BTreeSet<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    for key in &standing {
        put(&*store, key, json!({"tags": ["t"]})).await;
    }
    for query in [Query::all(), Query::equals("tag", "t")] {
        let mut page = PageRequest {
            size: 7,
            token: None,
        };
        let mut seen = Vec::new();
        for round in 0.. {
            let found = store.list(&THINGS, &query, &page).await.unwrap();
            seen.extend(found.items.into_iter().map(|item| item.key));
            // One comes, one before the cursor goes: neither may shift the next page.
            let passing = format!("k{:02}x", (round * 11) % 40);
            put(&*store, &passing, json!({"tags": ["t"]})).await;
            store
                .delete(&THINGS, "k00x", Expect::Any, vec![])
                .await
                .unwrap();
            if found.next.is_none() {
                break;
            }
            page.token = found.next;
        }
        let once: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(once.len(), seen.len(), "a document came twice");
        assert!(standing.is_subset(&once), "a document was left out");
    }
}

pub async fn an_index_lists_by_value_and_then_key(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    put(&*store, "k3", json!({"tags": ["red", "blue"]})).await;
    put(&*store, "k1", json!({"tags": "red"})).await;
    put(&*store, "k2", json!({"tags": ["green"]})).await;
    put(&*store, "k4", json!({})).await;
    for size in [1, 2, 100] {
        let red = Query::equals("tag", "red");
        assert_eq!(keys(&*store, &THINGS, red, size).await, ["k1", "k3"]);
        let all = Query::ordered_by("tag");
        assert_eq!(
            keys(&*store, &THINGS, all, size).await,
            ["k3", "k2", "k1", "k3"]
        );
        let back = Query::ordered_by("tag").descending();
        assert_eq!(
            keys(&*store, &THINGS, back, size).await,
            ["k3", "k1", "k2", "k3"]
        );
    }
    assert!(
        keys(&*store, &THINGS, Query::equals("tag", "re"), 9)
            .await
            .is_empty()
    );
}

pub async fn numbers_are_indexed_as_numbers(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for size in [-5, 9, 10, 100] {
        put(&*store, &format!("k{size}"), json!({"size": size})).await;
    }
    put(&*store, "text", json!({"size": "9"})).await;
    let range = |from, to| Query::range("size", from, to);
    let number = IndexValue::Number;
    let cases = [
        (
            range(Bound::Included(number(9)), Bound::Included(number(10))),
            vec!["k9", "k10"],
        ),
        (
            range(Bound::Excluded(number(9)), Bound::Included(number(100))),
            vec!["k10", "k100"],
        ),
        (
            range(Bound::Unbounded, Bound::Excluded(number(10))),
            vec!["k-5", "k9"],
        ),
        (
            Query::ordered_by("size"),
            vec!["k-5", "k9", "k10", "k100", "text"],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(keys(&*store, &THINGS, query, 2).await, expected);
    }
}

pub async fn index_entries_follow_the_document(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let tagged = |tag: &'static str| {
        let store = store.clone();
        async move { keys(&*store, &THINGS, Query::equals("tag", tag), 9).await }
    };
    put(&*store, "k", json!({"tags": ["old", "kept"]})).await;
    put(&*store, "k", json!({"tags": ["kept", "new"]})).await;
    assert!(tagged("old").await.is_empty());
    assert_eq!(tagged("kept").await, ["k"]);
    assert_eq!(tagged("new").await, ["k"]);
    store
        .delete(&THINGS, "k", Expect::Any, vec![])
        .await
        .unwrap();
    assert!(tagged("kept").await.is_empty());
}

pub async fn an_index_that_is_not_declared_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let query = Query::equals("colour", "red");
    let error = store.list(&THINGS, &query, &PageRequest::default()).await;
    assert!(matches!(error, Err(StoreError::UnknownIndex { .. })));
}

pub async fn a_foreign_page_token_is_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let page = PageRequest {
        size: 1,
        token: Some(PageToken::after("not an index cursor")),
    };
    let error = store.list(&THINGS, &Query::ordered_by("tag"), &page).await;
    assert!(matches!(error, Err(StoreError::PageToken)));
}

pub async fn an_index_declared_later_covers_older_documents(fixture: &dyn Fixture) {
    static LATER: Collection = Collection::new(
        "things",
        &[
            Index::pointer("tag", "/tags"),
            Index::pointer("owner", "/by"),
        ],
    );
    let store = fixture.open().await;
    put(&*store, "k1", json!({"tags": ["t"], "by": "ann"})).await;
    put(&*store, "k2", json!({"tags": ["t"], "by": "bob"})).await;
    drop(store);

    let store = fixture.open().await;
    let ann = Query::equals("owner", "ann");
    assert_eq!(keys(&*store, &LATER, ann, 9).await, ["k1"]);
    let tag = Query::equals("tag", "t");
    assert_eq!(keys(&*store, &LATER, tag, 9).await, ["k1", "k2"]);
}
