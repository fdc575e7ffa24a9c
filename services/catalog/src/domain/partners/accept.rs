//! Which signed listings of a partner are believed, and how much of one partner is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use oc_kernel::{Digest, Name, OrgId};
use oc_store::Expect;
use oc_trust::{
    Head, Here, KeyHistory, Listing, OpenError, Sealed, Statement, Unverified, Version, Visibility,
    open,
};

use super::document::{self, PartnerListing};
use super::{Owner, Partners, WRITES_AT_ONCE};
use crate::domain::index::Change;
use crate::domain::own::Bytes;
use crate::domain::{CatalogError, Entry, Key, Offer};

/// What is kept at hand of a partner's listing.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(super) network: Name,
    pub(super) version: Version,
    pub(super) digest: Digest,
    /// Every member of the network may see it.
    pub(super) members: bool,
    pub(super) ttl: u32,
    pub(super) not_after_ms: u64,
    /// How large it is in the store, in bytes.
    pub(super) size: u64,
}

impl Held {
    fn of(sealed: &Sealed<Listing>) -> Self {
        let listing = sealed.statement();
        Self {
            network: listing.network.clone(),
            version: listing.revision,
            digest: sealed.digest(),
            members: listing.visibility == Visibility::Members,
            ttl: listing.ttl,
            not_after_ms: listing.not_after,
            size: sealed.bytes().len() as u64,
        }
    }
}

/// What was left out of what a partner answered, told in one line a pull: a partner must not fill our log.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    refused: u64,
    why: Option<String>,
    over_limit: u64,
}

impl LeftOut {
    fn refuse(&mut self, why: impl FnOnce() -> String) {
        self.refused += 1;
        self.why.get_or_insert_with(why);
    }

    pub(super) fn tell(&self, org: OrgId) {
        if let Some(first) = &self.why {
            let refused = self.refused;
            tracing::warn!(%org, refused, first, "refused listings");
        }
        if self.over_limit > 0 {
            let left_out = self.over_limit;
            tracing::warn!(%org, left_out, "it lists more than we take from one partner: see `partner_listings` and `partner_bytes` of catalog");
        }
    }
}

/// A listing that was opened, with its signature checked.
pub(super) struct Opened(Sealed<Listing>);

impl Opened {
    pub(super) fn id(&self) -> &Name {
        &self.0.statement().id
    }
}

/// Reads a listing that was checked before it was stored.
pub(super) fn stored(bytes: &[u8]) -> Option<(OrgId, Name, Held, Offer)> {
    let unverified = Unverified::<Listing>::parse(bytes).ok()?;
    let listing = unverified.claim().clone();
    let held = Held {
        network: listing.network.clone(),
        version: listing.revision,
        digest: oc_trust::Envelope::from_json(bytes).ok()?.digest(),
        members: listing.visibility == Visibility::Members,
        ttl: listing.ttl,
        not_after_ms: listing.not_after,
        size: bytes.len() as u64,
    };
    Some((
        listing.owner,
        listing.id.clone(),
        held,
        Offer::from(listing),
    ))
}

impl Partners {
    /// Opens what `org` answered. A listing that does not hold is left out and counted: one bad listing must
    /// not hide the others.
    pub(super) async fn open_listings(
        &self,
        org: OrgId,
        envelopes: &[Vec<u8>],
        networks: &BTreeSet<Name>,
        left_out: &mut LeftOut,
    ) -> Result<Vec<Opened>, CatalogError> {
        let mut keys = match envelopes {
            [] => return Ok(Vec::new()),
            _ => self.federation.keys(org, false).await?,
        };
        let mut opened = Vec::with_capacity(envelopes.len());
        let mut asked_anew = false;
        for bytes in envelopes {
            let mut result = self.open_one::<Listing>(bytes, &keys, networks);
            // A key that is newer than the KeySet at hand; asked for once an answer.
            if matches!(result, Err(OpenError::NoKnownSigner)) && !asked_anew {
                asked_anew = true;
                keys = self.federation.keys(org, true).await?;
                result = self.open_one(bytes, &keys, networks);
            }
            match result {
                Ok(sealed) if sealed.statement().owner == org => opened.push(Opened(sealed)),
                Ok(sealed) => {
                    let claimed = sealed.statement().owner;
                    left_out.refuse(|| format!("it is in the name of {claimed}"));
                }
                Err(error) => left_out.refuse(|| error.to_string()),
            }
        }
        Ok(opened)
    }

