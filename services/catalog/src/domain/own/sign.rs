//! Signing what is listed, and the heads that sum it up.

use std::collections::BTreeMap;
use std::sync::Arc;

use oc_kernel::{Digest, Name};
use oc_trust::{Head, Sealed, Version, Visibility, listings_digest, seal};

use super::document::{Bytes, OwnListing, SignedCopy};
use super::{Held, Own, State};
use crate::domain::feed::{Delta, Feed};
use crate::domain::offer::SIGNATURE_LIFE_MS;
use crate::domain::{CatalogError, Offer};
use crate::ports::Me;

/// A signature that holds for less than this is renewed, in ms.
const RENEW_BELOW_MS: u64 = SIGNATURE_LIFE_MS / 2;

impl Own {
    /// Signs what is not signed yet, shows it to partners, and publishes the heads.
    pub(super) async fn settle(&self, state: &mut State) -> Result<(), CatalogError> {
        let ends_soon =
            |head: &Sealed<Head>| head.statement().not_after < self.clock.now_ms() + RENEW_BELOW_MS;
        if state.settled && !state.heads.values().any(ends_soon) {
            return Ok(());
        }
        let signed = self.sign_listings(state).await;
        // What could be signed is shown even when the rest could not.
        self.show(state);
        signed?;
        self.publish_heads(state).await?;
        state.settled = true;
        Ok(())
    }

    /// A listing counts as listed before partners can see it; signing is tried again until it succeeds.
    pub(super) async fn settle_or_wake(&self, state: &mut State) {
        if let Err(error) = self.settle(state).await {
            let error = oc_service::problem::chain(&error);
            tracing::warn!(
                error,
                "listings cannot be signed and published now, trying again"
            );
            self.wake.notify_one();
        }
    }

    /// A signature that will end soon is made anew. That is a change like any other: partners replace a
    /// listing only by one with a higher number.
    pub(super) async fn renew_signatures(
        &self,
        state: &mut State,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        let ending = state.held.iter().filter(|(_, held)| {
            let mut copies = held.document.value.signed.values();
            copies.any(|copy| copy.not_after_ms < now_ms + RENEW_BELOW_MS)
        });
        let ending: Vec<Name> = ending.map(|(id, _)| id.clone()).collect();
        for id in ending {
            let version = self.next_version(state).await?;
            let Some(held) = state.held.get(&id) else {
                continue;
            };
            let mut document = held.document.value.clone();
            document.version = version;
            document.signed.clear();
            self.replace(state, &id, document).await?;
        }
        Ok(())
    }

    /// In the order of numbers, so that a partner never passes one that is signed later.
    async fn sign_listings(&self, state: &mut State) -> Result<(), CatalogError> {
        let me = state.me()?.clone();
        let networks = state.networks.clone();
        for id in by_seq(state).into_values() {
            let Some(held) = state.held.get(&id) else {
                continue;
            };
            let signed = &held.document.value.signed;
            if signed.len() == networks.len() && networks.iter().all(|n| signed.contains_key(n)) {
                continue;
            }
            let left = signed.keys().any(|network| !networks.contains(network));
            let mut document = held.document.value.clone();
            if left {
                // Who is still there keeps it under its number. Signed for them again it is another statement, which
                // they take only under a later one.
                document.version = self.next_version(state).await?;
                document.signed.clear();
            }
            let missing: Vec<Name> = networks
                .iter()
                .filter(|network| !document.signed.contains_key(*network))
                .cloned()
                .collect();
            for network in &missing {
                let copy = self.sign_copy(&me, network, &document).await?;
                document.signed.insert(network.clone(), copy);
            }
            self.replace(state, &id, document).await?;
        }
        Ok(())
    }

