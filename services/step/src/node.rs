//! The node's side of an attempt: three routes for objects, opened by the attempt's macaroon.
//!
//! `GET inputs/{name}` with `Range`, `POST uploads` to announce, `PUT uploads/{name}` to send. What
//! breaks on the way is tried again for minutes, and no longer than the attempt's deadline; what the node refuses is not.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use oc_kernel::{Code, ObjectKey};
use oc_runner::Input;
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use crate::error::{Failed, StepError};

/// Longest silence within a transfer.
const SILENCE: Duration = Duration::from_secs(60);

/// First pause before another try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long one thing is tried without getting on: meanwhile the attempt holds its cores, and they are charged.
const PATIENCE: Duration = Duration::from_secs(180);

/// The routes of one attempt.
#[derive(Debug, Clone)]
pub struct Node {
    client: Client,
    base: Url,
    authorization: header::HeaderValue,
    deadline: Instant,
    stop: CancellationToken,
}

/// Asks the node to take an output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Announcement {
    /// Its name below the attempt's prefix.
    pub name: ObjectKey,
    /// Its length in bytes.
    pub length: u64,
    /// Digest of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// The node's answer to an announcement and to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// How far it is.
    pub state: UploadState,
}

/// How far an announced output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadState {
    /// Its bytes are wanted.
    Wanted,
    /// It is stored.
    Stored,
}

/// Tries of one thing, since it last got on.
struct Tries {
    since: Instant,
    pause: Duration,
}

impl Tries {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }
}

/// Why one try failed.
enum Failure {
    /// Another try may help.
    Passing(String),
    Final(StepError),
}

impl Node {
    /// The routes below `base`, opened by `macaroon`, used until `deadline` or until `stop`.
    ///
    /// # Errors
    /// When the address cannot carry a path or the macaroon is no header.
    pub fn new(
        base: &str,
        macaroon: &str,
        deadline: Instant,
        stop: CancellationToken,
    ) -> Result<Self, StepError> {
        let unusable = |what: &str| StepError::Job(format!("{what} cannot be used"));
        let base = Url::parse(base)
            .ok()
            .filter(|base| !base.cannot_be_a_base())
            .ok_or_else(|| unusable("the node's address"))?;
        let mut authorization = header::HeaderValue::from_str(&format!("Macaroon {macaroon}"))
            .map_err(|_| unusable("the macaroon"))?;
        authorization.set_sensitive(true);
        // The client wants one even where it never speaks TLS; a second installation is refused and harmless.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(SILENCE)
            .build()
            .map_err(|_| unusable("the HTTP client"))?;
        Ok(Self {
            client,
            base,
            authorization,
            deadline,
            stop,
        })
    }

