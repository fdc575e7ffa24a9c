//! Notices a peer that asks for data and does not take it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Progress;
}

/// Since when data of one response waits for the peer to make room.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    /// The progress of the response whose task this is.
    pub(super) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// HTTP/2 asks for the next piece only when the peer has room for it.
    pub(super) fn asked(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn handed_over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    async fn stalled(&self, limit: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let next = since.unwrap_or_else(Instant::now) + limit;
            if since.is_some() && next <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

/// Runs each response in a task that ends, and so resets its stream, when it stalls.
#[derive(Debug, Clone)]
pub(super) struct StallGuard {
    pub(super) limit: Duration,
}

impl<F> hyper::rt::Executor<F> for StallGuard
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, response: F) {
        let limit = self.limit;
        let progress = Progress::default();
        let watched = progress.clone();
        tokio::spawn(CURRENT.scope(progress, async move {
            tokio::select! {
                _ = response => {}
                () = watched.stalled(limit) => {
                    tracing::debug!("a response is cut: the peer does not take it");
                }
            }
        }));
    }
}
