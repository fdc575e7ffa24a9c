//! The metrics of the catalogue, all named here.

use oc_service::telemetry::{IntCounterVec, IntGaugeVec, Metrics};

/// The metrics of the catalogue.
#[derive(Debug, Clone)]
pub(crate) struct CatalogMetrics {
    pulls: IntCounterVec,
    listings: IntGaugeVec,
}

impl CatalogMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        Ok(Self {
            pulls: metrics.counter(
                "oc_catalog_pulls_total",
                "Looks at partners' listings.",
                &["outcome"],
            )?,
            listings: metrics.gauge("oc_catalog_listings", "Listings that can be found.", &[])?,
        })
    }

    pub(crate) fn pulled(&self, succeeded: bool) {
        let outcome = if succeeded { "ok" } else { "failed" };
        self.pulls.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn count(&self, listings: usize) {
        let listings = i64::try_from(listings).unwrap_or(i64::MAX);
        self.listings.with_label_values::<&str>(&[]).set(listings);
    }
}
