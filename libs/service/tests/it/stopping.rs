//! Ports, readiness, workers and the orderly stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oc_kernel::Classify;
use oc_service::{App, ListenError, ListenSettings, Listeners, ServeError, StopSettings, Worker};
use serde_json::Value;
use tokio::time::timeout;
use tonic::{Code, Request};

use super::support::{Running, client, count, dial, echo, say, with_token};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = Listeners::local().await.unwrap();
    let settings = ListenSettings {
        api: taken.api_addr(),
        ..ListenSettings::default()
    };
    let error = Listeners::bind(&settings).await.unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }));
    let port = taken.api_addr().port();
    assert_eq!(
        error.to_string(),
        format!("port {port} on 127.0.0.1 is in use (listen.api)")
    );
    assert!(error.advice().unwrap().contains("OC__LISTEN__API"));
}

#[tokio::test]
async fn readiness_names_the_service_that_is_not_ready() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ready);
    let app = App {
        ready: Arc::new(move || {
            let ready = asked.load(Ordering::SeqCst);
            Box::pin(async move {
                if ready {
                    Ok(())
                } else {
                    Err("the store is closed".to_owned())
                }
            })
        }),
        ..App::new("shelf")
    };
    let running = Running::start(vec![echo(), app]).await;
    assert_eq!(running.admin("/livez").await.0, 200);
    let (status, body) = running.admin("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 503);
    assert_eq!(body["services"]["shelf"], "the store is closed");
    assert_eq!(body["services"]["echo"], "ready");
    ready.store(true, Ordering::SeqCst);
    assert_eq!(running.admin("/readyz").await.0, 200);
}

#[tokio::test]
async fn grpc_health_follows_readiness() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    let running = Running::start(vec![echo()]).await;
    let mut health = HealthClient::new(dial(&running).await);
    let mut states = health
        .watch(HealthCheckRequest {
            service: "test.v1.Echo".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    let serving = async {
        while let Some(state) = states.message().await.unwrap() {
            if state.status() == ServingStatus::Serving {
                return;
            }
        }
        panic!("never serving");
    };
    timeout(SOON, serving).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_ends_early_stops_the_node_with_its_name() {
    let ends = App {
        workers: vec![Worker::new("sweep", async |_| Ok(()))],
        ..App::new("a")
    };
    let ended = timeout(SOON, Running::start(vec![ends]).await.ended)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(ServeError::WorkerEnded("sweep"))));

    let fails = App {
        workers: vec![Worker::new("relay", async |_| {
            Err(anyhow::anyhow!("the bus is gone"))
        })],
        ..App::new("a")
    };
    let ended = timeout(SOON, Running::start(vec![fails]).await.ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "the worker `relay` failed");
}

#[tokio::test]
async fn an_idle_node_stops_at_once_and_its_workers_end_last() {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    let worker = Worker::new("relay", async move |stop| {
        stop.cancelled().await;
        seen.store(true, Ordering::SeqCst);
        Ok(())
    });
    let app = App {
        workers: vec![worker],
        ..App::new("a")
    };
    let running = Running::start(vec![echo(), app]).await;
    // An idle keep-alive connection must not hold the stop up.
    let idle = client();
    idle.get(running.url("/api/echo/openapi.json"))
        .send()
        .await
        .unwrap();
    running.stop.cancel();
    timeout(Duration::from_secs(5), running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(ended.load(Ordering::SeqCst));
}

#[tokio::test]
async fn streams_that_wait_are_cut_when_the_node_stops() {
    let running = Running::start(vec![echo()]).await;
    let mut events = client()
        .get(running.url("/api/echo/v1/events"))
        .send()
        .await
        .unwrap();
    let first = events.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: hello"));
    let mut numbers = count(dial(&running).await, with_token("1", "admin"))
        .await
        .unwrap();
    assert_eq!(numbers.message().await.unwrap().as_deref(), Some("0"));

    running.stop.cancel();
    let rest = timeout(SOON, events.chunk()).await.unwrap().unwrap();
    assert_eq!(rest, None);
    let cut = timeout(SOON, numbers.message()).await.unwrap().unwrap_err();
    assert_eq!(cut.code(), Code::Unavailable);
    timeout(Duration::from_secs(5), running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_after_the_grace_time() {
    let settings = StopSettings {
        lame_duck_seconds: 0,
        grace_seconds: 0,
    };
    let running = Running::start_with(vec![echo()], settings).await;
    let channel = dial(&running).await;
    let waiting = tokio::spawn(say(channel.clone(), with_token("wait", "user")));
    // The next call on the same connection is answered after the first arrived.
    say(channel, with_token("hello", "user")).await.unwrap();
    running.stop.cancel();
    timeout(SOON, running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    waiting.abort();
}

#[tokio::test]
async fn event_streams_are_bounded() {
    let running = Running::start(vec![echo()]).await;
    let open = || client().get(running.url("/api/echo/v1/events")).send();
    let first = open().await.unwrap();
    assert_eq!(first.status(), 200);
    let second = open().await.unwrap();
    assert_eq!(second.status(), 429);
    assert_eq!(second.headers()["retry-after"], "1");
}

#[tokio::test]
async fn a_call_is_refused_in_the_form_of_its_face() {
    let running = Running::start(vec![echo()]).await;
    let status = say(dial(&running).await, Request::new("x".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
