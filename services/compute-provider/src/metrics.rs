//! The metrics of this service, all named here.

use oc_service::telemetry::{IntCounterVec, IntGaugeVec, Metrics as Registry};

/// The metrics of this service.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) reservations: IntCounterVec,
    pub(crate) submissions: IntCounterVec,
    pub(crate) attempts: IntCounterVec,
    pub(crate) grants: IntCounterVec,
    leases: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            reservations: registry.counter(
                "oc_compute_reservations_total",
                "Wishes to hold capacity.",
                &["outcome"],
            )?,
            submissions: registry.counter(
                "oc_compute_submissions_total",
                "Attempts that were submitted.",
                &["outcome"],
            )?,
            attempts: registry.counter(
                "oc_compute_attempts_total",
                "Attempts that ended.",
                &["outcome"],
            )?,
            grants: registry.counter(
                "oc_compute_grants_total",
                "Grants that were accepted or revoked.",
                &["change"],
            )?,
            leases: registry.gauge("oc_compute_leases", "Leases that live.", &[])?,
        })
    }

    pub(crate) fn count_leases(&self, leases: usize) {
        let leases = i64::try_from(leases).unwrap_or(i64::MAX);
        self.leases.with_label_values::<&str>(&[]).set(leases);
    }
}
