//! Waiting that says in vain instead of ending the test.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(100);

/// Asks until there is an answer; none when none came within `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return Some(found);
        }
        if begin.elapsed() >= limit {
            return None;
        }
        tokio::time::sleep(STEP).await;
    }
}
