//! What an organisation offers, as it goes round between catalogues, and the head that sums it up.

use std::collections::BTreeMap;

use crate::envelope::{Scope, Statement};
use crate::price::Price;
use crate::purpose::Purpose;
use oc_kernel::{Digest, Name, OrgId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a listing offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListingKind {
    /// Data, for example a collection of Sentinel images.
    Dataset,
    /// Machines.
    Compute,
    /// Room for objects.
    Storage,
    /// A tool described in CWL.
    Processing,
    /// A whole workflow.
    Workflow,
}

impl ListingKind {
    /// Every kind.
    pub const ALL: [ListingKind; 5] = [
        ListingKind::Dataset,
        ListingKind::Compute,
        ListingKind::Storage,
        ListingKind::Processing,
        ListingKind::Workflow,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            ListingKind::Dataset => "dataset",
            ListingKind::Compute => "compute",
            ListingKind::Storage => "storage",
            ListingKind::Processing => "processing",
            ListingKind::Workflow => "workflow",
        }
    }
}

impl std::fmt::Display for ListingKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of something that is published again and again. A restore from a backup raises the epoch,
/// so that what was published after the backup does not win over what follows the restore.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Raised by a restore.
    pub epoch: u64,
    /// Raised by every change.
    pub seq: u64,
}

/// Who may see a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Every member of the network.
    Members,
    /// These organisations only.
    Orgs(Vec<OrgId>),
}

impl Visibility {
    /// True when `org` may see it; the owner always may and is not asked here.
    pub fn includes(&self, org: &OrgId) -> bool {
        match self {
            Visibility::Members => true,
            Visibility::Orgs(orgs) => orgs.contains(org),
        }
    }
}

/// A stretch of time, open where an end is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Begin in ms since the epoch.
    pub start: Option<u64>,
    /// End in ms since the epoch.
    pub end: Option<u64>,
}

/// An offer, or the note that it is withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Its id; with the owner it is unique everywhere.
    pub id: Name,
    /// Who offers it.
    pub owner: OrgId,
    /// The network it is offered on.
    pub network: Name,
    /// What is offered.
    pub kind: ListingKind,
    /// Its short name, for example of a tool.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// A paragraph for people.
    pub summary: String,
    /// A later one replaces it.
    pub revision: Version,
    /// How long it counts as fresh after a copy was fetched from the owner, in seconds.
    pub ttl: u32,
    /// Who may see it.
    pub visibility: Visibility,
    /// Terms to filter by, for example `platform` to `sentinel-2a`.
    pub facets: BTreeMap<String, Vec<String>>,
    /// West, south, east, north in degrees (RFC 7946, section 5: west may exceed east across the antimeridian).
    pub bbox: Option<[f64; 4]>,
    /// The time it covers.
    pub interval: Option<Interval>,
    /// What it costs; none where that is agreed on with the grant.
    pub price: Option<Price>,
    /// Terms of use, for people.
    pub terms: String,
    /// What the kind needs: the CWL document of a tool, the capacity of machines.
    pub body: Value,
    /// True for the note that the offer is gone.
    pub withdrawn: bool,
    /// Begin in ms since the epoch.
    pub not_before: u64,
    /// End in ms since the epoch.
    pub not_after: u64,
}

impl Statement for Listing {
    const TYPE: &'static str = "application/vnd.opencloud.listing.v1+json";
    const PURPOSE: Purpose = Purpose::Catalog;

    fn scope(&self) -> Scope<'_> {
        Scope {
            network: &self.network,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    fn check(&self) -> Result<(), String> {
        let texts = [
            ("name", &self.name, 128),
            ("title", &self.title, 256),
            ("summary", &self.summary, 8192),
            ("terms", &self.terms, 65_536),
        ];
        for (field, text, limit) in texts {
            if text.len() > limit {
                return Err(format!("the {field} of a listing may have {limit} bytes"));
            }
        }
        if let Some([west, south, east, north]) = self.bbox {
            let in_range = (-180.0..=180.0).contains(&west)
                && (-180.0..=180.0).contains(&east)
                && (-90.0..=90.0).contains(&south)
                && (south..=90.0).contains(&north);
            if !in_range {
                return Err("a bbox is west, south, east, north in degrees".into());
            }
        }
        if let Some(Interval {
            start: Some(start),
            end: Some(end),
        }) = self.interval
            && start > end
        {
            return Err("the time of a listing ends before it begins".into());
        }
        if self.price.is_some_and(|price| !price.is_valid()) {
            return Err("a price must not be negative".into());
        }
        Ok(())
    }
}

/// The sum of what an organisation lists for all members of a network: small enough to be gossiped, and
/// enough to tell whether a copy is complete and current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose listings.
    pub owner: OrgId,
    /// On which network.
    pub network: Name,
    /// A later one replaces it.
    pub revision: Version,
    /// How many listings there are.
    pub count: u64,
    /// [`listings_digest`] of them.
    pub digest: Digest,
    /// Begin in ms since the epoch.
    pub not_before: u64,
    /// End in ms since the epoch.
    pub not_after: u64,
}

impl Statement for Head {
    const TYPE: &'static str = "application/vnd.opencloud.head.v1+json";
    const PURPOSE: Purpose = Purpose::Catalog;

    fn scope(&self) -> Scope<'_> {
        Scope {
            network: &self.network,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The digest of a set of listings: of the digests of their statements ([`crate::Sealed::digest`]), in the
/// order of the listings' ids.
pub fn listings_digest(listings: &BTreeMap<Name, Digest>) -> Digest {
    let digests: Vec<&[u8]> = listings
        .values()
        .map(|digest| digest.as_bytes().as_slice())
        .collect();
    Digest::of_parts(&digests)
}
