//! The links between nodes do to bytes what they say.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use oc_testkit::{Conditions, Link, Passage, Way};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_millis(150);

/// A link, its near end and its far end.
async fn connected(conditions: Conditions) -> (Link, TcpStream, TcpStream) {
    let any = "127.0.0.1:0".parse().unwrap();
    let target = TcpListener::bind(any).await.unwrap();
    let link = Link::start(any, target.local_addr().unwrap()).await;
    link.set(conditions);
    let near = TcpStream::connect(link.address()).await.unwrap();
    let (far, _) = timeout(LIMIT, target.accept()).await.unwrap().unwrap();
    (link, near, far)
}

async fn next(stream: &mut TcpStream, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    timeout(LIMIT, stream.read_exact(&mut bytes))
        .await
        .unwrap()?;
    Ok(bytes)
}

async fn ended(stream: &mut TcpStream) -> std::io::Result<usize> {
    timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap()
}

#[tokio::test]
async fn bytes_pass_both_ways_and_are_counted() {
    let (link, mut near, mut far) = connected(Conditions::default()).await;
    near.write_all(b"there").await.unwrap();
    assert_eq!(next(&mut far, 5).await.unwrap(), b"there");
    far.write_all(b"back").await.unwrap();
    assert_eq!(next(&mut near, 4).await.unwrap(), b"back");
    assert_eq!((link.connections(), link.passed()), (1, 9));
}

#[tokio::test]
async fn the_end_of_one_side_is_the_end_of_the_other() {
    let (_link, near, mut far) = connected(Conditions::default()).await;
    drop(near);
    assert_eq!(ended(&mut far).await.unwrap(), 0);
}

#[tokio::test]
async fn bytes_are_late_each_way() {
    let late = Conditions {
        delay: LATE,
        ..Conditions::default()
    };
    let (_link, mut near, mut far) = connected(late).await;
    let begin = Instant::now();
    near.write_all(b"?").await.unwrap();
    next(&mut far, 1).await.unwrap();
    far.write_all(b"!").await.unwrap();
    next(&mut near, 1).await.unwrap();
    assert!(begin.elapsed() >= LATE * 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn bytes_pass_at_a_rate() {
    let slow = Conditions {
        rate: NonZeroU32::new(256 * 1024),
        ..Conditions::default()
    };
    let (_link, mut near, mut far) = connected(slow).await;
    let begin = Instant::now();
    near.write_all(&[7; 128 * 1024]).await.unwrap();
    next(&mut far, 128 * 1024).await.unwrap();
    assert!(
        begin.elapsed() >= Duration::from_millis(400),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_stalled_link_holds_bytes_and_ends_until_it_opens() {
    let stalled = Conditions {
        passage: Passage::Stalled,
        ..Conditions::default()
    };
    let (link, mut near, mut far) = connected(stalled).await;
    near.write_all(b"late").await.unwrap();
    drop(near);
    let mut bytes = [0; 8];
    assert!(timeout(LATE, far.read(&mut bytes)).await.is_err());
    link.set(Conditions::default());
    assert_eq!(next(&mut far, 4).await.unwrap(), b"late");
    assert_eq!(ended(&mut far).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reset_ends_both_sides_at_once() {
    let (link, mut near, mut far) = connected(Conditions::default()).await;
    near.write_all(b"a").await.unwrap();
    next(&mut far, 1).await.unwrap();
    link.reset();
    for side in [&mut near, &mut far] {
        let error = ended(side).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_half_closed_connection_goes_on_the_other_way() {
    let (link, mut near, mut far) = connected(Conditions::default()).await;
    near.write_all(b"a").await.unwrap();
    next(&mut far, 1).await.unwrap();
    link.half_close(Way::There);
    assert_eq!(ended(&mut far).await.unwrap(), 0);
    near.write_all(b"nobody reads this").await.unwrap();
    far.write_all(b"still here").await.unwrap();
    assert_eq!(next(&mut near, 10).await.unwrap(), b"still here");
    assert_eq!(link.connections(), 1);
}

#[tokio::test]
async fn a_link_that_refuses_resets_new_connections_and_keeps_open_ones() {
    let (link, mut near, mut far) = connected(Conditions::default()).await;
    near.write_all(b"a").await.unwrap();
    next(&mut far, 1).await.unwrap();
    link.set(Conditions {
        passage: Passage::Refused,
        ..Conditions::default()
    });
    let refused = match TcpStream::connect(link.address()).await {
        Ok(mut another) => ended(&mut another).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    near.write_all(b"b").await.unwrap();
    assert_eq!(next(&mut far, 1).await.unwrap(), b"b");
}
