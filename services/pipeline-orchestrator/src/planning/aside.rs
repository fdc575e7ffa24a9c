//! Work for the processor alone, beside the threads that serve others. It is told to end when nobody waits for it
//! any more: the person has gone, or the time is over.

use tokio_util::sync::CancellationToken;

use crate::error::RunError;

/// Does `work` aside. It gets a token that is cancelled when the future is dropped.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce(&CancellationToken) -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    let given_up = CancellationToken::new();
    let token = given_up.clone();
    let _guard = given_up.drop_guard();
    match tokio::task::spawn_blocking(move || work(&token)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(RunError::State("this node is stopping".to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_to_end() {
        let (begun, begins) = oneshot::channel();
        let (ended, ends) = oneshot::channel();
        let work = aside(move |given_up| {
            begun.send(()).unwrap();
            while !given_up.is_cancelled() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
            Ok(())
        });
        let waiting = tokio::spawn(work);
        begins.await.unwrap();
        waiting.abort();
        let ended = tokio::time::timeout(Duration::from_secs(10), ends).await;
        ended.expect("it ends").unwrap();
    }
}
