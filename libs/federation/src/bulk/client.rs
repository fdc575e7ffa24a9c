//! Asking a peer for bytes, or giving it some.

use std::future::Future;
use std::io;

use oc_kernel::Kind;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::pace::Pace;
use super::{BulkAnswer, BulkError, BulkRequest, Tempo, frame};
use crate::streams::PeerStream;
use crate::{Network, PeerId, Protocol};

const CHUNK: usize = 256 * 1024;

fn accepted(answer: BulkAnswer) -> Result<BulkAnswer, BulkError> {
    if answer.status == BulkAnswer::OK {
        return Ok(answer);
    }
    Err(BulkError::Refused {
        kind: Kind::from_name(&answer.status).unwrap_or(Kind::Unavailable),
        reason: answer.reason.unwrap_or(answer.status),
    })
}

fn local(error: &io::Error) -> BulkError {
    BulkError::Local {
        cause: error.to_string(),
    }
}

async fn ask(
    network: &Network,
    peer: PeerId,
    request: &BulkRequest,
    pace: &Pace,
) -> Result<(PeerStream, BulkAnswer), BulkError> {
    let mut stream = network.open_stream(peer, Protocol::Bulk).await?;
    pace.step(frame::write(&mut stream, request)).await?;
    let answer = pace.step(frame::read(&mut stream)).await?;
    Ok((stream, accepted(answer)?))
}

/// The bytes of an object as they come.
pub struct BulkReader {
    stream: PeerStream,
    left: u64,
    pace: Pace,
}

impl BulkReader {
    /// The next bytes; zero at the end of what was announced.
    ///
    /// # Errors
    /// When the peer stops before it.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BulkError> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let read = self
            .pace
            .step(self.stream.read(&mut buffer[..most]))
            .await?;
        if read == 0 {
            return Err(BulkError::Cut {
                done: self.pace.done(),
                cause: format!("{} bytes are missing", self.left),
            });
        }
        self.left -= read as u64;
        self.pace.passed(read)?;
        Ok(read)
    }
}

/// Opens an object at a peer for reading.
///
/// # Errors
/// When the peer cannot be reached or refuses.
pub async fn get(
    network: &Network,
    peer: PeerId,
    request: &BulkRequest,
    tempo: Tempo,
) -> Result<(BulkAnswer, BulkReader), BulkError> {
    let pace = Pace::new(tempo);
    let (stream, answer) = ask(network, peer, request, &pace).await?;
    let left = answer.length;
    let most = request.length.unwrap_or(u64::MAX);
    if left > most || answer.offset != request.offset {
        return Err(BulkError::Protocol {
            what: "it sends another part than was asked for".to_owned(),
        });
    }
    Ok((answer, BulkReader { stream, left, pace }))
}

/// Reads an object from a peer into a writer. A whole object is checked against the digest the peer gave.
///
/// # Errors
/// When the transfer fails; what was written until then is good to go on from.
pub async fn download<W: AsyncWrite + Unpin>(
    network: &Network,
    peer: PeerId,
    request: &BulkRequest,
    writer: &mut W,
    tempo: Tempo,
) -> Result<BulkAnswer, BulkError> {
    let (answer, mut reader) = get(network, peer, request, tempo).await?;
    let whole = answer.offset == 0 && answer.length == answer.total;
    let expected = answer.sha256.as_ref().filter(|_| whole);
    let mut digest = expected.map(|_| Sha256::new());
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        if let Some(digest) = digest.as_mut() {
            digest.update(&buffer[..read]);
        }
        let written = writer.write_all(&buffer[..read]).await;
        written.map_err(|error| local(&error))?;
    }
    writer.flush().await.map_err(|error| local(&error))?;
    if let (Some(expected), Some(digest)) = (expected, digest) {
        let found = hex::encode(digest.finalize());
        if found != *expected {
            let expected = expected.clone();
            return Err(BulkError::Damaged { expected, found });
        }
    }
    Ok(answer)
}

/// Gives an object to a peer. `open` is told from which byte on the peer wants it.
///
/// # Errors
/// When the transfer fails; the next attempt goes on where this one ended.
pub async fn put<R, F>(
    network: &Network,
    peer: PeerId,
    request: &BulkRequest,
    open: impl FnOnce(u64) -> F,
    tempo: Tempo,
) -> Result<BulkAnswer, BulkError>
where
    R: AsyncRead + Unpin,
    F: Future<Output = io::Result<R>>,
{
    let pace = Pace::new(tempo);
    let (stream, answer) = ask(network, peer, request, &pace).await?;
    let reader = open(answer.offset).await.map_err(|error| local(&error))?;
    let (mut answers, mut bytes) = tokio::io::split(stream);
    let mut pace = Pace::new(tempo);
    let sending = send(reader, &mut bytes, &mut pace);
    let stored = tokio::select! {
        biased;
        // Before the bytes have ended, an answer can only be a refusal.
        early = frame::read::<BulkAnswer, _>(&mut answers) => match early {
            Ok(answer) => answer,
            Err(error) => return Err(BulkError::Cut { done: 0, cause: error.to_string() }),
        },
        sent = sending => {
            sent?;
            pace.step(frame::read(&mut answers)).await?
        }
    };
    let stored = accepted(stored)?;
    if let (Some(expected), Some(found)) = (&request.sha256, &stored.sha256)
        && expected != found
    {
        let (expected, found) = (expected.clone(), found.clone());
        return Err(BulkError::Damaged { expected, found });
    }
    Ok(stored)
}

async fn send<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    mut reader: R,
    bytes: &mut W,
    pace: &mut Pace,
) -> Result<(), BulkError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).await;
        let read = read.map_err(|error| local(&error))?;
        if read == 0 {
            return pace.step(bytes.shutdown()).await;
        }
        pace.step(bytes.write_all(&buffer[..read])).await?;
        pace.passed(read)?;
    }
}
