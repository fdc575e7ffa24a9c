//! Grants: what a provider lets a consumer use, until when and for how much. Both sign the same bytes.

use crate::envelope::{Here, Scope, Sealed, Statement, Unverified};
use crate::error::OpenError;
use crate::keyset::KeySets;
use crate::limits::Limits;
use crate::listing::ListingKind;
use crate::price::Price;
use crate::purpose::Purpose;
use oc_kernel::{Digest, GrantId, Name, OrgId};
use serde::{Deserialize, Serialize};

/// A listing of the provider that the grant opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedListing {
    /// The listing's id.
    pub id: Name,
    /// Its kind.
    pub kind: ListingKind,
    /// Bounds for this listing, inside those of the grant.
    pub limits: Option<Limits>,
}

/// A tool that may read the granted data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Tool {
    /// A processing listing, whatever its present document.
    Listing {
        /// Who offers it.
        owner: OrgId,
        /// The listing's id.
        id: Name,
    },
    /// One canonical CWL document.
    Digest(Digest),
}

/// How the consumer's users appear at the provider. Their names never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pseudonyms {
    /// One random name for a user under this grant.
    PerGrant,
    /// A new random name for each run.
    PerRun,
}

/// What a provider lets a consumer use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The network both are on.
    pub network: Name,
    /// Who gives.
    pub provider: OrgId,
    /// Who uses and pays.
    pub consumer: OrgId,
    /// What is opened.
    pub listings: Vec<GrantedListing>,
    /// Bounds over all listings together.
    pub limits: Limits,
    /// What use costs.
    pub price: Price,
    /// Begin in ms since the epoch.
    pub not_before: u64,
    /// End in ms since the epoch.
    pub not_after: u64,
    /// Raised by a change or a revocation; what was made for a lower one opens nothing.
    pub generation: u64,
    /// The only tools that may read the data; none means any tool.
    pub tools: Option<Vec<Tool>>,
    /// How users are named.
    pub pseudonyms: Pseudonyms,
}

impl Grant {
    /// The granted listing of that id.
    pub fn listing(&self, id: &Name) -> Option<&GrantedListing> {
        self.listings.iter().find(|listing| listing.id == *id)
    }

    /// The bounds for one listing: its own and the grant's.
    pub fn limits_for(&self, listing: &GrantedListing) -> Limits {
        match &listing.limits {
            Some(own) => own.meet(&self.limits),
            None => self.limits,
        }
    }

    /// True when a tool may read the granted data: by its listing or by the digest of its document.
    pub fn allows_tool(&self, listing: Option<(&OrgId, &Name)>, document: &Digest) -> bool {
        let Some(tools) = &self.tools else {
            return true;
        };
        tools.iter().any(|tool| match tool {
            Tool::Listing { owner, id } => listing == Some((owner, id)),
            Tool::Digest(digest) => digest == document,
        })
    }
}

impl Statement for Grant {
    const TYPE: &'static str = "application/vnd.opencloud.grant.v1+json";
    const PURPOSE: Purpose = Purpose::Grant;
    const END_SKEW_MS: u64 = 0;

    fn scope(&self) -> Scope<'_> {
        Scope {
            network: &self.network,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.provider == self.consumer {
            return Err("an organisation needs no grant of its own".into());
        }
        if self.listings.is_empty() {
            return Err("a grant names at least one listing".into());
        }
        for (at, listing) in self.listings.iter().enumerate() {
            if self.listings[..at].iter().any(|l| l.id == listing.id) {
                return Err(format!("the listing `{}` is granted twice", listing.id));
            }
        }
        if !self.price.is_valid() {
            return Err("a price must not be negative".into());
        }
        Ok(())
    }
}

/// Opens a grant that both sides signed.
///
/// # Errors
/// When a signature is missing or bad, or the grant is for another network or out of its time.
pub fn open_grant(
    bytes: &[u8],
    key_sets: &dyn KeySets,
    here: &Here<'_>,
) -> Result<Sealed<Grant>, OpenError> {
    let unverified = Unverified::<Grant>::parse(bytes)?;
    let (provider, consumer) = (unverified.claim().provider, unverified.claim().consumer);
    signed_by(&unverified, provider, key_sets)?;
    signed_by(&unverified, consumer, key_sets)?;
    unverified.accept(here)
}

/// Opens a grant that at least `signer`, one of its two sides, has signed: what the other gets to sign.
///
/// # Errors
/// As [`open_grant`], and when `signer` is neither side.
pub fn open_draft(
    bytes: &[u8],
    signer: &OrgId,
    key_sets: &dyn KeySets,
    here: &Here<'_>,
) -> Result<Sealed<Grant>, OpenError> {
    let unverified = Unverified::<Grant>::parse(bytes)?;
    let claim = unverified.claim();
    if *signer != claim.provider && *signer != claim.consumer {
        return Err(OpenError::Unsigned { missing: *signer });
    }
    signed_by(&unverified, *signer, key_sets)?;
    unverified.accept(here)
}

fn signed_by(
    unverified: &Unverified<Grant>,
    org: OrgId,
    key_sets: &dyn KeySets,
) -> Result<(), OpenError> {
    let key_set = key_sets
        .key_set(&org)
        .ok_or(OpenError::UnknownOrganisation { org })?;
    unverified
        .signed_by(key_set.as_ref())
        .map_err(|error| match error {
            OpenError::NoKnownSigner => OpenError::Unsigned { missing: org },
            other => other,
        })
}
