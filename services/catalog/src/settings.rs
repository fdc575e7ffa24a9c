//! Settings of the catalogue.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where its store lies when it runs as a process of its own.
    pub store: PathBuf,
    /// The longest time, in seconds, between two looks at a partner's listings. A partner whose listings live
    /// shorter is asked more often, and a gossiped head leads to a look at once.
    pub poll_seconds: u64,
    /// Most listings taken from one partner.
    pub partner_listings: usize,
    /// Most bytes of listings kept of one partner.
    pub partner_bytes: u64,
    /// Partners asked at the same time.
    pub parallel_pulls: usize,
    /// After a restore of its store from a backup: a number higher than any before, such as the time in ms. What we list
    /// is numbered anew under it, so that partners take it although they have seen later numbers.
    pub epoch: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: PathBuf::from("catalog.db"),
            poll_seconds: 4,
            partner_listings: 10_000,
            partner_bytes: 64 * 1024 * 1024,
            parallel_pulls: 8,
            epoch: 0,
        }
    }
}
