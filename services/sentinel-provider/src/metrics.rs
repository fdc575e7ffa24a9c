//! The metrics of the data provider, all named here.

use oc_service::telemetry::{IntCounterVec, IntGaugeVec, Metrics};

/// The metrics of the data provider.
#[derive(Debug, Clone)]
pub(crate) struct DataMetrics {
    images: IntGaugeVec,
    reservations: IntCounterVec,
    transfers: IntCounterVec,
}

impl DataMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        Ok(Self {
            images: metrics.gauge("oc_data_images", "Images that can be found.", &[])?,
            reservations: metrics.counter(
                "oc_data_reservations_total",
                "Reservations asked for.",
                &["outcome"],
            )?,
            transfers: metrics.counter(
                "oc_data_transfers_total",
                "Files asked for by token.",
                &["outcome"],
            )?,
        })
    }

    pub(crate) fn count_images(&self, images: u64) {
        let images = i64::try_from(images).unwrap_or(i64::MAX);
        self.images.with_label_values::<&str>(&[]).set(images);
    }

    pub(crate) fn reserved(&self, succeeded: bool) {
        self.reservations
            .with_label_values(&[outcome(succeeded)])
            .inc();
    }

    pub(crate) fn opened(&self, succeeded: bool) {
        self.transfers
            .with_label_values(&[outcome(succeeded)])
            .inc();
    }
}

fn outcome(succeeded: bool) -> &'static str {
    if succeeded { "ok" } else { "refused" }
}
