//! Measures calls and bulk transfers between two nodes of a private network on the loopback interface and
//! prints one JSON document: `cargo run --release -p oc-federation --example calls`.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use oc_federation::bulk::{
    self, BulkHandler, BulkLimits, BulkOperation, BulkRefusal, BulkRequest, BulkSink, BulkSource,
    Tempo,
};
use oc_federation::grpc::{self, ServeLimits};
use oc_federation::{
    Network, NetworkId, NetworkSettings, NodeKey, PeerChannel, PeerInfo, SwarmKey,
};
use oc_kernel::Kind;
use tokio::io::{AsyncRead, ReadBuf};
use tonic::body::Body;
use tower::ServiceExt as _;

const SAMPLES: usize = 2000;
const CALLS: usize = 40_000;
const IN_FLIGHT: usize = 64;
const BULK_BYTES: u64 = 1 << 30;

struct Zeros;

impl AsyncRead for Zeros {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.initialize_unfilled();
        buffer.advance(buffer.remaining());
        Poll::Ready(Ok(()))
    }
}

struct Source;

#[async_trait]
impl BulkHandler for Source {
    async fn get(&self, _: PeerInfo, _: &BulkRequest) -> Result<BulkSource, BulkRefusal> {
        Ok(BulkSource {
            reader: Box::pin(Zeros),
            length: BULK_BYTES,
            total: BULK_BYTES,
            sha256: None,
        })
    }

    async fn put(&self, _: PeerInfo, _: &BulkRequest) -> Result<Box<dyn BulkSink>, BulkRefusal> {
        Err(BulkRefusal {
            kind: Kind::Unsupported,
            reason: "only reading is measured".to_owned(),
        })
    }

    async fn recheck(&self, _: PeerInfo, _: &BulkRequest) -> Result<(), BulkRefusal> {
        Ok(())
    }
}

async fn node(id: NetworkId, key: &SwarmKey) -> Result<Network, Box<dyn Error>> {
    let network = Network::start(NetworkSettings {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        ..NetworkSettings::new(id, key.clone(), NodeKey::generate(), "opencloud/bench")
    });
    Ok(network.await?)
}

async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(request.into_body()))
}

async fn call(channel: PeerChannel) -> Result<(), Box<dyn Error>> {
    use http_body_util::BodyExt as _;
    let body = Body::new(http_body_util::Full::new(Bytes::from_static(&[7; 64])));
    let response = channel.oneshot(Request::post("/echo").body(body)?).await?;
    response.into_body().collect().await?;
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures are the program's output")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (id, key) = (NetworkId::generate(), SwarmKey::generate());
    let (a, b) = (node(id, &key).await?, node(id, &key).await?);
    tokio::spawn(grpc::serve(
        &a,
        tower::service_fn(echo),
        ServeLimits::default(),
    )?);
    tokio::spawn(bulk::serve(&a, Arc::new(Source), BulkLimits::default())?);
    b.join(&a.listeners().await?, Duration::from_secs(15))
        .await?;
    let channel = b.channel(a.local_peer());
    call(channel.clone()).await?;

    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let started = Instant::now();
        call(channel.clone()).await?;
        samples.push(started.elapsed());
    }
    samples.sort_unstable();

    let started = Instant::now();
    let mut calls = futures::stream::iter(0..CALLS)
        .map(|_| call(channel.clone()))
        .buffer_unordered(IN_FLIGHT);
    while let Some(outcome) = calls.next().await {
        outcome?;
    }
    let per_second = CALLS as f64 / started.elapsed().as_secs_f64();

    let request = BulkRequest {
        operation: BulkOperation::Get,
        key: "zeros".to_owned(),
        authority: String::new(),
        offset: 0,
        length: None,
        sha256: None,
    };
    let started = Instant::now();
    let mut sink = tokio::io::sink();
    bulk::download(&b, a.local_peer(), &request, &mut sink, Tempo::default()).await?;
    let megabytes = BULK_BYTES as f64 / 1e6 / started.elapsed().as_secs_f64();
    let figures = serde_json::json!({
        "unary_p50_ms": samples[SAMPLES / 2].as_secs_f64() * 1e3,
        "unary_p99_ms": samples[SAMPLES * 99 / 100].as_secs_f64() * 1e3,
        "calls_per_second_64_in_flight": per_second,
        "bulk_megabytes_per_second": megabytes,
    });
    println!("{figures:#}");
    Ok(())
}
