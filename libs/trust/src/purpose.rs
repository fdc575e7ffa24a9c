//! What each signing key of an organisation is for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a signing key of an organisation is for. A key of one purpose signs nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Listings and the head that sums them up.
    Catalog,
    /// Grants, on either side.
    Grant,
    /// Delegations.
    Delegation,
    /// Heads of usage logs and their countersignatures.
    Usage,
    /// Statements about who called, inside the organisation.
    Caller,
    /// Manifests of what a run left.
    Manifest,
}

impl Purpose {
    /// Every purpose; a new organisation makes one key for each.
    pub const ALL: [Purpose; 6] = [
        Purpose::Catalog,
        Purpose::Grant,
        Purpose::Delegation,
        Purpose::Usage,
        Purpose::Caller,
        Purpose::Manifest,
    ];

    /// The name in a KeySet.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Catalog => "catalog",
            Purpose::Grant => "grant",
            Purpose::Delegation => "delegation",
            Purpose::Usage => "usage",
            Purpose::Caller => "caller",
            Purpose::Manifest => "manifest",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
