//! Waiting for something to become true, with a limit.

use std::time::{Duration, Instant};

use anyhow::bail;

const STEP: Duration = Duration::from_millis(40);

/// Asks until there is an answer.
///
/// # Errors
/// The last error, or that nothing came, when the limit has passed.
pub(crate) async fn until<T, F, R>(what: &str, limit: Duration, mut ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> R,
    R: Future<Output = anyhow::Result<Option<T>>>,
{
    let begin = Instant::now();
    loop {
        let last = match ask().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if begin.elapsed() > limit {
            match last {
                Some(error) => return Err(error.context(what.to_owned())),
                None => bail!("{what}: nothing within {} s", limit.as_secs()),
            }
        }
        tokio::time::sleep(STEP).await;
    }
}
