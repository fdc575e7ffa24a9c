//! Forgets reservations that ended long ago.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::provider::Provider;

const PAUSE: Duration = Duration::from_secs(60);

/// Runs until told to stop.
pub(crate) async fn sweep(provider: Provider, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(error) = provider.forget_reservations().await {
            let error = oc_service::problem::chain(&error);
            tracing::warn!(error, "old reservations cannot be forgotten yet");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
