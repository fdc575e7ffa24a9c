//! Keys belong to their storage offer: the same one elsewhere is another object.

use axum::body::Body;
use http::{Method, Request};
use oc_store::{Collection, Expect, Index, IndexValue, SqliteOptions, SqliteStore, Store as _};
use serde_json::{Value, json};

use crate::node::Org;
use crate::objects::shelf;
use crate::world::eventually;

async fn call(org: &Org, offer: &str, method: &str, body: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/compute/v1/storage/{offer}/objects/in/a.txt"))
        .header("authorization", "Bearer operator")
        .body(Body::from(body.to_owned()));
    let (status, answer) = org.send(request.unwrap()).await;
    (status.as_u16(), String::from_utf8_lossy(&answer).into())
}

async fn offer(org: &Org, name: &str) {
    let capacity = json!({"storage_bytes": 1 << 20});
    org.offer(json!({"name": name, "kind": "storage", "capacity": capacity}))
        .await;
}

#[tokio::test]
async fn the_same_key_in_another_storage_is_another_object() {
    let org = shelf().await;
    offer(&org, "other").await;
    assert_eq!(call(&org, "results", "PUT", "first").await.0, 201);
    let (status, answer) = call(&org, "other", "PUT", "second!").await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(call(&org, "results", "GET", "").await.1, "first");
    assert_eq!(call(&org, "other", "GET", "").await.1, "second!");
    assert_eq!(org.used("results").await["storage_bytes"], 5);
    assert_eq!(org.used("other").await["storage_bytes"], 7);
    assert!(org.folder.path().join("objects/other/in/a.txt").is_file());

    assert_eq!(call(&org, "results", "DELETE", "").await.0, 200);
    assert_eq!(call(&org, "results", "GET", "").await.0, 404);
    assert_eq!(call(&org, "other", "GET", "").await.1, "second!");
    assert_eq!(call(&org, "other", "PUT", "third").await.0, 409);
}

#[tokio::test]
async fn a_storage_that_was_emptied_and_offered_anew_begins_with_nothing() {
    let org = shelf().await;
    call(&org, "results", "PUT", "first").await;
    org.ok(Method::DELETE, "offers/results", Value::Null).await;
    call(&org, "results", "DELETE", "").await;
    eventually(async || {
        let offers = org.ok(Method::GET, "offers", Value::Null).await;
        offers["offers"].as_array().unwrap().is_empty()
    })
    .await;
    offer(&org, "results").await;
    assert_eq!(org.used("results").await["storage_bytes"], 0);
    assert_eq!(call(&org, "results", "PUT", "second").await.0, 201);
    assert_eq!(call(&org, "results", "GET", "").await.1, "second");
}

fn place(document: &Value) -> Vec<IndexValue> {
    let text = |field: &str| document[field].as_str().unwrap_or_default();
    vec![IndexValue::from(format!(
        "{}/{}",
        text("offer"),
        text("key")
    ))]
}

/// Brings an object back into the form of a node whose keys were unique in all offers together.
async fn age(folder: &std::path::Path) {
    static OBJECTS: Collection = Collection::new("objects", &[Index::computed("place", 1, place)]);
    let store = SqliteStore::open(folder.join("compute.db"), SqliteOptions::default())
        .await
        .unwrap();
    let there = store.get(&OBJECTS, "results/in/a.txt").await.unwrap();
    let mut document: Value = serde_json::from_slice(&there.unwrap().value).unwrap();
    assert_eq!(
        document.as_object_mut().unwrap().remove("place"),
        Some(json!("results/in/a.txt"))
    );
    let bytes = serde_json::to_vec(&document).unwrap();
    store
        .put(&OBJECTS, "in/a.txt", Expect::Absent, bytes, Vec::new())
        .await
        .unwrap();
    store
        .delete(&OBJECTS, "results/in/a.txt", Expect::Any, Vec::new())
        .await
        .unwrap();
    for root in ["objects", "objects/.sha256"].map(|root| folder.join(root)) {
        std::fs::rename(root.join("results/in"), root.join("in")).unwrap();
    }
}

#[tokio::test]
async fn objects_from_before_each_storage_had_keys_of_its_own_stay() {
    let org = shelf().await;
    call(&org, "results", "PUT", "first").await;
    let org = org.restart_after(age).await;
    assert_eq!(call(&org, "results", "GET", "").await.1, "first");
    assert_eq!(call(&org, "results", "PUT", "first").await.0, 201);
    assert_eq!(call(&org, "results", "PUT", "other").await.0, 409);
    offer(&org, "other").await;
    assert_eq!(call(&org, "other", "PUT", "second").await.0, 201);

    assert_eq!(call(&org, "results", "DELETE", "").await.0, 200);
    assert!(!org.folder.path().join("objects/in/a.txt").exists());
    assert_eq!(org.used("results").await["storage_bytes"], 0);
    assert_eq!(call(&org, "results", "PUT", "new").await.0, 201);
    assert_eq!(call(&org, "results", "GET", "").await.1, "new");
    assert_eq!(call(&org, "other", "GET", "").await.1, "second");
}
