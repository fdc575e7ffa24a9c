//! What every request passes.

use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse;
use http::StatusCode;
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{CallError, Node, Problem};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::{Running, SAY, client, dial, echo, say, with_token};

/// Reads a problem and checks what every problem has.
pub(crate) async fn problem(response: reqwest::Response, status: u16, kind: &str) -> Problem {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(
        problem.type_uri,
        format!("https://open-cloud.dev/problems/{kind}")
    );
    assert_eq!(problem.status, status);
    assert_eq!(problem.instance.as_deref(), Some(&*id));
    problem
}

#[tokio::test]
async fn both_faces_answer_on_one_port_and_agree_on_an_error() {
    let running = Running::start(vec![echo()]).await;
    let http = client();
    let book = http
        .get(running.url("/api/echo/v1/books/emma"))
        .bearer_auth("user");
    let book = book.send().await.unwrap();
    assert_eq!(book.headers()["etag"], "\"3\"");
    assert_eq!(
        book.json::<Value>().await.unwrap(),
        json!({"title": "emma"})
    );

    let channel = dial(&running).await;
    let said = say(channel.clone(), with_token("hello", "user"))
        .await
        .unwrap();
    assert_eq!(said, "user:user: hello");

    let gone = http
        .get(running.url("/api/echo/v1/books/gone"))
        .bearer_auth("user");
    let gone = problem(gone.send().await.unwrap(), 404, "not-found").await;
    let status = say(channel, with_token("gone", "user")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    let error = CallError::from(status.clone());
    assert_eq!(error.message, &*gone.detail);
    assert_eq!(error.advice.as_deref(), Some("list the books"));
    assert_eq!(gone.advice.as_deref(), Some("list the books"));
    assert_eq!(Problem::from_status(&status).kind(), gone.kind());
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems() {
    let running = Running::start(vec![echo()]).await;
    let unknown = client()
        .get(running.url("/api/echo/v2/books"))
        .send()
        .await
        .unwrap();
    let unknown = problem(unknown, 404, "not-found").await;
    assert_eq!(unknown.detail, "nothing is at `/api/echo/v2/books`");

    let wrong = client()
        .delete(running.url("/api/echo/v1/books/emma"))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.headers()["allow"], "GET, PUT");
    problem(wrong, 405, "method-not-allowed").await;
}

#[tokio::test]
async fn ten_megabytes_of_json_are_refused_with_and_without_a_length() {
    let running = Running::start(vec![echo()]).await;
    let url = running.url("/api/echo/v1/books/emma");
    let body = format!("{{\"title\":\"{}\"}}", "a".repeat(10_000_000));
    let put = || {
        client()
            .put(&url)
            .bearer_auth("operator")
            .header("content-type", "application/json")
            .header("if-match", "\"1\"")
    };

    let declared = put().body(body.clone()).send().await.unwrap();
    problem(declared, 413, "too-large").await;

    let chunks = body
        .into_bytes()
        .chunks(64 * 1024)
        .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
        .collect::<Vec<_>>();
    let streamed = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let streamed = put().body(streamed).send().await.unwrap();
    problem(streamed, 413, "too-large").await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_problem_with_its_position() {
    let running = Running::start(vec![echo()]).await;
    let put = |body: String| {
        let put = client()
            .put(running.url("/api/echo/v1/books/emma"))
            .bearer_auth("operator");
        put.header("content-type", "application/json")
            .header("if-match", "\"1\"")
            .body(body)
    };
    let faulty = put("{\n  \"title\": nul }".to_owned())
        .send()
        .await
        .unwrap();
    let faulty = problem(faulty, 400, "malformed").await;
    assert_eq!(
        (faulty.errors[0].line, faulty.errors[0].column),
        (Some(2), Some(15))
    );

    let unknown = put("{\"title\": \"x\", \"pages\": 3}".to_owned())
        .send()
        .await
        .unwrap();
    assert!(
        problem(unknown, 400, "malformed")
            .await
            .detail
            .contains("unknown field `pages`")
    );

    let deep = format!(
        "{{\"title\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    problem(put(deep).send().await.unwrap(), 400, "malformed").await;

    let text = client()
        .put(running.url("/api/echo/v1/books/emma"))
        .bearer_auth("operator")
        .header("if-match", "\"1\"")
        .body("title");
    problem(text.send().await.unwrap(), 415, "unsupported-media-type").await;
}

#[tokio::test]
async fn a_faulty_query_or_if_match_is_a_problem() {
    let running = Running::start(vec![echo()]).await;
    let list = |query: &str| {
        client()
            .get(running.url(&format!("/api/echo/v1/books{query}")))
            .bearer_auth("user")
    };
    let listed = list("?size=3")
        .send()
        .await
        .unwrap()
        .json::<String>()
        .await
        .unwrap();
    assert_eq!(listed, "3 for user:user");
    problem(list("?size=many").send().await.unwrap(), 400, "malformed").await;

    let put = |etag: Option<&str>| {
        let put = client()
            .put(running.url("/api/echo/v1/books/emma"))
            .bearer_auth("operator");
        let put = put.json(&json!({"title": "x"}));
        etag.into_iter()
            .fold(put, |put, etag| put.header("if-match", etag))
    };
    problem(put(Some("3")).send().await.unwrap(), 400, "malformed").await;
    problem(
        put(None).send().await.unwrap(),
        428,
        "precondition-required",
    )
    .await;
}

#[tokio::test]
async fn a_panic_is_answered_and_the_node_goes_on() {
    let running = Running::start(vec![echo()]).await;
    let panicking = client()
        .get(running.url("/api/echo/v1/books/panic"))
        .bearer_auth("user");
    let told = problem(panicking.send().await.unwrap(), 500, "internal").await;
    assert!(
        !told.detail.contains("shelf"),
        "the text of a panic stays in the log"
    );

    let channel = dial(&running).await;
    let status = say(channel.clone(), with_token("panic", "user"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(say(channel, with_token("hello", "user")).await.is_ok());
}

#[tokio::test]
async fn a_request_id_is_kept_when_it_is_plain_and_made_when_it_is_not() {
    let running = Running::start(vec![echo()]).await;
    let id_for = async |given: &str| {
        let get = client()
            .get(running.url("/api/echo/openapi.json"))
            .header("x-request-id", given);
        get.send().await.unwrap().headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(id_for("abc-123").await, "abc-123");
    for bad in ["a b", "\"", &"x".repeat(65)] {
        let made = id_for(bad).await;
        assert_eq!(made.len(), 32, "{bad} gave {made}");
    }
}

#[tokio::test]
async fn the_node_ends_a_call_at_the_deadline_its_caller_sent() {
    let tokens = Arc::new(StaticTokens::of_roles());
    let node = Node::build(vec![echo()], tokens, &Metrics::new()).unwrap();
    // A StringValue of four letters in its frame.
    let message = [b"\0\0\0\0\x06\x0a\x04".as_slice(), b"wait"].concat();
    let request = http::Request::post(SAY)
        .header("content-type", "application/grpc")
        .header("authorization", "Bearer user")
        .header("grpc-timeout", "50m")
        .body(Body::from(message))
        .unwrap();
    let response = node.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn openapi_metrics_and_reflection_describe_the_service() {
    let running = Running::start(vec![echo()]).await;
    let api = client()
        .get(running.url("/api/echo/openapi.json"))
        .send()
        .await
        .unwrap();
    let api: Value = api.json().await.unwrap();
    assert!(api["paths"]["/api/echo/v1/books/{id}"]["put"].is_object());

    let (status, text) = running.admin("/metrics").await;
    assert_eq!(status, 200);
    let line =
        "oc_requests_total{code=\"200\",route=\"/api/echo/openapi.json\",service=\"echo\"} 1";
    assert!(text.contains(line), "{text}");

    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_response::MessageResponse,
    };
    let mut reflection = ServerReflectionClient::new(dial(&running).await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(futures::stream::iter([list]))
        .await
        .unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list");
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "test.v1.Echo")
    );
}

#[tokio::test]
async fn a_problem_that_is_not_ours_to_explain_stays_in_the_log() {
    #[derive(Debug, thiserror::Error)]
    #[error("disk sda1 is broken")]
    struct Broken;
    impl oc_kernel::Classify for Broken {
        fn kind(&self) -> oc_kernel::Kind {
            oc_kernel::Kind::Internal
        }
    }
    let response = Problem::of(&Broken).into_response();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!Problem::of(&Broken).detail.contains("sda1"));
    assert!(!oc_service::status(&Broken).message().contains("sda1"));
}

#[tokio::test]
async fn a_client_that_sends_forty_megabytes_before_it_reads_is_told_why_not() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let running = Running::start(vec![echo()]).await;
    let address = running.url("").trim_start_matches("http://").to_owned();
    let body = vec![b'x'; 40 << 20];
    let declared = format!("content-length: {}", body.len());
    let asking = format!("{declared}\r\nexpect: 100-continue");
    for (how, head) in [
        ("declared", declared.as_str()),
        ("chunked", "transfer-encoding: chunked"),
        ("asking first", asking.as_str()),
    ] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "PUT /api/echo/v1/books/emma HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer admin\r\n\
             content-type: application/json\r\nif-match: \"3\"\r\n{head}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        if how == "chunked" {
            let size = format!("{:x}\r\n", body.len());
            stream.write_all(size.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        } else if how == "declared" {
            stream.write_all(&body).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{how}: {answer}");
        let (_, problem) = answer.split_once("\r\n\r\n").unwrap();
        let problem: Problem = serde_json::from_str(problem).unwrap();
        assert!(problem.advice.is_some(), "{how}: {problem:?}");
    }
}
