//! Settles books without being asked: at once when an attempt of ours has ended, and again while something is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use oc_kernel::{Clock, GrantId};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::domain::{Accounting, AccountingError};
use crate::metrics::AccountingMetrics;

/// How long after its end an attempt without a record makes us ask again, in ms. Later a settlement has to be
/// asked for: the attempt was perhaps never started.
const PATIENCE_MS: u64 = 15 * 60_000;

/// Books that are settled at the same time; a partner that does not answer keeps no other waiting.
const AT_ONCE: usize = 16;

/// Settles what is unsettled whenever an attempt of ours has ended and every `interval`, until told to stop.
pub(crate) async fn run(
    accounting: Accounting,
    clock: Arc<dyn Clock>,
    metrics: AccountingMetrics,
    interval: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut settler = Settler {
        accounting: accounting.clone(),
        metrics,
        under_way: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            Some(ended) = settler.tasks.join_next() => {
                if !settler.over(ended) {
                    continue;
                }
            }
            () = accounting.attempt_ended() => {}
            _ = ticks.tick() => {}
        }
        if let Err(error) = settler.begin(clock.now_ms()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot look for unsettled books");
        }
    }
}

struct Settler {
    accounting: Accounting,
    metrics: AccountingMetrics,
    /// Grants whose books are being settled, and whether that was asked for once more meanwhile.
    under_way: BTreeMap<GrantId, bool>,
    tasks: JoinSet<GrantId>,
}

impl Settler {
    /// Whether the grant that was settled is to be settled again.
    fn over(&mut self, ended: Result<GrantId, JoinError>) -> bool {
        match ended {
            Ok(grant) => self.under_way.remove(&grant) == Some(true),
            // Which one panicked is not known. To settle another one twice does no harm.
            Err(_) => {
                self.under_way.clear();
                false
            }
        }
    }

    async fn begin(&mut self, now_ms: u64) -> Result<(), AccountingError> {
        let since = now_ms.saturating_sub(PATIENCE_MS);
        for grant in self.accounting.unsettled(since).await? {
            if let Some(again) = self.under_way.get_mut(&grant) {
                *again = true;
            } else if self.under_way.len() < AT_ONCE {
                self.under_way.insert(grant, false);
                let (accounting, metrics) = (self.accounting.clone(), self.metrics.clone());
                self.tasks.spawn(async move {
                    settle(&accounting, &metrics, grant).await;
                    grant
                });
            }
        }
        Ok(())
    }
}

async fn settle(accounting: &Accounting, metrics: &AccountingMetrics, grant: GrantId) {
    match accounting.settle(grant).await {
        Ok(settled) if settled.countersigned => {
            metrics.settlement("agreed");
            tracing::debug!(%grant, size = settled.size, "books are settled");
        }
        Ok(settled) if settled.causes.is_empty() => {
            metrics.settlement("waiting");
            tracing::debug!(%grant, size = settled.size, "a record is on its way");
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
