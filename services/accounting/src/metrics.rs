//! The metrics of accounting, all named here.

use oc_service::telemetry::{IntCounterVec, Metrics};

/// The metrics of accounting.
#[derive(Debug, Clone)]
pub(crate) struct AccountingMetrics {
    events: IntCounterVec,
    settlements: IntCounterVec,
}

impl AccountingMetrics {
    pub(crate) fn new(metrics: &Metrics) -> anyhow::Result<Self> {
        Ok(Self {
            events: metrics.counter(
                "oc_accounting_events_total",
                "Events about grants, usage and attempts: taken, put off, or left behind.",
                &["outcome"],
            )?,
            settlements: metrics.counter(
                "oc_accounting_settlements_total",
                "Settlements with providers that were not asked for: agreed, disputed, or failed.",
                &["outcome"],
            )?,
        })
    }

    pub(crate) fn event(&self, outcome: &str) {
        self.events.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn settlement(&self, outcome: &str) {
        self.settlements.with_label_values(&[outcome]).inc();
    }
}
