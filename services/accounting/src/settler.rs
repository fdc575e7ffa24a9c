//! Settles books without being asked: soon after an attempt of ours ended, and again while an objection stands.

use std::sync::Arc;
use std::time::Duration;

use oc_kernel::Clock;
use tokio_util::sync::CancellationToken;

use crate::domain::{Accounting, AccountingError};
use crate::metrics::AccountingMetrics;

/// How long after its end an attempt without a record makes us ask again, in ms. Later a settlement has to be
/// asked for: the attempt was perhaps never started.
const PATIENCE_MS: u64 = 15 * 60_000;

/// Settles what is unsettled every `interval`, until told to stop.
pub(crate) async fn run(
    accounting: Accounting,
    clock: Arc<dyn Clock>,
    metrics: AccountingMetrics,
    interval: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            settled = settle_all(&accounting, &metrics, clock.now_ms()) => {
                if let Err(error) = settled {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot look for unsettled books");
                }
            }
        }
    }
}

async fn settle_all(
    accounting: &Accounting,
    metrics: &AccountingMetrics,
    now_ms: u64,
) -> Result<(), AccountingError> {
    let since = now_ms.saturating_sub(PATIENCE_MS);
    for grant in accounting.unsettled(since).await? {
        match accounting.settle(grant).await {
            Ok(settled) if settled.countersigned => {
                metrics.settlement("agreed");
                tracing::debug!(%grant, size = settled.size, "books are settled");
            }
            Ok(settled) => {
                metrics.settlement("disputed");
                let causes: Vec<&str> = settled.causes.iter().map(|c| c.text.as_str()).collect();
                tracing::warn!(%grant, ?causes, "books are not settled");
            }
            Err(error) => {
                metrics.settlement("failed");
                let error = &error as &dyn std::error::Error;
                tracing::info!(%grant, error, "books cannot be settled now");
            }
        }
    }
    Ok(())
}
