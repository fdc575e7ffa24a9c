//! Waiting for something to become true, with a limit: in vain it ends the test, or says so.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(40);

/// Asks until there is an answer.
///
/// # Panics
/// When none came within `limit`; the text is `what`.
pub async fn until<T>(what: &str, limit: Duration, ask: impl AsyncFnMut() -> Option<T>) -> T {
    let found = within(limit, ask).await;
    found.unwrap_or_else(|| panic!("{what}: not within {} s", limit.as_secs()))
}

/// Asks until there is an answer; none when none came within `limit`.
pub async fn within<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
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
