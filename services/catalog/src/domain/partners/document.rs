//! What is stored of partners' listings.

use std::collections::BTreeSet;

use oc_kernel::{Name, OrgId};
use oc_store::Collection;
use serde::{Deserialize, Serialize};

use super::super::Key;
use super::super::own::Bytes;

pub(super) static LISTINGS: Collection = Collection::new("catalog_partner_listings", &[]);
pub(super) static OWNERS: Collection = Collection::new("catalog_partners", &[]);

/// A listing as its owner signed it; everything else is read from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PartnerListing {
    pub(super) envelope: Bytes,
}

/// How far we have read a partner's listings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OwnerDocument {
    pub(super) org: OrgId,
    pub(super) name: String,
    pub(super) networks: BTreeSet<Name>,
    pub(super) cursor: String,
    /// When it was last heard of; noted once a minute.
    pub(super) heard_ms: u64,
}

/// The key of a partner's listing.
pub(super) fn key(key: &Key) -> String {
    format!("{}/{}", key.owner, key.id)
}
