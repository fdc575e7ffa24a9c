//! Putting and deleting.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout};

use super::{Fixture, key, put};
use crate::{Expected, ObjectError, body};
use oc_kernel::Digest;

const LIMIT: u64 = 64 << 20;

pub async fn what_is_put_is_got_with_its_digest(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    objects.ping().await.unwrap();
    let expected = Expected {
        length: Some(5),
        sha256: Some(Digest::of("hello")),
    };
    let info = objects.put(&key("a/b.txt"), body("hello"), expected).await;
    let info = info.unwrap();
    assert_eq!((&info.key, info.length), (&key("a/b.txt"), 5));
    assert_eq!(info.sha256, Digest::of("hello"));
    let found = objects.get(&key("a/b.txt"), None).await.unwrap();
    assert_eq!((&found.info, found.range.clone()), (&info, 0..5));
    assert_eq!(found.bytes(LIMIT).await.unwrap(), "hello");
    assert_eq!(objects.stat(&key("a/b.txt")).await.unwrap(), info);
}

pub async fn a_large_object_comes_in_many_pieces(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let piece = |n: u8| Bytes::from(vec![n; 300_000]);
    let pieces = futures::stream::iter((0..10).map(piece)).map(Ok).boxed();
    let whole: Vec<u8> = (0..10).flat_map(piece).collect();
    let expected = Expected {
        length: Some(whole.len() as u64),
        sha256: Some(Digest::of(&whole)),
    };
    objects.put(&key("big"), pieces, expected).await.unwrap();
    let found = objects.get(&key("big"), None).await.unwrap();
    assert!(found.bytes(LIMIT).await.unwrap() == whole, "other bytes");
}

pub async fn an_empty_object_is_an_object(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "empty", "").await;
    let found = objects.get(&key("empty"), None).await.unwrap();
    assert_eq!(found.info.sha256, Digest::of(""));
    assert_eq!(found.bytes(LIMIT).await.unwrap(), "");
}

pub async fn a_wrong_digest_leaves_nothing(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let expected = Expected {
        length: None,
        sha256: Some(Digest::of("other")),
    };
    let error = objects.put(&key("a"), body("hello"), expected).await;
    assert!(matches!(error, Err(ObjectError::WrongDigest { .. })));
    let stat = objects.stat(&key("a")).await;
    assert!(matches!(stat, Err(ObjectError::NotFound(_))));
    assert_eq!(fixture.leftovers().await, 0);
}

pub async fn a_wrong_length_leaves_nothing(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    for length in [0, 4, 6] {
        let expected = Expected {
            length: Some(length),
            sha256: None,
        };
        let error = objects.put(&key("a"), body("hello"), expected).await;
        assert!(matches!(error, Err(ObjectError::WrongLength { .. })));
        assert_eq!(fixture.leftovers().await, 0);
    }
}

pub async fn a_body_that_breaks_off_leaves_nothing(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let parts = [
        Ok(Bytes::from("hel")),
        Err(io::Error::other("connection lost")),
    ];
    let broken = futures::stream::iter(parts).boxed();
    let error = objects.put(&key("a"), broken, Expected::default()).await;
    assert!(matches!(error, Err(ObjectError::CutOff { .. })));
    assert_eq!(fixture.leftovers().await, 0);
}

pub async fn a_put_that_is_dropped_leaves_nothing(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let begun = futures::stream::iter([Ok(Bytes::from("hel"))]);
    let stuck = begun.chain(futures::stream::pending()).boxed();
    let at = key("a");
    let putting = objects.put(&at, stuck, Expected::default());
    assert!(timeout(Duration::from_millis(50), putting).await.is_err());
    // The driver may clear up behind the caller's back.
    let deadline = Instant::now() + Duration::from_secs(10);
    while fixture.leftovers().await > 0 {
        assert!(Instant::now() < deadline, "something is left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn a_key_is_written_once(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "a", "first").await;
    let second = objects
        .put(&key("a"), body("second"), Expected::default())
        .await;
    assert!(matches!(
        second,
        Err(ObjectError::AlreadyExists(found)) if found == key("a")
    ));
    let found = objects.get(&key("a"), None).await.unwrap();
    assert_eq!(found.bytes(LIMIT).await.unwrap(), "first");
    assert_eq!(fixture.leftovers().await, 1);
}

pub async fn objects_come_and_go_beside_each_other(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let lives = (0..4).map(|n| {
        let objects = objects.clone();
        tokio::spawn(async move {
            for round in 0..100 {
                let at = format!("one/folder/{n}-{round}");
                put(&*objects, &at, "here for a moment").await;
                assert!(objects.delete(&key(&at)).await.unwrap());
            }
        })
    });
    for life in futures::future::join_all(lives).await {
        life.unwrap();
    }
    assert_eq!(fixture.leftovers().await, 0);
}

pub async fn one_of_eight_writers_wins(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    let writers = (0..8).map(|n: u8| {
        let objects = objects.clone();
        async move {
            let text = format!("writer {n}");
            objects
                .put(&key("a"), body(text.clone()), Expected::default())
                .await
                .map(|info| (info, text))
        }
        .boxed()
    });
    let mut won = Vec::new();
    for outcome in futures::future::join_all(writers).await {
        match outcome {
            Ok(winner) => won.push(winner),
            Err(ObjectError::AlreadyExists(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let [(info, text)] = &won[..] else {
        panic!("{} writers won", won.len());
    };
    let found = objects.get(&key("a"), None).await.unwrap();
    assert_eq!(&found.info, info);
    assert_eq!(info.sha256, Digest::of(text));
    assert_eq!(found.bytes(LIMIT).await.unwrap(), text);
    assert_eq!(fixture.leftovers().await, 1);
}

pub async fn a_deleted_key_may_be_written_again(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    assert!(!objects.delete(&key("a/b")).await.unwrap());
    put(&*objects, "a/b", "first").await;
    assert!(objects.delete(&key("a/b")).await.unwrap());
    let stat = objects.stat(&key("a/b")).await;
    assert!(matches!(stat, Err(ObjectError::NotFound(_))));
    put(&*objects, "a/b", "second").await;
    let info = objects.stat(&key("a/b")).await.unwrap();
    assert_eq!(info.sha256, Digest::of("second"));
}

pub async fn objects_survive_reopening(fixture: &dyn Fixture) {
    let objects = fixture.open().await;
    put(&*objects, "a/b", "kept").await;
    let before = objects.stat(&key("a/b")).await.unwrap();
    drop(objects);
    let objects = fixture.open().await;
    assert_eq!(objects.stat(&key("a/b")).await.unwrap(), before);
}
