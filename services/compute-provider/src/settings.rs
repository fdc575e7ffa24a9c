//! What an operator can set.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::lease::LeaseTerms;
use crate::runtime::process::ProcessSettings;

/// Settings of this service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Seconds for which reserved capacity is held.
    pub hold_seconds: u64,
    /// Seconds after which a lease that is not renewed ends.
    pub lease_seconds: u64,
    /// Bytes that runs may leave here for their own later fragments, in all.
    pub workspace_bytes: u64,
    /// Bytes of log kept of one attempt.
    pub log_bytes: u64,
    /// Seconds after which the catalogue counts our offers as stale, unless they are listed again.
    pub listing_seconds: u32,
    /// Days for which the traces of our own ended attempts are kept.
    pub keep_days: u32,
    /// Days after which a request for a grant that nobody decided about, or an offer nobody signed, lapses.
    pub request_days: u32,
    /// Running attempts as processes.
    pub process: ProcessSettings,
    /// The store's file, where the service runs as a process of its own.
    pub store: PathBuf,
    /// The folder of objects, where the service runs as a process of its own.
    pub objects: PathBuf,
    /// The folder for running attempts, where the service runs as a process of its own.
    pub work: PathBuf,
    /// Where the API is reached from this machine, where the service runs as a process of its own.
    pub address: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold_seconds: 30,
            lease_seconds: 15,
            workspace_bytes: 20 << 30,
            log_bytes: 4 << 20,
            listing_seconds: 120,
            keep_days: 7,
            request_days: 30,
            process: ProcessSettings::default(),
            store: "compute-provider.db".into(),
            objects: "compute-provider-objects".into(),
            work: "compute-provider-work".into(),
            address: "http://127.0.0.1:8080".into(),
        }
    }
}

impl Settings {
    /// How leases live.
    pub(crate) fn lease(&self) -> LeaseTerms {
        LeaseTerms {
            time_to_live: Duration::from_secs(self.lease_seconds.max(1)),
            drift_ppm: 10_000,
        }
    }
}
