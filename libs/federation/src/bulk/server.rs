//! Serving bulk data.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use oc_kernel::{Classify as _, Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::pace::Pace;
use super::{
    BulkAnswer, BulkError, BulkHandler, BulkOperation, BulkRefusal, BulkRequest, BulkSink, Tempo,
    frame,
};
use crate::grpc::PeerInfo;
use crate::streams::PeerStream;
use crate::{InboundStream, Network, NetworkError, PeerId, Protocol};

const CHUNK: usize = 256 * 1024;
const LOWER_HEX_DIGITS: usize = 64;
const DRAIN: Duration = Duration::from_secs(5);

/// Bounds of what peers may transfer at the same time.
#[derive(Debug, Clone, Copy)]
pub struct BulkLimits {
    /// Transfers of all peers.
    pub transfers: usize,
    /// Transfers of one peer.
    pub transfers_per_peer: usize,
    /// How slow they may be.
    pub tempo: Tempo,
    /// How often the handler is asked whether a transfer may go on.
    pub recheck: Duration,
}

impl Default for BulkLimits {
    fn default() -> Self {
        Self {
            transfers: 64,
            transfers_per_peer: 16,
            tempo: Tempo::default(),
            recheck: Duration::from_secs(5),
        }
    }
}

/// Serves the bulk transfers of a network's peers until the network is left or the returned future is dropped.
///
/// # Errors
/// When someone serves them already.
pub fn serve(
    network: &Network,
    handler: Arc<dyn BulkHandler>,
    limits: BulkLimits,
) -> Result<impl Future<Output = ()> + Send + 'static, NetworkError> {
    let network_id = network.id();
    let mut streams = network.take_streams(Protocol::Bulk, full("too many transfers wait"))?;
    Ok(async move {
        let all = Arc::new(Semaphore::new(limits.transfers));
        let mut peers: HashMap<PeerId, Arc<Semaphore>> = HashMap::new();
        let mut transfers = JoinSet::new();
        loop {
            let stream = tokio::select! {
                stream = streams.recv() => stream,
                Some(_) = transfers.join_next() => continue,
            };
            let Some(InboundStream { peer, stream }) = stream else {
                return;
            };
            peers.retain(|_, bound| Arc::strong_count(bound) > 1);
            let bound = peers
                .entry(peer)
                .or_insert_with(|| Arc::new(Semaphore::new(limits.transfers_per_peer)));
            let permits = (
                bound.clone().try_acquire_owned(),
                all.clone().try_acquire_owned(),
            );
            let (Ok(mine), Ok(one_of_all)) = permits else {
                transfers.spawn(refuse(stream, limits.tempo));
                continue;
            };
            let transfer = Transfer {
                handler: handler.clone(),
                peer: PeerInfo {
                    peer_id: peer,
                    network_id,
                },
                limits,
            };
            transfers.spawn(async move {
                transfer.run(stream).await;
                drop((mine, one_of_all));
            });
        }
    })
}

fn full(reason: &str) -> Bytes {
    let refusal = BulkAnswer::refusal(Kind::Exhausted, reason);
    frame::encode(&refusal).unwrap_or_default()
}

