//! Partners' listings: taken over from their owners after every signature was checked, kept across restarts,
//! dropped when their owner is gone.

mod accept;
mod document;
mod owner;
mod pull;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use oc_kernel::{Clock, Name, OrgId};
use oc_proto::discovery::v1::PeerState;
use oc_store::{Documents, Expect, Query, Store};
use tokio::sync::Mutex;

pub(crate) use self::accept::Held;
use self::document::{LISTINGS, OWNERS, OwnerDocument, PartnerListing};
pub(crate) use self::owner::Most;
use self::owner::Owner;
use super::index::Change;
use super::{CatalogError, Entry, Index, Key, Life};
use crate::ports::{Federation, Peer};

/// Documents written at once: the store commits them in one group.
const WRITES_AT_ONCE: usize = 64;

/// Partners' listings.
pub(crate) struct Partners {
    federation: Arc<dyn Federation>,
    listings: Documents<PartnerListing>,
    owners: Documents<OwnerDocument>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    most: Most,
    state: Mutex<BTreeMap<OrgId, Owner>>,
}

/// What one look at discovery says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Partners that can be reached now.
    pub(crate) connected: BTreeSet<OrgId>,
}

impl Partners {
    /// The listings in `store`, stale until their owners are heard of again.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn load(
        store: Arc<dyn Store>,
        federation: Arc<dyn Federation>,
        index: Arc<Index>,
        clock: Arc<dyn Clock>,
        most: Most,
    ) -> Result<Self, CatalogError> {
        let partners = Self {
            federation,
            listings: Documents::new(Arc::clone(&store), &LISTINGS, 1),
            owners: Documents::new(store, &OWNERS, 1),
            index,
            clock,
            most,
            state: Mutex::default(),
        };
        let mut state = BTreeMap::new();
        for found in partners.owners.all(&Query::all()).await? {
            let document = found.value;
            let life = Life::new(document.heard_ms, false);
            let mut owner = Owner::new(&document.name, life);
            owner.networks = document.networks;
            owner.cursor = document.cursor;
            state.insert(document.org, owner);
        }
        let mut changes = Vec::new();
        for found in partners.listings.all(&Query::all()).await? {
            let Some((org, id, held, offer)) = accept::stored(&found.value.envelope.0) else {
                tracing::warn!(
                    key = found.key,
                    "a stored listing cannot be read, it is fetched again"
                );
                continue;
            };
            let Some(owner) = state.get_mut(&org) else {
                continue;
            };
            changes.push(Change::Put(Arc::new(Entry {
                key: Key {
                    owner: org,
                    id: id.clone(),
                },
                owner_name: Arc::clone(&owner.name),
                own: false,
                offer,
                version: held.version,
                life: Arc::clone(&owner.life),
            })));
            owner.hold(id, held);
        }
        partners.index.apply(changes).await?;
        *partners.state.lock().await = state;
        Ok(partners)
    }

    /// Takes over what discovery says of peers and of the networks we are in. What was offered on a network
    /// that we left, and by whom we block, vanishes.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn look_around(
        &self,
        peers: &[Peer],
        networks: &BTreeSet<Name>,
    ) -> Result<Seen, CatalogError> {
        let mut seen = Seen::default();
        let mut state = self.state.lock().await;
        let blocked: BTreeSet<OrgId> = peers
            .iter()
            .filter(|p| p.state == PeerState::Blocked)
            .map(|p| p.org)
            .collect();
        let mut by_org: BTreeMap<OrgId, Vec<&Peer>> = BTreeMap::new();
        let shared = |peer: &&Peer| peer.network.as_ref().is_some_and(|n| networks.contains(n));
        for peer in peers.iter().filter(shared) {
            by_org.entry(peer.org).or_default().push(peer);
        }
        for org in state.keys().copied().collect::<Vec<_>>() {
            let left = state
                .get(&org)
                .is_some_and(|o| o.networks.is_disjoint(networks));
            if blocked.contains(&org) || (left && !by_org.contains_key(&org)) {
                self.forget(&mut state, &org).await?;
            } else if !by_org.contains_key(&org)
                && let Some(owner) = state.get(&org)
            {
                owner.life.lost();
            }
        }
        for (org, peers) in by_org.into_iter().filter(|(org, _)| !blocked.contains(org)) {
            let connected = peers.iter().any(|peer| peer.state == PeerState::Connected);
            self.meet(&mut state, org, &peers).await?;
            if connected {
                seen.connected.insert(org);
            } else if let Some(owner) = state.get(&org) {
                owner.life.lost();
            }
        }
        Ok(seen)
    }

    /// Drops what its owner did not confirm for so long, or whose signature ended.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn expire(&self) -> Result<(), CatalogError> {
        let mut state = self.state.lock().await;
        let now_ms = self.clock.now_ms();
        for (org, owner) in &mut *state {
            let gone = owner.listings.iter().filter(|(_, held)| {
                now_ms > held.not_after_ms || owner.life.is_gone(u64::from(held.ttl) * 1000, now_ms)
            });
            let gone: Vec<Name> = gone.map(|(id, _)| id.clone()).collect();
            if gone.is_empty() {
                continue;
            }
            tracing::info!(%org, listings = gone.len(), "dropped: their owner is gone");
            self.drop_listings(*org, owner, gone).await?;
            // When it comes back, what was dropped is fetched again.
            owner.cursor.clear();
            self.note_owner(*org, owner).await?;
        }
        Ok(())
    }

    /// How long a partner may be left alone: a third of its shortest time to live, at most `longest`.
    pub(crate) async fn patience(&self, org: &OrgId, longest: Duration) -> Duration {
        let state = self.state.lock().await;
        let shortest = state.get(org).and_then(|owner| {
            let ttls = owner.listings.values().map(|held| held.ttl);
            ttls.min()
        });
        match shortest {
            Some(ttl) => (Duration::from_secs(u64::from(ttl)) / 3).min(longest),
            None => longest,
        }
    }

    /// A listing as its owner signed it.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn envelope(&self, key: &Key) -> Result<Option<Vec<u8>>, CatalogError> {
        let found = self.listings.get(&document::key(key)).await?;
        Ok(found.map(|found| found.value.envelope.0))
    }

    /// A known organisation, or a new one; a new name changes what is shown of its listings.
    async fn meet(
        &self,
        state: &mut BTreeMap<OrgId, Owner>,
        org: OrgId,
        peers: &[&Peer],
    ) -> Result<(), CatalogError> {
        let now_ms = self.clock.now_ms();
        let name = peers
            .iter()
            .map(|peer| peer.name.as_str())
            .find(|name| !name.is_empty());
        let name = name.unwrap_or_default();
        let networks: BTreeSet<Name> = peers
            .iter()
            .filter_map(|peer| peer.network.clone())
            .collect();
        let owner = state
            .entry(org)
            .or_insert_with(|| Owner::new(name, Life::new(now_ms, true)));
        let lost: Vec<Name> = owner
            .listings
            .iter()
            .filter(|(_, held)| !networks.contains(&held.network))
            .map(|(id, _)| id.clone())
            .collect();
        if owner.networks != networks {
            owner.networks = networks;
            self.note_owner(org, owner).await?;
        }
        if !lost.is_empty() {
            self.drop_listings(org, owner, lost).await?;
            owner.cursor.clear();
        }
        if *owner.name != *name {
            owner.name = name.into();
            let entries = owner.listings.keys().filter_map(|id| {
                let key = Key {
                    owner: org,
                    id: id.clone(),
                };
                let entry = self.index.get(&key, now_ms)?;
                let (offer, version) = (entry.offer.clone(), entry.version);
                let (owner_name, life) = (Arc::clone(&owner.name), Arc::clone(&owner.life));
                let renamed = Entry {
                    key,
                    owner_name,
                    own: false,
                    offer,
                    version,
                    life,
                };
                Some(Change::Put(Arc::new(renamed)))
            });
            self.index.apply(entries.collect()).await?;
            self.note_owner(org, owner).await?;
        }
        Ok(())
    }

    async fn forget(
        &self,
        state: &mut BTreeMap<OrgId, Owner>,
        org: &OrgId,
    ) -> Result<(), CatalogError> {
        let Some(owner) = state.get_mut(org) else {
            return Ok(());
        };
        let all = owner.listings.keys().cloned().collect();
        self.drop_listings(*org, owner, all).await?;
        self.owners
            .delete(&org.to_string(), Expect::Any, Vec::new())
            .await?;
        state.remove(org);
        tracing::info!(%org, "forgotten with its listings");
        Ok(())
    }

    async fn drop_listings(
        &self,
        org: OrgId,
        owner: &mut Owner,
        ids: Vec<Name>,
    ) -> Result<(), CatalogError> {
        let keys: Vec<Key> = ids
            .into_iter()
            .filter(|id| owner.drop_listing(id))
            .map(|id| Key { owner: org, id })
            .collect();
        self.index
            .apply(keys.iter().cloned().map(Change::Remove).collect())
            .await?;
        let deletions = keys.into_iter().map(|key| async move {
            self.listings
                .delete(&document::key(&key), Expect::Any, Vec::new())
                .await
        });
        let mut deletions = stream::iter(deletions).buffer_unordered(WRITES_AT_ONCE);
        while deletions.try_next().await?.is_some() {}
        Ok(())
    }

    async fn note_owner(&self, org: OrgId, owner: &mut Owner) -> Result<(), CatalogError> {
        let document = OwnerDocument {
            org,
            name: owner.name.to_string(),
            networks: owner.networks.clone(),
            cursor: owner.cursor.clone(),
            heard_ms: owner.life.heard_ms(),
        };
        self.owners
            .put(&org.to_string(), &document, Expect::Any, Vec::new())
            .await?;
        owner.noted_ms = self.clock.now_ms();
        Ok(())
    }
}
