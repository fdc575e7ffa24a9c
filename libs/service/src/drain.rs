//! What a client still sends after it was answered. A connection that is closed over unread bytes is reset,
//! and the reset can overtake the answer: the client sees a broken pipe instead of the reason.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use http::{Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::rpc::Caller;

/// Most bytes that are read and thrown away; more than this and the client loses its connection.
const MOST: usize = 256 * 1024 * 1024;
/// Longest time for it. Clients that look for an answer while they send, such as curl, end sooner.
const LIMIT: Duration = Duration::from_secs(20);

/// Sees to it that what nobody read of this request's body is thrown away once the body is dropped. Only
/// HTTP/1 needs this: HTTP/2 resets the one stream. A client that waits for `100 Continue` has sent nothing.
pub(crate) fn drained(request: Request) -> Request {
    let inside = request.extensions().get::<Caller>().is_some();
    let waits = request.headers().contains_key(header::EXPECT);
    if inside || waits || request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(Drained(body)))
}

struct Drained(Body);

impl http_body::Body for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.0.is_end_stream() {
            return;
        }
        let (mut body, mut left) = (std::mem::take(&mut self.0), MOST);
        runtime.spawn(timeout(LIMIT, async move {
            while let Some(Ok(frame)) = body.frame().await {
                let read = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(read) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        }));
    }
}
