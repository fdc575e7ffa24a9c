//! Waiting for something to become true, with a limit.

use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(40);

/// Asks until there is an answer.
///
/// # Panics
/// When none came within `limit`; the text is `what`.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            begin.elapsed() < limit,
            "{what}: not within {} s",
            limit.as_secs()
        );
        tokio::time::sleep(STEP).await;
    }
}