    /// Fetches an input into a new file. `moved` is told the bytes as they come.
    ///
    /// # Errors
    /// When the node refuses it, it is not what was promised, or time runs out.
    pub async fn fetch(
        &self,
        input: &Input,
        target: &Path,
        moved: impl Fn(u64),
    ) -> Result<(), StepError> {
        let mut partial = Partial {
            file: File::create_new(target)
                .await
                .map_err(StepError::io(format!(
                    "create the file for input `{}`",
                    input.name
                )))?,
            digest: Sha256::new(),
            length: 0,
        };
        let what = format!("fetch input `{}`", input.name);
        let mut tries = Tries::begin();
        loop {
            let before = partial.length;
            let why = match self
                .within(self.fetch_rest(input, &mut partial, &moved))
                .await?
            {
                Ok(()) => return partial.check(input).await,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why)) => why,
            };
            if partial.length > before {
                tries = Tries::begin();
            }
            self.pause(&mut tries, &what, why).await?;
        }
    }

    async fn fetch_rest(
        &self,
        input: &Input,
        partial: &mut Partial,
        moved: &impl Fn(u64),
    ) -> Result<(), Failure> {
        let url = self.url(&["inputs", input.name.as_str()]);
        let mut request = self.client.get(url);
        if partial.length > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", partial.length));
        }
        let response = self
            .send(request, &format!("fetch input `{}`", input.name))
            .await?;
        if partial.length > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            let why = "the node does not continue where it was cut off".to_owned();
            return Err(Failure::Final(corrupt(input, why)));
        }
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Failure::Passing(chain(&error)))?;
            partial.take(input, &piece).await.map_err(Failure::Final)?;
            moved(piece.len() as u64);
        }
        if partial.length < input.length {
            return Err(Failure::Passing("the connection ended early".into()));
        }
        Ok(())
    }

    /// Asks whether an output's bytes are wanted.
    ///
    /// # Errors
    /// When the node refuses it, or time runs out.
    pub async fn announce(&self, announcement: &Announcement) -> Result<UploadState, StepError> {
        let what = format!("announce output `{}`", announcement.name);
        let mut tries = Tries::begin();
        loop {
            let request = self.client.post(self.url(&["uploads"])).json(announcement);
            let why = match self.within(self.send_for_state(request, &what)).await? {
                Ok(state) => return Ok(state),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why)) => why,
            };
            self.pause(&mut tries, &what, why).await?;
        }
    }

    /// Sends an announced output. `open` gives the file again for each try.
    ///
    /// # Errors
    /// When the node refuses it, or time runs out.
    pub async fn upload(
        &self,
        announcement: &Announcement,
        open: impl Fn() -> Result<std::fs::File, StepError>,
        moved: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), StepError> {
        let what = format!("store output `{}`", announcement.name);
        let segments = ["uploads"]
            .into_iter()
            .chain(announcement.name.as_str().split('/'));
        let url = self.url(&segments.collect::<Vec<_>>());
        let mut tries = Tries::begin();
        loop {
            let body = counted(open()?, moved.clone());
            let request = self
                .client
                .put(url.clone())
                .header(header::CONTENT_LENGTH, announcement.length)
                .body(Body::wrap_stream(body));
            let why = match self.within(self.send_for_state(request, &what)).await? {
                Ok(UploadState::Stored) => return Ok(()),
                Ok(UploadState::Wanted) => "the node still wants it".to_owned(),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why)) => why,
            };
            self.pause(&mut tries, &what, why).await?;
            // It may have arrived although the answer did not.
            if self.announce(announcement).await? == UploadState::Stored {
                return Ok(());
            }
        }
    }

    async fn send_for_state(
        &self,
        request: RequestBuilder,
        what: &str,
    ) -> Result<UploadState, Failure> {
        let response = self.send(request, what).await?;
        let answer = response.json::<Upload>().await;
        answer
            .map(|upload| upload.state)
            .map_err(|error| Failure::Passing(chain(&error)))
    }

    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response, Failure> {
        let request = request.header(header::AUTHORIZATION, self.authorization.clone());
        let response = request
            .send()
            .await
            .map_err(|error| Failure::Passing(chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let Problem { detail: why, code } = said(response).await;
        if matches!(status.as_u16(), 408 | 429 | 502..=504) {
            return Err(Failure::Passing(why));
        }
        let code = match code.as_deref().and_then(Code::from_name) {
            Some(Code::StorageFull) => Failed::StorageFull,
            _ if status == StatusCode::NOT_FOUND => Failed::DataGone,
            _ => Failed::Transfer,
        };
        Err(Failure::Final(StepError::Transfer {
            what: what.to_owned(),
            why,
            code,
        }))
    }

    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, StepError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(StepError::Stopped),
            () = tokio::time::sleep_until(self.deadline) => {
                Err(StepError::OutOfTime("the attempt's time ran out while objects were moved".into()))
            }
            done = work => Ok(done),
        }
    }

    async fn pause(&self, tries: &mut Tries, what: &str, why: String) -> Result<(), StepError> {
        let next = Instant::now() + tries.pause;
        let over = match (next >= self.deadline, tries.since.elapsed() >= PATIENCE) {
            (true, _) => Some("no time is left for another try".to_owned()),
            (_, true) => Some(format!("it was tried for {} s", PATIENCE.as_secs())),
            _ => None,
        };
        if let Some(over) = over {
            return Err(StepError::Transfer {
                what: what.to_owned(),
                why: format!("{why}; {over}"),
                code: Failed::Transfer,
            });
        }
        tracing::warn!(what, why, "trying again");
        self.within(tokio::time::sleep(tries.pause)).await?;
        tries.pause = (tries.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// A file that is being fetched.
struct Partial {
    file: File,
    digest: Sha256,
    length: u64,
}

impl Partial {
    async fn take(&mut self, input: &Input, piece: &Bytes) -> Result<(), StepError> {
        self.length += piece.len() as u64;
        if self.length > input.length {
            let why = format!("more than the promised {} bytes come", input.length);
            return Err(corrupt(input, why));
        }
        self.digest.update(piece);
        self.file
            .write_all(piece)
            .await
            .map_err(StepError::io(format!("write input `{}`", input.name)))
    }

    async fn check(mut self, input: &Input) -> Result<(), StepError> {
        self.file
            .flush()
            .await
            .map_err(StepError::io(format!("write input `{}`", input.name)))?;
        let digest = hex::encode(self.digest.finalize());
        if digest != input.sha256 {
            let why = format!("its SHA-256 is {digest} instead of {}", input.sha256);
            return Err(corrupt(input, why));
        }
        Ok(())
    }
}

fn corrupt(input: &Input, why: String) -> StepError {
    StepError::Corrupt {
        name: input.name.to_string(),
        why,
    }
}

fn counted(file: std::fs::File, moved: impl Fn(u64)) -> impl Stream<Item = std::io::Result<Bytes>> {
    let pieces = ReaderStream::with_capacity(File::from_std(file), 256 * 1024);
    pieces.inspect_ok(move |piece| moved(piece.len() as u64))
}

/// What a refusal says: the detail of its problem document (RFC 9457), or else its status.
async fn said(response: Response) -> Problem {
    let status = response.status();
    let said = response.json::<Problem>().await;
    said.unwrap_or_else(|_| Problem {
        detail: format!("the node answers {status}"),
        code: None,
    })
}

/// A refusal of the node.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    code: Option<String>,
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
