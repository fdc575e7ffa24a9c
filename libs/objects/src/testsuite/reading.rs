//! Getting, listing and space.

use oc_kernel::{Page, PageRequest};

use super::{Fixture, key, put};
use crate::{Deleted, Expected, ObjectError, ObjectInfo, Objects, body};

pub async fn an_absent_object_is_not_found(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "a/b", "x").await;
    for text in ["b", "a", "a/c"] {
        let stat = objects.stat(&key(text)).await;
        assert!(matches!(stat, Err(ObjectError::NotFound(_))), "{text}");
        let get = objects.get(&key(text), None).await;
        assert!(matches!(get, Err(ObjectError::NotFound(_))), "{text}");
    }
}

pub async fn ranges_are_cut_out_exactly(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "a", "0123456789").await;
    for (range, expected) in [
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
        (8..100, "89"),
        (0..10, "0123456789"),
    ] {
        let found = objects.get(&key("a"), Some(range.clone())).await.unwrap();
        assert_eq!(found.info.length, 10);
        assert_eq!(found.range, range.start..range.end.min(10));
        assert_eq!(found.bytes(10).await.unwrap(), expected);
    }
}

pub async fn a_range_beyond_the_end_is_refused(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "a", "0123456789").await;
    for range in [10..11, 20..30, 5..5] {
        let found = objects.get(&key("a"), Some(range)).await;
        assert!(matches!(found, Err(ObjectError::Range { length: 10, .. })));
    }
}

pub async fn a_reader_may_limit_what_it_takes(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "a", "0123456789").await;
    let found = objects.get(&key("a"), None).await.unwrap();
    assert!(matches!(
        found.bytes(9).await,
        Err(ObjectError::TooLarge { limit: 9, .. })
    ));
}

fn keys(page: &Page<ObjectInfo>) -> Vec<&str> {
    page.items.iter().map(|info| info.key.as_str()).collect()
}

async fn page(objects: &dyn Objects, prefix: Option<&str>, page: &PageRequest) -> Page<ObjectInfo> {
    let prefix = prefix.map(key);
    objects.list(prefix.as_ref(), page).await.unwrap()
}

pub async fn a_list_has_pages_in_key_order(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    for text in ["c", "a/2", "b", "a/10", "a/1"] {
        put(&*objects, text, text.to_owned()).await;
    }
    let mut request = PageRequest {
        size: 2,
        token: None,
    };
    let first = page(&*objects, None, &request).await;
    assert_eq!(keys(&first), ["a/1", "a/10"]);
    request.token = first.next;
    let second = page(&*objects, None, &request).await;
    assert_eq!(keys(&second), ["a/2", "b"]);
    request.token = second.next;
    let third = page(&*objects, None, &request).await;
    assert_eq!((keys(&third), &third.next), (vec!["c"], &None));
    let below = page(&*objects, Some("a"), &PageRequest::default()).await;
    assert_eq!(keys(&below), ["a/1", "a/10", "a/2"]);
    assert_eq!(below.items[1].length, 4);
}

pub async fn a_prefix_ends_at_a_segment(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "runs/a/x", "1").await;
    put(&*objects, "runs/ab/x", "2").await;
    let below = page(&*objects, Some("runs/a"), &PageRequest::default()).await;
    assert_eq!(keys(&below), ["runs/a/x"]);
}

pub async fn deleting_a_prefix_leaves_its_neighbours(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    for text in ["runs/a/x", "runs/a/deep/y", "runs/ab/x", "z"] {
        put(&*objects, text, "12345").await;
    }
    let deleted = objects.delete_prefix(&key("runs/a")).await.unwrap();
    let two = Deleted {
        objects: 2,
        bytes: 10,
    };
    assert_eq!(deleted, two);
    let left = page(&*objects, None, &PageRequest::default()).await;
    assert_eq!(keys(&left), ["runs/ab/x", "z"]);
    let again = objects.delete_prefix(&key("runs/a")).await.unwrap();
    assert_eq!(again, Deleted::default());
}

pub async fn free_space_is_told_and_held(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let Some(free) = objects.free_space().await.unwrap() else {
        return;
    };
    let expected = Expected {
        length: Some(free.saturating_mul(2)),
        sha256: None,
    };
    let error = objects.put(&key("a"), body("x"), expected).await;
    assert!(matches!(error, Err(ObjectError::NoSpace { .. })));
}