    /// Opens a head of `org`; none when it does not hold.
    pub(super) async fn open_head(
        &self,
        org: OrgId,
        bytes: &[u8],
        networks: &BTreeSet<Name>,
    ) -> Result<Option<Head>, CatalogError> {
        let keys = self.federation.keys(org, false).await?;
        let mut result = self.open_one::<Head>(bytes, &keys, networks);
        if matches!(result, Err(OpenError::NoKnownSigner)) {
            let keys = self.federation.keys(org, true).await?;
            result = self.open_one(bytes, &keys, networks);
        }
        match result {
            Ok(sealed) if sealed.statement().owner == org => Ok(Some(sealed.into_statement())),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(%org, %error, "refused a head");
                Ok(None)
            }
        }
    }

    /// A statement must be for one of the networks that we share with its owner.
    fn open_one<T: Statement>(
        &self,
        bytes: &[u8],
        keys: &KeyHistory,
        networks: &BTreeSet<Name>,
    ) -> Result<Sealed<T>, OpenError> {
        let unverified = Unverified::<T>::parse(bytes)?;
        let claimed = unverified.claim().scope().network.clone();
        let expected = networks
            .get(&claimed)
            .or_else(|| networks.first())
            .unwrap_or(&claimed);
        if !networks.contains(&claimed) {
            let (expected, found) = (expected.to_string(), claimed.to_string());
            return Err(OpenError::Network { expected, found });
        }
        let here = Here {
            network: expected,
            now_ms: self.clock.now_ms(),
        };
        open(bytes, keys.current(), &here)
    }

    /// Takes over what is newer than what we have, withdrawals included, within the limit for one partner.
    pub(super) async fn take_over(
        &self,
        org: OrgId,
        owner: &mut Owner,
        opened: Vec<Opened>,
        left_out: &mut LeftOut,
    ) -> Result<(), CatalogError> {
        let mut changes = Vec::new();
        let mut documents = Vec::new();
        let mut withdrawn = Vec::new();
        for Opened(sealed) in opened {
            let listing = sealed.statement();
            let known = owner.listings.get(&listing.id);
            if known.is_some_and(|held| held.version >= listing.revision) {
                continue;
            }
            if listing.withdrawn {
                withdrawn.push(listing.id.clone());
                continue;
            }
            let held = Held::of(&sealed);
            if !self.most.admits(owner, known, &held) {
                left_out.over_limit += 1;
                continue;
            }
            let (id, version) = (listing.id.clone(), listing.revision);
            owner.hold(id.clone(), held);
            let envelope = Bytes(sealed.bytes().to_vec());
            let key = Key { owner: org, id };
            documents.push((document::key(&key), PartnerListing { envelope }));
            changes.push(Change::Put(Arc::new(Entry {
                key,
                owner_name: Arc::clone(&owner.name),
                own: false,
                offer: Offer::from(sealed.into_statement()),
                version,
                life: Arc::clone(&owner.life),
            })));
        }
        let writes = documents.into_iter().map(|(key, listing)| async move {
            self.listings
                .put(&key, &listing, Expect::Any, Vec::new())
                .await
        });
        let mut writes = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE);
        while writes.try_next().await?.is_some() {}
        self.index.apply(changes).await?;
        self.drop_listings(org, owner, withdrawn).await
    }
}
