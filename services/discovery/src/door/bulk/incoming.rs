//! What partners fetch from our services and send to them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use oc_door::{BULK_TOKEN, BulkRole, LENGTH, SHA256};
use oc_federation::bulk::{
    BulkHandler, BulkOperation, BulkRefusal, BulkRequest, BulkSink, BulkSource, BulkStored,
};
use oc_federation::{PeerId, PeerInfo};
use oc_kernel::{Kind, OrgId};
use oc_service::Problem;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::io::StreamReader;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::Received;
use crate::discovery::Discovery;
use crate::domain::error::DiscoveryError;
use crate::door::Line;

const QUEUE: usize = 4;
/// Longest body of an inner answer that is no object.
const ANSWER_BYTES: usize = 64 * 1024;

/// Serves partners' transfers.
pub(crate) struct BulkDoor(Arc<Discovery>);

impl BulkDoor {
    pub(crate) const fn new(discovery: Arc<Discovery>) -> Self {
        Self(discovery)
    }

    /// Only partners transfer, and only while they are not blocked.
    fn admit(&self, peer: PeerId) -> Result<OrgId, BulkRefusal> {
        let partner = self.0.directory.partner_of(peer);
        let partner = partner.ok_or_else(|| BulkRefusal::from_error(&DiscoveryError::Stranger))?;
        let org = partner.record.org_id;
        match partner.record.blocked {
            Some(_) => Err(BulkRefusal::from_error(&DiscoveryError::Blocked(org))),
            None => Ok(org),
        }
    }

    fn line(&self, peer: PeerInfo, request: &BulkRequest) -> Line {
        let verb = match request.operation {
            BulkOperation::Get => "get",
            BulkOperation::Put => "put",
        };
        let method = format!("bulk {verb} {}", request.key);
        let mut line = Line::new(&*self.0.clock, "in", &method);
        line.call.peer_id = peer.peer_id.to_string();
        line
    }

    async fn open(
        &self,
        peer: PeerInfo,
        request: &BulkRequest,
        line: &mut Line,
    ) -> Result<BulkSource, BulkRefusal> {
        line.call.org_id = self.admit(peer.peer_id)?.to_string();
        let (target, inner) = inner(request, Body::empty())?;
        target.clone_into(&mut line.call.service);
        let response = self.ask(target, inner).await?;
        let number = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok()?.parse::<u64>().ok()
        };
        let broken = || BulkRefusal {
            kind: Kind::Internal,
            reason: "the service behind the door gave no length".to_owned(),
        };
        let total = number(&LENGTH).ok_or_else(broken)?;
        let rest = total
            .checked_sub(request.offset)
            .ok_or_else(|| BulkRefusal {
                kind: Kind::Invalid,
                reason: format!("the object has {total} bytes"),
            })?;
        let sha256 = response.headers().get(SHA256);
        let sha256 = sha256
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = response.into_body().into_data_stream();
        let reader = StreamReader::new(body.map_err(std::io::Error::other));
        Ok(BulkSource {
            reader: Box::pin(reader),
            length: request.length.map_or(rest, |most| most.min(rest)),
            total,
            sha256,
        })
    }

    async fn ask(
        &self,
        target: &'static str,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, BulkRefusal> {
        let channel = self.0.switchboard.channel("discovery", target);
        ask(channel, request).await
    }
}

