//! Settles books without being asked: at once when an attempt of ours has ended, again while something is open, and
//! now and then, since a provider may correct a record that we have signed.

use std::collections::{BTreeMap, BTreeSet};
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

/// The provider of a grant that is over is asked once in so many looks.
const RARELY: u64 = 60;

/// How often what is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Between two settlements of books that are unsettled.
    pub(crate) settle: Duration,
    /// Between two looks at books that are settled.
    pub(crate) look: Duration,
}

/// Settles what is unsettled whenever an attempt of ours has ended and every so often, until told to stop.
pub(crate) async fn run(
    accounting: Accounting,
    clock: Arc<dyn Clock>,
    metrics: AccountingMetrics,
    times: Times,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut settler = Settler {
        accounting: accounting.clone(),
        metrics,
        under_way: BTreeMap::new(),
        to_look_at: BTreeSet::new(),
        tasks: JoinSet::new(),
    };
    let mut ticks = tokio::time::interval(times.settle);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = tokio::time::interval(times.look);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            Some(ended) = settler.tasks.join_next() => {
                if !settler.over(ended) {
                    settler.look();
                    continue;
                }
            }
            _ = looks.tick() => {
                let every = looked % RARELY == 0;
                looked += 1;
                match accounting.signed().await {
                    Ok(signed) => {
                        let due = signed.into_iter().filter(|(_, in_force)| *in_force || every);
                        settler.to_look_at.extend(due.map(|(grant, _)| grant));
                        settler.look();
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "cannot look for signed books");
                    }
                }
                continue;
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
    /// Grants whose providers are to be asked whether their logs went on.
    to_look_at: BTreeSet<GrantId>,
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
                self.spawn(grant);
            }
        }
        Ok(())
    }

    /// Settles what is to be looked at, as far as there is room.
    fn look(&mut self) {
        while self.under_way.len() < AT_ONCE
            && let Some(grant) = self.to_look_at.pop_first()
        {
            if !self.under_way.contains_key(&grant) {
                self.spawn(grant);
            }
        }
    }

    fn spawn(&mut self, grant: GrantId) {
        self.under_way.insert(grant, false);
        let (accounting, metrics) = (self.accounting.clone(), self.metrics.clone());
        self.tasks.spawn(async move {
            settle(&accounting, &metrics, grant).await;
            grant
        });
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