async fn refuse(mut stream: PeerStream, tempo: Tempo) {
    let goodbye = async {
        let text = full("too many transfers of this peer run already");
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    if let Ok(Err(error)) = timeout(tempo.idle, goodbye).await {
        tracing::debug!(%error, "a refusal did not reach the peer");
    }
}

struct Transfer {
    handler: Arc<dyn BulkHandler>,
    peer: PeerInfo,
    limits: BulkLimits,
}

impl Transfer {
    async fn run(&self, mut stream: PeerStream) {
        let mut pace = Pace::new(self.limits.tempo);
        let outcome = match pace.step(frame::read(&mut stream)).await {
            Ok(request) => self.carry_out(&request, &mut stream, &mut pace).await,
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return };
        tracing::debug!(peer = %self.peer.peer_id, %error, done = pace.done(), "a transfer failed");
        // Once bytes are on their way a frame would be taken for bytes: the stream is reset instead.
        if pace.done() == 0 {
            let reason = match &error {
                BulkError::Refused { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            let answer = BulkAnswer::refusal(error.kind(), &reason);
            let told = async {
                pace.step(frame::write(&mut stream, &answer)).await?;
                pace.step(stream.shutdown()).await
            };
            if let Err(error) = told.await {
                tracing::debug!(%error, "a refusal did not reach the peer");
            }
        }
    }

    async fn carry_out(
        &self,
        request: &BulkRequest,
        stream: &mut PeerStream,
        pace: &mut Pace,
    ) -> Result<(), BulkError> {
        let allowed = self.still_allowed(request);
        let transfer = async {
            match request.operation {
                BulkOperation::Get => self.send(request, stream, pace).await,
                BulkOperation::Put => self.receive(request, stream, pace).await,
            }
        };
        tokio::select! {
            outcome = transfer => outcome,
            refusal = allowed => Err(refused(refusal)),
        }
    }

    /// Ends when the handler no longer allows the transfer.
    async fn still_allowed(&self, request: &BulkRequest) -> BulkRefusal {
        loop {
            tokio::time::sleep(self.limits.recheck).await;
            if let Err(refusal) = self.handler.recheck(self.peer, request).await {
                return refusal;
            }
        }
    }

    async fn send(
        &self,
        request: &BulkRequest,
        stream: &mut PeerStream,
        pace: &mut Pace,
    ) -> Result<(), BulkError> {
        let source = self
            .handler
            .get(self.peer, request)
            .await
            .map_err(refused)?;
        let answer = BulkAnswer {
            length: source.length,
            total: source.total,
            sha256: source.sha256,
            ..BulkAnswer::accepted(request.offset)
        };
        let mut reader = source.reader.take(source.length);
        let mut buffer = vec![0; CHUNK];
        pace.step(frame::write(stream, &answer)).await?;
        while pace.done() < source.length {
            let read = reader.read(&mut buffer).await;
            let read = read.map_err(|error| BulkError::Local {
                cause: error.to_string(),
            })?;
            if read == 0 {
                return Err(BulkError::Local {
                    cause: "the object is shorter than announced".to_owned(),
                });
            }
            pace.step(stream.write_all(&buffer[..read])).await?;
            pace.passed(read)?;
        }
        pace.step(stream.shutdown()).await
    }

    async fn receive(
        &self,
        request: &BulkRequest,
        stream: &mut PeerStream,
        pace: &mut Pace,
    ) -> Result<(), BulkError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let digest = |text: &String| text.len() == LOWER_HEX_DIGITS && text.bytes().all(hex);
        if !request.sha256.as_ref().is_none_or(digest) {
            return Err(malformed("sha256 has 64 lowercase hexadecimal digits"));
        }
        let sink = self.handler.put(self.peer, request).await;
        let mut sink = sink.map_err(refused)?;
        let offset = sink.offset();
        pace.step(frame::write(stream, &BulkAnswer::accepted(offset)))
            .await?;
        let mut answer = BulkAnswer::accepted(offset);
        let outcome = match fill(&mut *sink, request, stream, pace).await? {
            Ok(()) => sink.finish().await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(stored) => {
                answer.total = stored.total;
                answer.sha256 = stored.sha256;
            }
            Err(refusal) => answer = BulkAnswer::refusal(refusal.kind, &refusal.reason),
        }
        pace.step(frame::write(stream, &answer)).await?;
        pace.step(stream.shutdown()).await?;
        Self::drain(stream).await;
        Ok(())
    }

    /// Lets a sender that was refused notice before its stream is reset under it.
    async fn drain(stream: &mut PeerStream) {
        let mut nowhere = tokio::io::sink();
        let drained = tokio::io::copy(stream, &mut nowhere);
        let _ = timeout(DRAIN, drained).await;
    }
}

/// Moves the bytes into the sink; the inner error is the sink's refusal.
async fn fill(
    sink: &mut dyn BulkSink,
    request: &BulkRequest,
    stream: &mut PeerStream,
    pace: &mut Pace,
) -> Result<Result<(), BulkRefusal>, BulkError> {
    let wanted = request
        .length
        .map(|total| total.saturating_sub(sink.offset()));
    let mut buffer = BytesMut::with_capacity(CHUNK);
    loop {
        buffer.reserve(CHUNK);
        let read = pace.step(stream.read_buf(&mut buffer)).await?;
        if read == 0 {
            break;
        }
        pace.passed(read)?;
        if wanted.is_some_and(|wanted| pace.done() > wanted) {
            return Ok(Err(other_size()));
        }
        if let Err(refusal) = sink.write(buffer.split().freeze()).await {
            return Ok(Err(refusal));
        }
    }
    match wanted {
        Some(wanted) if wanted != pace.done() => Ok(Err(other_size())),
        _ => Ok(Ok(())),
    }
}

fn other_size() -> BulkRefusal {
    BulkRefusal {
        kind: Kind::Invalid,
        reason: "the object has another size than announced".to_owned(),
    }
}

fn refused(refusal: BulkRefusal) -> BulkError {
    BulkError::Refused {
        kind: refusal.kind,
        reason: refusal.reason,
    }
}

fn malformed(reason: &str) -> BulkError {
    BulkError::Refused {
        kind: Kind::Malformed,
        reason: reason.to_owned(),
    }
}
