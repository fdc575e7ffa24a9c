//! Bodies that keep the bounds of a call while it streams.

use std::error::Error;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status};

use super::progress::Progress;

type Timer = Pin<Box<Sleep>>;

fn over(timer: &mut Option<Timer>, cx: &mut Context<'_>) -> bool {
    timer
        .as_mut()
        .is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
}

/// A response on its way, at the caller: holds its place in the queue and ends at the deadline.
/// Dropping it resets the stream.
pub(super) struct ReplyBody {
    pub(super) body: hyper::body::Incoming,
    pub(super) deadline: Option<Timer>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if over(&mut self.deadline, cx) {
            let status = Status::deadline_exceeded("the deadline of the call passed");
            return Poll::Ready(Some(Err(status)));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_err(|error| lost(error.into()))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request on its way, at the server: bounded in size, and in how long it may pause.
pub(super) struct RequestBody {
    body: hyper::body::Incoming,
    left: usize,
    limit: usize,
    pause: Duration,
    silent: Option<Timer>,
}

impl RequestBody {
    pub(super) const fn new(body: hyper::body::Incoming, limit: usize, pause: Duration) -> Self {
        Self {
            body,
            left: limit,
            limit,
            pause,
            silent: None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let until = Instant::now() + this.pause;
            this.silent
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            if over(&mut this.silent, cx) {
                let status = Status::deadline_exceeded("the request stopped halfway");
                return Poll::Ready(Some(Err(status)));
            }
            return Poll::Pending;
        };
        this.silent = None;
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| lost(error.into()))?;
        if let Some(data) = frame.data_ref() {
            let Some(left) = this.left.checked_sub(data.len()) else {
                let text = format!("a request may have {} bytes", this.limit);
                return Poll::Ready(Some(Err(Status::resource_exhausted(text))));
            };
            this.left = left;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response on its way, at the server: holds its place, ends at the caller's deadline, tells its progress.
pub(super) struct ResponseBody {
    pub(super) body: tonic::body::Body,
    pub(super) deadline: Option<Timer>,
    pub(super) progress: Progress,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        this.progress.asked();
        if over(&mut this.deadline, cx) {
            let status = Status::deadline_exceeded("the deadline of the call passed");
            let mut trailers = http::HeaderMap::new();
            status.add_header(&mut trailers)?;
            this.deadline = None;
            this.body = tonic::body::Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = &frame {
            this.progress.handed_over();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A call that the connection lost. HTTP/2's own refusals keep their meaning.
pub(super) fn lost(error: Box<dyn Error + Send + Sync>) -> Status {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let code = match Status::from_error(error).code() {
        Code::Unknown | Code::Internal | Code::Cancelled => Code::Unavailable,
        code => code,
    };
    Status::new(code, text)
}
