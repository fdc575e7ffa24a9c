//! Deadlines of calls: reading `grpc-timeout`, waiting for an answer to begin, and ending a body that
//! outlives its deadline, stays silent too long, or would hold up a node that stops.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The deadline a gRPC caller sent: at most eight digits and a unit.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// When something last moved.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(crate) fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends once nothing moved for `limit`.
    pub(crate) async fn silent_for(self, limit: Duration) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let due = last + limit;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// A request body that tells when it moves, so that a long upload does not count as silence.
pub(crate) fn watched(body: Body, activity: Activity) -> Body {
    Body::new(Watched { body, activity })
}

struct Watched {
    body: Body,
    activity: Activity,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.activity.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// What may end a response body before its own end.
pub(crate) struct Limits {
    /// The time by which all of it must have come.
    pub(crate) deadline: Option<Instant>,
    /// The longest silence between two frames.
    pub(crate) idle: Option<Duration>,
    /// Ends when the node stops: a stream that waits for news is cut then, one that moves goes on.
    pub(crate) stop: Option<BoxFuture<'static, ()>>,
}

/// The body under its limits. A gRPC body ends with the trailers that say why, any other just ends.
pub(crate) fn limited(body: Body, rpc: bool, limits: Limits) -> Body {
    let Limits {
        deadline,
        idle,
        stop,
    } = limits;
    let nothing = deadline.is_none() && idle.is_none() && stop.is_none();
    if nothing || http_body::Body::is_end_stream(&body) {
        return body;
    }
    let activity = Activity::now();
    let silence = idle.map(|limit| activity.clone().silent_for(limit));
    let end = async move {
        let overdue = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let silent = async {
            match silence {
                Some(silence) => silence.await,
                None => pending().await,
            }
        };
        let stopped = async {
            match stop {
                Some(stop) => stop.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = overdue => Status::deadline_exceeded("the deadline of this call passed"),
            () = silent => Status::deadline_exceeded("nothing came on this stream for too long"),
            () = stopped => Status::unavailable("this node stops: call again"),
        }
    };
    Body::new(Limited {
        body,
        rpc,
        activity,
        deadline,
        end: Some(Box::pin(end)),
    })
}

struct Limited {
    body: Body,
    rpc: bool,
    activity: Activity,
    deadline: Option<Instant>,
    /// None once the body ended.
    end: Option<BoxFuture<'static, Status>>,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(end) = self.end.as_mut() else {
            return Poll::Ready(None);
        };
        let ended = end.as_mut().poll(cx);
        let overdue = self.deadline.is_some_and(|at| at <= Instant::now());
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match (polled, ended) {
            (Poll::Ready(None), _) => {
                self.end = None;
                Poll::Ready(None)
            }
            (Poll::Ready(frame), Poll::Pending) => {
                self.activity.touch();
                Poll::Ready(frame)
            }
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            // Only a deadline stops a stream that still moves.
            (Poll::Ready(frame), Poll::Ready(status)) if !overdue => {
                self.end = Some(Box::pin(async move { status }));
                Poll::Ready(frame)
            }
            (_, Poll::Ready(status)) => {
                self.end = None;
                self.body = Body::empty();
                if !self.rpc {
                    return Poll::Ready(None);
                }
                let mut trailers = HeaderMap::new();
                match status.add_header(&mut trailers) {
                    Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    Err(status) => Poll::Ready(Some(Err(axum::Error::new(status)))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn headers(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(GRPC_TIMEOUT),
            text.parse().unwrap(),
        )])
    }

    #[test]
    fn a_deadline_is_read_in_each_unit_and_nothing_else() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("10S", Duration::from_secs(10)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("7u", Duration::from_micros(7)),
            ("9n", Duration::from_nanos(9)),
        ] {
            assert_eq!(grpc_timeout(&headers(text)), Some(expected), "{text}");
        }
        for text in ["", "S", "10", "10s", "-1S", "100000000S", "1.5S"] {
            assert_eq!(grpc_timeout(&headers(text)), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_never_pauses_still_ends_at_its_deadline() {
        let frame = || Ok::<_, axum::Error>(Frame::data(Bytes::from_static(b"x")));
        let endless = Body::new(StreamBody::new(futures::stream::repeat_with(frame)));
        let deadline = Some(Instant::now() + Duration::from_millis(30));
        let limits = Limits {
            deadline,
            idle: None,
            stop: None,
        };
        let mut body = limited(endless, true, limits);
        let trailers = loop {
            // Tokio's timer moves only when this task yields.
            tokio::task::yield_now().await;
            let frame = body.frame().await.unwrap().unwrap();
            if let Ok(trailers) = frame.into_trailers() {
                break trailers;
            }
        };
        assert_eq!(trailers["grpc-status"], "4");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_that_moves_outlives_a_wish_to_stop() {
        let frames = ["a", "b"].map(|text| Ok::<_, axum::Error>(Frame::data(Bytes::from(text))));
        let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let stop: BoxFuture<'static, ()> = Box::pin(std::future::ready(()));
        let limits = Limits {
            deadline: None,
            idle: None,
            stop: Some(stop),
        };
        let all = limited(body, true, limits).collect().await.unwrap();
        assert!(all.trailers().is_none());
        assert_eq!(all.to_bytes(), "ab");
    }
}
