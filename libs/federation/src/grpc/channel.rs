//! Calling a peer.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use oc_kernel::Classify as _;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};

use super::body::{ReplyBody, lost};
use super::deadline::grpc_timeout;
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::network::WeakNetwork;
use crate::{Network, PeerId, Protocol, StreamError};

const CACHED: usize = 1024;
const HEADER_BYTES: u32 = 16 * 1024;
/// How long a closed connection's last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Bounds of the calls to one peer.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Calls on their way at the same time; one more is refused at once with RESOURCE_EXHAUSTED.
    pub in_flight: usize,
    /// From the call to the head of its answer, where the caller gives no `grpc-timeout`.
    pub answer: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            in_flight: 256,
            answer: Duration::from_secs(30),
        }
    }
}

/// A tower service that carries gRPC to one peer. Clones share one HTTP/2 connection, which is made at the
/// first call and again after it was lost. Dropping a call's future or its answer resets its stream.
#[derive(Clone)]
pub struct PeerChannel(Arc<Shared>);

struct Shared {
    network: WeakNetwork,
    peer: PeerId,
    open: Mutex<Option<Open>>,
    in_flight: Arc<Semaphore>,
    limits: CallLimits,
}

/// An HTTP/2 connection.
#[derive(Clone)]
struct Open {
    sender: SendRequest<Body>,
    /// Why it ended, once it has: a refusal of the whole connection is told nowhere else.
    ended: watch::Receiver<Option<Status>>,
}

impl Open {
    async fn refusal(&mut self) -> Option<Status> {
        let ended = self.ended.wait_for(Option::is_some);
        let ended = timeout(LAST_WORDS, ended).await.ok()?.ok()?;
        ended
            .clone()
            .filter(|status| status.code() == Code::ResourceExhausted)
    }
}

impl std::fmt::Debug for PeerChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerChannel({})", self.0.peer)
    }
}

impl PeerChannel {
    /// A channel with a connection and bounds of its own; [`Network::channel`] gives the shared one.
    pub fn new(network: &Network, peer: PeerId, limits: CallLimits) -> Self {
        Self(Arc::new(Shared {
            network: network.downgrade(),
            peer,
            open: Mutex::new(None),
            in_flight: Arc::new(Semaphore::new(limits.in_flight)),
            limits,
        }))
    }

    /// Who is called.
    pub fn peer(&self) -> PeerId {
        self.0.peer
    }
}

/// The shared channels of a network.
#[derive(Debug, Default)]
pub(crate) struct Channels(HashMap<PeerId, PeerChannel>);

impl Channels {
    pub(crate) fn get(&mut self, network: &Network, peer: PeerId) -> PeerChannel {
        if self.0.len() >= CACHED {
            self.0
                .retain(|_, channel| Arc::strong_count(&channel.0) > 1);
        }
        let new = || PeerChannel::new(network, peer, CallLimits::default());
        self.0.entry(peer).or_insert_with(new).clone()
    }
}

impl tower::Service<Request<Body>> for PeerChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move { shared.call(request).await })
    }
}

impl Shared {
    async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let permit = self.in_flight.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "{} calls to {} are on their way already",
                self.limits.in_flight, self.peer
            ))
        })?;
        address(&mut request)?;
        let given = grpc_timeout(request.headers());
        let deadline = Instant::now() + given.unwrap_or(self.limits.answer);
        let response = timeout_at(deadline, self.send(request))
            .await
            .map_err(|_| {
                Status::deadline_exceeded(format!("{} did not answer in time", self.peer))
            })??;
        Ok(response.map(|body| {
            Body::new(ReplyBody {
                body,
                deadline: given.map(|_| Box::pin(sleep_until(deadline))),
                _permit: permit,
            })
        }))
    }

    async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<hyper::body::Incoming>, Status> {
        let mut retried = false;
        loop {
            let mut open = self.open().await?;
            let mut failed = match open.sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            if open.sender.is_closed()
                && let Some(refusal) = open.refusal().await
            {
                return Err(refusal);
            }
            // A request that comes back never left: the connection had closed under it.
            match failed.take_message() {
                Some(unsent) if !retried => {
                    request = unsent;
                    retried = true;
                }
                _ => return Err(lost(failed.into_error().into())),
            }
        }
    }

    async fn open(&self) -> Result<Open, Status> {
        let mut current = self.open.lock().await;
        if let Some(open) = current.as_ref().filter(|open| !open.sender.is_closed()) {
            return Ok(open.clone());
        }
        let open = self.connect().await?;
        *current = Some(open.clone());
        Ok(open)
    }

    async fn connect(&self) -> Result<Open, Status> {
        let network = self.network.upgrade();
        let network = network.ok_or_else(|| refused(&StreamError::Closed))?;
        let stream = network
            .open_stream(self.peer, Protocol::Grpc)
            .await
            .map_err(|error| refused(&error))?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_BYTES)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| lost(error.into()))?;
        let peer = self.peer;
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let status = match connection.await {
                Ok(()) => Status::unavailable("the connection was closed"),
                Err(error) => lost(error.into()),
            };
            tracing::debug!(%peer, %status, "the connection for calls ended");
            end.send_replace(Some(status));
        });
        Ok(Open { sender, ended })
    }
}

/// HTTP/2 wants a scheme and an authority; the peer is named by the connection, so both are constant.
fn address(request: &mut Request<Body>) -> Result<(), Status> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("peer"));
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(())
}

fn refused(error: &StreamError) -> Status {
    Status::new(Code::from_i32(error.kind().grpc_code()), error.to_string())
}