    async fn sign_copy(
        &self,
        me: &Me,
        network: &Name,
        document: &OwnListing,
    ) -> Result<SignedCopy, CatalogError> {
        let OwnListing {
            offer,
            version,
            withdrawn,
            ..
        } = document;
        let now_ms = self.clock.now_ms();
        let statement = if *withdrawn {
            Offer::tombstone(offer, me.org, network.clone(), *version, now_ms)
        } else {
            offer.statement(me.org, network.clone(), *version, now_ms)?
        };
        let not_after_ms = statement.not_after;
        let sealed = seal(&*self.federation, statement).await?;
        Ok(SignedCopy {
            envelope: Bytes(sealed.bytes().to_vec()),
            digest: sealed.digest(),
            not_after_ms,
        })
    }

    async fn publish_heads(&self, state: &mut State) -> Result<(), CatalogError> {
        let me = state.me()?.clone();
        let now_ms = self.clock.now_ms();
        for network in state.networks.clone() {
            let digests = digests(state, &network);
            let head = Head {
                owner: me.org,
                network: network.clone(),
                revision: Version {
                    epoch: state.counters.epoch,
                    seq: state.counters.seq,
                },
                count: digests.len() as u64,
                digest: listings_digest(&digests),
                not_before: now_ms,
                not_after: now_ms + SIGNATURE_LIFE_MS,
            };
            let out = state.heads.get(&network).map(|sealed| sealed.statement());
            let current = out.is_some_and(|out| {
                let same = (out.revision, out.count, out.digest)
                    == (head.revision, head.count, head.digest);
                same && out.not_after >= now_ms + RENEW_BELOW_MS
            });
            if current {
                continue;
            }
            let sealed = seal(&*self.federation, head).await?;
            self.federation
                .publish_head(&network, sealed.bytes().to_vec())
                .await?;
            state.heads.insert(network, sealed);
        }
        Ok(())
    }

    pub(super) async fn replace(
        &self,
        state: &mut State,
        id: &Name,
        document: OwnListing,
    ) -> Result<(), CatalogError> {
        let stored = self.store(state, id, document, Vec::new()).await?;
        state.settled = false;
        if let Some(held) = state.held.get_mut(id) {
            held.document = stored;
        }
        Ok(())
    }

    /// Shows partners what is signed; on each network up to the first that is not. In an epoch that they have seen
    /// nothing of they begin from nothing, and drop what they do not find: there all of it must be signed first.
    pub(super) fn show(&self, state: &State) {
        let items = by_seq(state);
        let before = self.feed();
        let networks = state.networks.iter().filter_map(|network| {
            let signed = items
                .iter()
                .map_while(|(_, id)| delta(state.held.get(id)?, network));
            let signed: Vec<_> = signed.collect();
            let begun =
                before.epoch == state.counters.epoch && before.networks.contains_key(network);
            (begun || signed.len() == items.len()).then(|| (network.clone(), signed))
        });
        let feed = Feed {
            epoch: state.counters.epoch,
            last: state.counters.seq,
            horizon: state.counters.horizon,
            networks: networks.collect(),
        };
        *self
            .feed
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(feed);
    }
}

pub(super) fn by_seq(state: &State) -> BTreeMap<u64, Name> {
    let held = state.held.iter();
    held.map(|(id, held)| (held.document.value.version.seq, id.clone()))
        .collect()
}

fn delta(held: &Held, network: &Name) -> Option<Delta> {
    let OwnListing {
        offer,
        version,
        withdrawn,
        former,
        signed,
        ..
    } = &held.document.value;
    Some(Delta {
        seq: version.seq,
        id: offer.id.clone(),
        visibility: offer.visibility.clone(),
        former: former.clone(),
        withdrawn: *withdrawn,
        envelope: signed.get(network)?.envelope.0.as_slice().into(),
    })
}

/// The statements that every member of the network may see.
fn digests(state: &State, network: &Name) -> BTreeMap<Name, Digest> {
    let documents = state.held.values().map(|held| &held.document.value);
    let listed = documents
        .filter(|document| !document.withdrawn && document.offer.visibility == Visibility::Members);
    let digests = listed.filter_map(|document| {
        let copy = document.signed.get(network)?;
        Some((document.offer.id.clone(), copy.digest))
    });
    digests.collect()
}
