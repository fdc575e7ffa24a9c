//! The settings of this service.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings; the defaults are for one node with its folder below the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The store's file; read by a process of its own only.
    pub store: PathBuf,
    /// The folder of the images' files; read by a process of its own only.
    pub objects: PathBuf,
    /// The address that links in STAC answers begin with; taken from the request's host where it is empty.
    pub public_url: String,
    /// Seconds after which a listing is stale unless it is renewed, which is done at a third of it.
    pub listing_ttl_seconds: u32,
    /// Longest life of a reservation, and of a renewal, in seconds.
    pub reservation_seconds: u32,
    /// Images that one reservation may hold.
    pub reservation_images: usize,
    /// Seconds within which a token must open its file.
    pub token_seconds: u32,
    /// Seconds between two looks of a transfer that runs whether it still may.
    pub recheck_seconds: u64,
    /// Seconds after which an ended reservation is forgotten; until then its operation is not done twice.
    pub forget_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: "sentinel-provider.db".into(),
            objects: "sentinel-provider".into(),
            public_url: String::new(),
            listing_ttl_seconds: 120,
            reservation_seconds: 600,
            reservation_images: 2000,
            token_seconds: 60,
            recheck_seconds: 5,
            forget_seconds: 24 * 3600,
        }
    }
}

impl Settings {
    /// How often listings are renewed.
    pub(crate) fn renewal(&self) -> Duration {
        Duration::from_secs(u64::from(self.listing_ttl_seconds)) / 3
    }

    /// The life that is given where `wanted` seconds are asked for; zero stands for the longest.
    pub(crate) fn reservation_life_ms(&self, wanted: u32) -> u64 {
        let seconds = match wanted {
            0 => self.reservation_seconds,
            wanted => wanted.min(self.reservation_seconds),
        };
        u64::from(seconds) * 1000
    }
}
