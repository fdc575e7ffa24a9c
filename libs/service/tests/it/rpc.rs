//! Calls between services.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use oc_service::access::StaticTokens;
use oc_service::settings::Secret;
use oc_service::telemetry::Metrics;
use oc_service::{Node, RemoteSettings, Switchboard};
use tonic::{Code, Request};
use tower::ServiceExt;

use super::support::{Running, count, echo, echo_on, say, with_token};

fn board() -> Switchboard {
    let tokens = Arc::new(StaticTokens::of_roles());
    let node = Node::build(vec![echo()], tokens, &Metrics::new()).unwrap();
    let board = Switchboard::new();
    board.register("echo", node.router());
    board
}

#[tokio::test]
async fn a_call_in_the_process_arrives_as_the_calling_service() {
    let board = board();
    let channel = board.channel("catalog", "echo");
    let said = say(channel.clone(), Request::new("hello".to_owned()))
        .await
        .unwrap();
    assert_eq!(said, "service:catalog: hello");
    // A token in the metadata does not change who calls.
    let said = say(channel, with_token("hello", "admin")).await.unwrap();
    assert_eq!(said, "service:catalog: hello");
}

#[tokio::test]
async fn a_channel_finds_its_target_once_it_is_there_and_not_after_it_is_gone() {
    let board = Switchboard::new();
    let channel = board.channel("catalog", "echo");
    let early = say(channel.clone(), Request::new("hello".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(early.code(), Code::Unavailable);

    let tokens = Arc::new(StaticTokens::of_roles());
    let node = Node::build(vec![echo()], tokens, &Metrics::new()).unwrap();
    board.register("echo", node.router());
    assert!(
        say(channel.clone(), Request::new("hello".to_owned()))
            .await
            .is_ok()
    );

    board.clear();
    let late = say(channel, Request::new("hello".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_call_over_the_network_arrives_with_its_token() {
    let running = Running::start(vec![echo()]).await;
    let settings = RemoteSettings {
        address: running.url(""),
        token: Some(Secret::new("service")),
    };
    let board = Switchboard::new().with_remote("echo", &settings).unwrap();
    let channel = board.channel("catalog", "echo");
    let said = say(channel, Request::new("hello".to_owned()))
        .await
        .unwrap();
    assert_eq!(said, "service:test: hello");
}

#[tokio::test]
async fn an_unreachable_service_is_unavailable_and_a_faulty_address_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let settings = RemoteSettings {
        address: format!("http://{at}"),
        token: None,
    };
    let board = Switchboard::new().with_remote("echo", &settings).unwrap();
    let status = say(
        board.channel("catalog", "echo"),
        Request::new("x".to_owned()),
    )
    .await
    .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "echo cannot be reached");

    let settings = RemoteSettings {
        address: "http://a b".to_owned(),
        token: None,
    };
    let error = Switchboard::new()
        .with_remote("echo", &settings)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`http://a b` is no address of echo")
    );
}

#[tokio::test]
async fn a_stream_gives_what_it_has_and_ends_at_the_deadline() {
    for channel in [board().channel("catalog", "echo")] {
        let mut request = Request::new("3".to_owned());
        request.set_timeout(Duration::from_millis(100));
        let mut numbers = count(channel, request).await.unwrap();
        for expected in ["0", "1", "2"] {
            assert_eq!(numbers.message().await.unwrap().as_deref(), Some(expected));
        }
        assert_eq!(
            numbers.message().await.unwrap_err().code(),
            Code::DeadlineExceeded
        );
    }
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_one_and_a_silent_stream_ends() {
    let board = board().with_limits(Duration::from_millis(50), Duration::from_millis(60));
    let channel = board.channel("catalog", "echo");
    let status = say(channel.clone(), Request::new("wait".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(status.message(), "echo did not answer within the deadline");

    let mut numbers = count(channel, Request::new("1".to_owned())).await.unwrap();
    assert_eq!(numbers.message().await.unwrap().as_deref(), Some("0"));
    let silent = numbers.message().await.unwrap_err();
    assert_eq!(silent.message(), "nothing came on this stream for too long");
}

#[tokio::test]
async fn the_request_id_goes_on_to_the_services_that_are_called() {
    let board = Switchboard::new();
    let tokens = Arc::new(StaticTokens::of_roles());
    let node = Node::build(vec![echo_on(&board)], tokens, &Metrics::new()).unwrap();
    board.register("echo", node.router());
    let request = http::Request::get("/api/echo/v1/relay")
        .header("authorization", "Bearer user")
        .header("x-request-id", "abc")
        .body(Body::empty())
        .unwrap();
    let response = node.router().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "\"abc\"");
}