async fn ask(
    channel: oc_service::Channel,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, BulkRefusal> {
    let response = channel
        .oneshot(request)
        .await
        .map_err(|status| BulkRefusal::from_error(&DiscoveryError::Answer(status.into())))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let body = answer_of(response).await;
    let problem = serde_json::from_slice::<Problem>(&body).ok();
    Err(BulkRefusal {
        kind: problem
            .as_ref()
            .and_then(Problem::kind)
            .unwrap_or(Kind::Unavailable),
        reason: problem.map_or_else(|| "the transfer is refused".to_owned(), |p| p.detail),
    })
}

async fn answer_of(response: http::Response<Body>) -> Bytes {
    let body = Limited::new(response.into_body(), ANSWER_BYTES);
    body.collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default()
}

/// The request inside the organisation for a transfer from outside.
fn inner(
    request: &BulkRequest,
    body: Body,
) -> Result<(&'static str, http::Request<Body>), BulkRefusal> {
    let refused = |kind, reason: &str| BulkRefusal {
        kind,
        reason: reason.to_owned(),
    };
    let (target, prefix) = match BulkRole::from_name(&request.key) {
        Some(BulkRole::Data) => ("sentinel-provider", "/api/data"),
        Some(BulkRole::Objects) => ("compute-provider", "/api/compute"),
        None => {
            return Err(refused(
                Kind::Malformed,
                "the key is a role: data or objects",
            ));
        }
    };
    let method = match (request.operation, target) {
        (BulkOperation::Get, _) => Method::GET,
        (BulkOperation::Put, "compute-provider") => Method::PUT,
        (BulkOperation::Put, _) => {
            return Err(refused(Kind::Forbidden, "nothing is put into a dataset"));
        }
    };
    let inner = http::Request::builder()
        .method(method)
        .uri(format!("{prefix}/internal/bulk?offset={}", request.offset))
        .header(BULK_TOKEN, &request.authority)
        .body(body);
    let inner = inner.map_err(|_| refused(Kind::Malformed, "the token is not one"))?;
    Ok((target, inner))
}

#[async_trait]
impl BulkHandler for BulkDoor {
    async fn get(&self, peer: PeerInfo, request: &BulkRequest) -> Result<BulkSource, BulkRefusal> {
        let mut line = self.line(peer, request);
        let outcome = self.open(peer, request, &mut line).await;
        log(line, &self.0, outcome.as_ref().err());
        outcome
    }

    async fn put(
        &self,
        peer: PeerInfo,
        request: &BulkRequest,
    ) -> Result<Box<dyn BulkSink>, BulkRefusal> {
        let mut line = self.line(peer, request);
        let outcome = self.admit(peer.peer_id).and_then(|org| {
            line.call.org_id = org.to_string();
            let (queue, pieces) = mpsc::channel(QUEUE);
            let (target, inner) = inner(request, body_of(pieces))?;
            target.clone_into(&mut line.call.service);
            let channel = self.0.switchboard.channel("discovery", target);
            Ok(InnerPut {
                offset: request.offset,
                queue,
                answer: tokio::spawn(
                    async move { Ok(answer_of(ask(channel, inner).await?).await) },
                ),
            })
        });
        log(line, &self.0, outcome.as_ref().err());
        Ok(Box::new(outcome?))
    }

    async fn recheck(&self, peer: PeerInfo, _: &BulkRequest) -> Result<(), BulkRefusal> {
        self.admit(peer.peer_id).map(|_| ())
    }
}

fn log(mut line: Line, discovery: &Discovery, refusal: Option<&BulkRefusal>) {
    line.call.outcome = refusal
        .map_or("ok", |refusal| refusal.kind.as_str())
        .to_owned();
    line.call.cause = refusal.map_or_else(String::new, ToString::to_string);
    line.call.micros = crate::peers::micros(line.began.elapsed());
    discovery.calls.add(line.call, line.counted_only);
}

/// A piece of an upload; the end is said, since a sender that vanishes must not look like one that is done.
enum Piece {
    Bytes(Bytes),
    End,
}

fn body_of(pieces: mpsc::Receiver<Piece>) -> Body {
    let pieces = futures::stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(http_body::Frame::data(bytes)), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(Status::cancelled("the sender is gone")), None)),
        }
    });
    Body::new(StreamBody::new(pieces.boxed()))
}

/// A put that goes on inside.
struct InnerPut {
    offset: u64,
    queue: mpsc::Sender<Piece>,
    answer: JoinHandle<Result<Bytes, BulkRefusal>>,
}

impl InnerPut {
    async fn answer(self) -> Result<u64, BulkRefusal> {
        let broken = |reason: &str| BulkRefusal {
            kind: Kind::Internal,
            reason: reason.to_owned(),
        };
        drop(self.queue);
        let answer = self.answer.await;
        let answer = answer.map_err(|_| broken("the service behind the door broke off"))??;
        let received = serde_json::from_slice::<Received>(&answer);
        let received = received.map_err(|_| broken("the service behind the door said nothing"))?;
        Ok(received.received)
    }
}

#[async_trait]
impl BulkSink for InnerPut {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BulkRefusal> {
        if self.queue.send(Piece::Bytes(bytes)).await.is_ok() {
            return Ok(());
        }
        // The service has answered before the end: that is a refusal.
        let stopped = BulkRefusal {
            kind: Kind::Unavailable,
            reason: "the service behind the door took no more".to_owned(),
        };
        match (&mut self.answer).await {
            Ok(Err(refusal)) => Err(refusal),
            Ok(Ok(_)) | Err(_) => Err(stopped),
        }
    }

    async fn finish(self: Box<Self>) -> Result<BulkStored, BulkRefusal> {
        // Nobody listens when the service has answered already; its answer tells.
        let _ = self.queue.send(Piece::End).await;
        Ok(BulkStored {
            total: self.answer().await?,
            sha256: None,
        })
    }
}
