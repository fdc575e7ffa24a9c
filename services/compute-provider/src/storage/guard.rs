//! Streams that end when the authority behind them does.

use std::time::{Duration, Instant};

use futures::StreamExt as _;

use crate::error::Error;
use crate::ports::Stream;

/// How often a running stream is checked again.
const EVERY: Duration = Duration::from_secs(5);

/// The stream, cut with an error as soon as `check` refuses; it is asked again every 5 s.
pub(super) fn guarded<F, C>(mut stream: Stream, check: C) -> Stream
where
    C: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), Error>> + Send,
{
    let guarded = async_stream::try_stream! {
        let mut checked = Instant::now();
        loop {
            let due = EVERY.saturating_sub(checked.elapsed());
            // A stream that stands still is checked as well: what waits longest is what may have ended.
            let part = match tokio::time::timeout(due, stream.next()).await {
                Ok(None) => return,
                Ok(Some(part)) => Some(part?),
                Err(_) => None,
            };
            if checked.elapsed() >= EVERY {
                check().await.map_err(std::io::Error::other)?;
                checked = Instant::now();
            }
            if let Some(part) = part {
                yield part;
            }
        }
    };
    guarded.boxed()
}
