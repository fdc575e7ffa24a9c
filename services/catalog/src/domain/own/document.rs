//! What is stored of our own listings.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_kernel::{Digest, Name};
use oc_store::Collection;
use oc_trust::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::super::{Audience, Life, Offer};

pub(super) static LISTINGS: Collection = Collection::new("catalog_own", &[]);
pub(super) static COUNTERS: Collection = Collection::new("catalog_counters", &[]);
pub(super) const COUNTERS_KEY: &str = "own";

/// The numbers of our changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Raised by a restore.
    pub(super) epoch: u64,
    /// The last number given out.
    pub(super) seq: u64,
    /// Withdrawals up to this number are forgotten.
    pub(super) horizon: u64,
}

/// One of our listings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OwnListing {
    pub(super) offer: Offer,
    pub(super) version: Version,
    /// Stays without being renewed.
    pub(super) kept: bool,
    pub(super) withdrawn: bool,
    /// Who saw earlier versions.
    pub(super) former: Audience,
    pub(super) changed_ms: u64,
    /// The statements of this version, by network.
    pub(super) signed: BTreeMap<Name, SignedCopy>,
}

impl OwnListing {
    /// So long without being renewed that it is taken back.
    pub(super) fn is_abandoned(&self, life: &Life, now_ms: u64) -> bool {
        life.is_gone(u64::from(self.offer.ttl) * 1000, now_ms)
    }
}

/// A signed statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SignedCopy {
    pub(super) envelope: Bytes,
    pub(super) digest: Digest,
    pub(super) not_after_ms: u64,
}

/// Bytes as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::domain) struct Bytes(pub(in crate::domain) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes).map_err(D::Error::custom)
    }
}
