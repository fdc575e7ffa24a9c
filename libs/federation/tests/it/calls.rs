//! gRPC over streams.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use oc_federation::grpc::{CallLimits, ServeLimits, serve};
use oc_federation::{Network, PeerChannel, PeerInfo};
use tokio::sync::Notify;
use tokio::time::timeout;
use tonic::Code;
use tonic::body::Body;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use crate::nodes::{LIMIT, Realm, address, connected, until};

/// A service that answers as its path says and counts what it sees.
#[derive(Clone, Default)]
struct Probe {
    running: Arc<AtomicUsize>,
    release: Arc<Notify>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Probe {
    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(self.running.clone());
        let caller = request.extensions().get::<PeerInfo>().copied();
        let body = match request.uri().path() {
            "/who" => Body::new(caller.unwrap().peer_id.to_string()),
            "/wait" => {
                self.release.notified().await;
                Body::empty()
            }
            "/never" => std::future::pending().await,
            "/flood" => {
                let piece = || Ok::<_, Infallible>(http_body::Frame::data(vec![0; 65536].into()));
                let pieces = futures::stream::repeat_with(piece).map(move |piece| {
                    let _running = &running;
                    piece
                });
                return Ok(Response::new(Body::new(http_body_util::StreamBody::new(
                    pieces,
                ))));
            }
            "/length" => {
                let read = request.into_body().collect().await;
                Body::new(match read {
                    Ok(body) => body.to_bytes().len().to_string(),
                    Err(status) => return Ok(status.into_http()),
                })
            }
            _ => Body::empty(),
        };
        Ok(Response::new(body))
    }

    fn serve(&self, network: &Network, limits: ServeLimits) {
        let probe = self.clone();
        let service = tower::service_fn(move |request| probe.clone().answer(request));
        tokio::spawn(serve(network, service, limits).unwrap());
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

fn get(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn grpc_status(response: &Response<Body>) -> Code {
    let code = response.headers().get("grpc-status").expect("a status");
    Code::from_bytes(code.as_bytes())
}

#[tokio::test]
async fn unary_and_streaming_calls_go_both_ways() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("disk", ServingStatus::Serving)
        .await;
    for node in [&a, &b] {
        tokio::spawn(serve(node, health.clone(), ServeLimits::default()).unwrap());
    }
    let request = || HealthCheckRequest {
        service: "disk".to_owned(),
    };
    for (caller, called) in [(&a, &b), (&b, &a)] {
        let mut client = HealthClient::new(caller.channel(called.local_peer()));
        let answer = client.check(request()).await.unwrap().into_inner();
        assert_eq!(answer.status, ServingStatus::Serving as i32);
    }
    let mut client = HealthClient::new(b.channel(a.local_peer()));
    let mut watch = client.watch(request()).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status, ServingStatus::Serving as i32);
    reporter
        .set_service_status("disk", ServingStatus::NotServing)
        .await;
    let second = timeout(LIMIT, watch.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(second.status, ServingStatus::NotServing as i32);
}

#[tokio::test]
async fn the_service_sees_the_proved_name_of_the_caller() {
    let (a, b) = Realm::new().pair().await;
    Probe::default().serve(&a, ServeLimits::default());
    let answer = b
        .channel(a.local_peer())
        .oneshot(get("/who"))
        .await
        .unwrap();
    assert_eq!(text(answer).await, b.local_peer().to_string());
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(&a, ServeLimits::default());
    let call = tokio::spawn(b.channel(a.local_peer()).oneshot(get("/never")));
    until(|| probe.running() == 1).await;
    call.abort();
    until(|| probe.running() == 0).await;
}

#[tokio::test]
async fn a_dropped_answer_ends_the_stream_at_the_server() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(&a, ServeLimits::default());
    let answer = b
        .channel(a.local_peer())
        .oneshot(get("/flood"))
        .await
        .unwrap();
    assert_eq!(probe.running(), 1);
    drop(answer);
    until(|| probe.running() == 0).await;
}

#[tokio::test]
async fn the_callers_deadline_ends_the_call_on_both_sides() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(&a, ServeLimits::default());
    let mut request = get("/never");
    request
        .headers_mut()
        .insert("grpc-timeout", "200m".parse().unwrap());
    let late = b
        .channel(a.local_peer())
        .oneshot(request)
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    until(|| probe.running() == 0).await;
}

