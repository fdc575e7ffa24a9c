//! The routes by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use oc_kernel::{AttemptId, Digest, FragmentId};
use serde_json::json;

use super::bench::{Bench, MACAROON, bench, bench_with};
use crate::domain::step::StepAttempt;

#[tokio::test]
async fn the_routes_need_a_macaroon_for_the_attempt_they_name() {
    let bench = bench_with(&[("in-1", "0123456789")]).await;
    let own = StepAttempt {
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
    };
    *bench.shelf.attempt.lock().unwrap() = Some(own);
    let other = StepAttempt {
        attempt: AttemptId::new(),
        ..own
    };
    for (attempt, macaroon, status) in [
        (own, Some(MACAROON), 200),
        (own, Some("of-another"), 401),
        (own, None, 401),
        (other, Some(MACAROON), 403),
    ] {
        for (method, path, body) in requests() {
            let answer = call(&bench, method, attempt, path, macaroon, &[], body).await;
            assert_eq!(
                answer.0, status,
                "{method} {path} {macaroon:?}: {}",
                answer.2
            );
        }
    }
}

fn requests() -> [(&'static str, &'static str, String); 3] {
    let announcement = json!({"name": "o/x", "length": 1, "sha256": Digest::of(b"x")});
    [
        ("GET", "inputs/in-1", String::new()),
        ("POST", "uploads", announcement.to_string()),
        ("PUT", "uploads/o/x", "x".into()),
    ]
}

#[tokio::test]
async fn an_input_can_be_read_from_where_it_broke_off() {
    let bench = bench_with(&[("in-1", "0123456789")]).await;
    let own = StepAttempt {
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
    };
    *bench.shelf.attempt.lock().unwrap() = Some(own);
    let read = async |range: &str| {
        let headers = [("range", range)];
        call(
            &bench,
            "GET",
            own,
            "inputs/in-1",
            Some(MACAROON),
            &headers,
            String::new(),
        )
        .await
    };
    let (status, headers, text) = read("bytes=4-").await;
    assert_eq!((status, text.as_str()), (206, "456789"));
    assert_eq!(headers["content-range"], "bytes 4-9/10");
    assert_eq!(headers["content-length"], "6");
    assert_eq!(*bench.shelf.offsets.lock().unwrap(), [4]);
    assert_eq!(read("bytes=11-").await.0, 422);
    assert_eq!(
        read("bytes=2-3").await.0,
        200,
        "a range that is not open gets the whole"
    );
}

#[tokio::test]
async fn a_name_that_climbs_is_no_input_and_no_output() {
    let bench = bench().await;
    let own = StepAttempt {
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
    };
    *bench.shelf.attempt.lock().unwrap() = Some(own);
    for (method, path) in [
        ("GET", "inputs/..%2f..%2fetc"),
        ("PUT", "uploads/..%2f..%2fx"),
        ("PUT", "uploads/a%2f%2e%2e%2fb"),
        ("GET", "inputs/.hidden"),
    ] {
        let answer = call(
            &bench,
            method,
            own,
            path,
            Some(MACAROON),
            &[],
            String::new(),
        )
        .await;
        assert_eq!(answer.0, 400, "{method} {path}: {}", answer.2);
    }
}

type Answer = (u16, BTreeMap<String, String>, String);

/// One HTTP/1.1 request over a connection of its own.
async fn call(
    bench: &Bench,
    method: &str,
    attempt: StepAttempt,
    path: &str,
    macaroon: Option<&str>,
    headers: &[(&str, &str)],
    body: String,
) -> Answer {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let StepAttempt { fragment, attempt } = attempt;
    let length = body.len();
    let mut head = format!(
        "{method} /api/compute/v1/fragments/{fragment}/attempts/{attempt}/{path} HTTP/1.1\r\n\
         host: node\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n"
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(macaroon) = macaroon {
        head += &format!("authorization: Macaroon {macaroon}\r\n");
    }
    let address = bench.address.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .unwrap()
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (status, headers, body.to_owned())
}
