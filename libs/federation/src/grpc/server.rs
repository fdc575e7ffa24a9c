//! Answering peers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tonic::Status;
use tonic::body::Body;

use super::body::{RequestBody, ResponseBody};
use super::deadline::grpc_timeout;
use super::progress::{Progress, StallGuard};
use super::{CONNECTION_WINDOW, PeerInfo, STREAM_WINDOW};
use crate::streams::PeerStream;
use crate::{InboundStream, Network, NetworkError, PeerId, Protocol};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);

/// Bounds of what peers may ask of this node.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Calls of one peer at the same time; one more is refused at once with RESOURCE_EXHAUSTED.
    pub calls_per_peer: usize,
    /// HTTP/2 connections of one peer at the same time.
    pub connections_per_peer: usize,
    /// Bytes of one request, all its messages together.
    pub request_bytes: usize,
    /// Bytes of one request's headers.
    pub header_bytes: u32,
    /// From a request to the head of its answer; a shorter `grpc-timeout` wins.
    pub answer: Duration,
    /// How long a peer may neither send the rest of a request nor take the rest of an answer.
    pub stall: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            calls_per_peer: 256,
            connections_per_peer: 4,
            request_bytes: 16 * 1024 * 1024,
            header_bytes: 16 * 1024,
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(60),
        }
    }
}

/// What all connections of one peer share.
struct PeerBounds {
    calls: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// Answers the calls of a network's peers with a service, until the network is left or the returned future is
/// dropped. Each request carries a [`PeerInfo`] among its extensions.
///
/// # Errors
/// When someone answers them already.
pub fn serve<S>(
    network: &Network,
    service: S,
    limits: ServeLimits,
) -> Result<impl Future<Output = ()> + Send + 'static, NetworkError>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let network_id = network.id();
    let refusal = go_away("too many connections wait to be served");
    let mut streams = network.take_streams(Protocol::Grpc, refusal)?;
    Ok(async move {
        let mut peers: HashMap<PeerId, PeerBounds> = HashMap::new();
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                stream = streams.recv() => stream,
                Some(_) = connections.join_next() => continue,
            };
            let Some(InboundStream { peer, stream }) = stream else {
                return;
            };
            peers.retain(|_, bounds| Arc::strong_count(&bounds.connections) > 1);
            let bounds = peers.entry(peer).or_insert_with(|| PeerBounds {
                calls: Arc::new(Semaphore::new(limits.calls_per_peer)),
                connections: Arc::new(Semaphore::new(limits.connections_per_peer)),
            });
            let Ok(permit) = bounds.connections.clone().try_acquire_owned() else {
                connections.spawn(refuse(stream));
                continue;
            };
            let answering = Answering {
                service: service.clone(),
                calls: bounds.calls.clone(),
                info: PeerInfo {
                    peer_id: peer,
                    network_id,
                },
                limits,
            };
            connections.spawn(async move {
                answering.connection(stream).await;
                drop(permit);
            });
        }
    })
}

async fn refuse(mut stream: PeerStream) {
    let goodbye = async {
        let text = go_away("this peer has too many connections for calls");
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    if let Ok(Err(error)) = timeout(REFUSAL_DEADLINE, goodbye).await {
        tracing::debug!(%error, "a refusal did not reach the peer");
    }
}

/// Empty SETTINGS and GOAWAY with ENHANCE_YOUR_CALM and a reason (RFC 9113, sections 6.5, 6.8 and 7).
fn go_away(reason: &str) -> Bytes {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    let length = u32::try_from(8 + reason.len()).unwrap_or(8).to_be_bytes();
    let mut frames = SETTINGS.to_vec();
    frames.extend_from_slice(&length[1..]);
    frames.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    frames.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frames.extend_from_slice(reason.as_bytes());
    frames.into()
}

#[derive(Clone)]
struct Answering<S> {
    service: S,
    calls: Arc<Semaphore>,
    info: PeerInfo,
    limits: ServeLimits,
}

impl<S> Answering<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    async fn connection(self, stream: PeerStream) {
        let limits = self.limits;
        let peer = self.info.peer_id;
        let streams = u32::try_from(2 * limits.calls_per_peer).unwrap_or(u32::MAX);
        let guard = StallGuard {
            limit: limits.stall,
        };
        let answer = service_fn(move |request| self.clone().answer(request));
        let connection = Builder::new(guard)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(streams)
            .max_header_list_size(limits.header_bytes)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .serve_connection(TokioIo::new(Greeted::new(stream, limits.stall)), answer);
        if let Err(error) = connection.await {
            tracing::debug!(%peer, %error, "a connection for calls ended");
        }
    }

    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let progress = Progress::current();
        let Ok(permit) = self.calls.clone().try_acquire_owned() else {
            let text = format!(
                "{} calls of this peer are served already",
                self.limits.calls_per_peer
            );
            return Ok(Status::resource_exhausted(text).into_http());
        };
        let given = grpc_timeout(request.headers());
        let answer = given.map_or(self.limits.answer, |given| given.min(self.limits.answer));
        let started = Instant::now();
        let mut request = request.map(|body| {
            let limits = &self.limits;
            Body::new(RequestBody::new(body, limits.request_bytes, limits.stall))
        });
        request.extensions_mut().insert(self.info);
        let called = async {
            let Ok(()) = std::future::poll_fn(|cx| self.service.poll_ready(cx)).await;
            let Ok(response) = self.service.call(request).await;
            response
        };
        let Ok(response) = timeout(answer, called).await else {
            return Ok(Status::deadline_exceeded("the deadline of the call passed").into_http());
        };
        Ok(response.map(|body| {
            Body::new(ResponseBody {
                body,
                deadline: given.map(|given| Box::pin(sleep_until(started + given))),
                progress,
                _permit: permit,
            })
        }))
    }
}

/// A stream that must say something soon after it was opened.
struct Greeted {
    stream: PeerStream,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Greeted {
    fn new(stream: PeerStream, limit: Duration) -> Self {
        Self {
            stream,
            deadline: Some(Box::pin(sleep(limit))),
        }
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.deadline = None;
            return read;
        }
        let late = |deadline: &mut Pin<Box<Sleep>>| deadline.as_mut().poll(cx).is_ready();
        if self.deadline.as_mut().is_some_and(late) {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