#[tokio::test]
async fn the_servers_own_limit_ends_a_call_without_a_deadline() {
    let (a, b) = Realm::new().pair().await;
    let limits = ServeLimits {
        answer: Duration::from_millis(200),
        ..ServeLimits::default()
    };
    Probe::default().serve(&a, limits);
    let answer = b
        .channel(a.local_peer())
        .oneshot(get("/never"))
        .await
        .unwrap();
    assert_eq!(grpc_status(&answer), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_call_too_many_is_refused_with_a_reason_on_either_side() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(
        &a,
        ServeLimits {
            calls_per_peer: 2,
            ..ServeLimits::default()
        },
    );
    let channel = b.channel(a.local_peer());
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(channel.clone().oneshot(get("/wait"))))
        .collect();
    until(|| probe.running() == 2).await;
    let refused = channel.oneshot(get("/who")).await.unwrap();
    assert_eq!(grpc_status(&refused), Code::ResourceExhausted);
    assert!(
        refused.headers()["grpc-message"]
            .to_str()
            .unwrap()
            .contains("2%20calls")
    );

    let limits = CallLimits {
        in_flight: 0,
        ..CallLimits::default()
    };
    let narrow = PeerChannel::new(&b, a.local_peer(), limits);
    let refused = narrow.oneshot(get("/who")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("0 calls to"), "{refused}");

    probe.release.notify_waiters();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_connection_too_many_is_refused_with_a_reason() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(
        &a,
        ServeLimits {
            connections_per_peer: 1,
            ..ServeLimits::default()
        },
    );
    b.channel(a.local_peer())
        .oneshot(get("/who"))
        .await
        .unwrap();
    let second = PeerChannel::new(&b, a.local_peer(), CallLimits::default());
    let refused = second.oneshot(get("/who")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(
        refused.message().contains("too many connections"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_cut() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(
        &a,
        ServeLimits {
            stall: Duration::from_millis(300),
            ..ServeLimits::default()
        },
    );
    let unread = b
        .channel(a.local_peer())
        .oneshot(get("/flood"))
        .await
        .unwrap();
    assert_eq!(probe.running(), 1);
    until(|| probe.running() == 0).await;
    let cut = unread.into_body().collect().await;
    assert!(cut.is_err());
    // Only that stream: the connection goes on.
    let answer = b
        .channel(a.local_peer())
        .oneshot(get("/who"))
        .await
        .unwrap();
    assert_eq!(text(answer).await, b.local_peer().to_string());
}

#[tokio::test]
async fn a_request_that_is_too_large_or_stops_halfway_is_refused() {
    let (a, b) = Realm::new().pair().await;
    Probe::default().serve(
        &a,
        ServeLimits {
            request_bytes: 100_000,
            stall: Duration::from_millis(300),
            ..ServeLimits::default()
        },
    );
    let channel = b.channel(a.local_peer());
    let sized = |size: usize| {
        let body = Body::new(http_body_util::Full::new(bytes::Bytes::from(vec![0; size])));
        Request::post("/length").body(body).unwrap()
    };
    let fits = channel.clone().oneshot(sized(100_000)).await.unwrap();
    assert_eq!(text(fits).await, "100000");
    let large = channel.clone().oneshot(sized(100_001)).await.unwrap();
    assert_eq!(grpc_status(&large), Code::ResourceExhausted);
    let endless = http_body_util::StreamBody::new(futures::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, Infallible>,
    >());
    let request = Request::post("/length").body(Body::new(endless)).unwrap();
    let stopped = channel.oneshot(request).await.unwrap();
    assert_eq!(grpc_status(&stopped), Code::DeadlineExceeded);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let (a, b) = Realm::new().pair().await;
    let probe = Probe::default();
    probe.serve(&a, ServeLimits::default());
    let mut request = get("/who");
    let large = "x".repeat(20_000).parse().unwrap();
    request.headers_mut().insert("x-large", large);
    let refused = b.channel(a.local_peer()).oneshot(request).await;
    let answered = matches!(&refused, Ok(response) if response.status().is_success());
    assert!(!answered, "{refused:?}");
}

#[tokio::test]
async fn a_channel_connects_again_after_its_peer_came_back() {
    let realm = Realm::new();
    let a = realm.node().await;
    let mut settings = realm.settings();
    let b = Network::start(settings.clone()).await.unwrap();
    Probe::default().serve(&b, ServeLimits::default());
    let at = address(&b).await;
    a.join(std::slice::from_ref(&at), LIMIT).await.unwrap();
    let channel = a.channel(b.local_peer());
    channel.clone().oneshot(get("/who")).await.unwrap();
    b.leave().await.unwrap();
    until(|| !connected(&a, b.local_peer())).await;
    let away = channel.clone().oneshot(get("/who")).await.unwrap_err();
    assert_eq!(away.code(), Code::Unavailable, "{away}");
    settings.listen = vec![at];
    let b = Network::start(settings).await.unwrap();
    Probe::default().serve(&b, ServeLimits::default());
    let answer = channel.oneshot(get("/who")).await.unwrap();
    assert_eq!(text(answer).await, a.local_peer().to_string());
}

#[tokio::test]
async fn a_raw_stream_that_says_nothing_is_closed() {
    use oc_federation::Protocol;
    use tokio::io::AsyncReadExt as _;
    let (a, b) = Realm::new().pair().await;
    Probe::default().serve(
        &a,
        ServeLimits {
            stall: Duration::from_millis(200),
            ..ServeLimits::default()
        },
    );
    let mut silent = b.open_stream(a.local_peer(), Protocol::Grpc).await.unwrap();
    let mut heard = Vec::new();
    let ended = timeout(LIMIT, silent.read_to_end(&mut heard)).await;
    assert!(ended.is_ok());
}
