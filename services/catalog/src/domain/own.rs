//! Our own listings: numbered, stored, signed for each network we are in, summed up in heads.
//!
//! One instance writes at a time. Another writer of the same store is noticed by the revision of what it
//! wrote; then everything is read anew and the caller tries again.

mod document;
mod number;
mod sign;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use oc_kernel::{Clock, Name, OrgId};
use oc_store::{Documents, OutboxEvent, Query, Store, StoreError, Versioned};
use oc_trust::{Head, Sealed};
use serde_json::json;
use tokio::sync::{Mutex, Notify};

pub(super) use self::document::Bytes;
use self::document::{COUNTERS, COUNTERS_KEY, Counters, LISTINGS, OwnListing};
use super::feed::Feed;
use super::index::Change;
use super::{CatalogError, Deltas, Entry, Index, Key, Life, Offer};
use crate::ports::{Federation, Me};

/// The event that tells of a change.
const CHANGED: &str = "oc.catalog.listing.v1";

/// Our own listings.
pub(crate) struct Own {
    federation: Arc<dyn Federation>,
    listings: Documents<OwnListing>,
    counters: Documents<Counters>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    /// The least epoch of our numbers.
    epoch: u64,
    state: Mutex<State>,
    feed: RwLock<Arc<Feed>>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// None until it was read from the store.
    me: Option<Me>,
    counters: Counters,
    networks: BTreeSet<Name>,
    held: BTreeMap<Name, Held>,
    /// Everything is signed, shown and published.
    settled: bool,
    /// The heads that are out.
    heads: BTreeMap<Name, Sealed<Head>>,
}

struct Held {
    document: Versioned<OwnListing>,
    life: Arc<Life>,
}

impl Own {
    /// The listings in `store`; they are read when the identity is known. Those of an earlier epoch are numbered anew.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        federation: Arc<dyn Federation>,
        index: Arc<Index>,
        clock: Arc<dyn Clock>,
        epoch: u64,
    ) -> Self {
        Self {
            federation,
            listings: Documents::new(Arc::clone(&store), &LISTINGS, 1),
            counters: Documents::new(store, &COUNTERS, 1),
            index,
            clock,
            epoch,
            state: Mutex::default(),
            feed: RwLock::default(),
            wake: Notify::new(),
        }
    }

    /// Lists an offer, or renews it when it is listed like that. `kept` for one that nobody renews: it stays
    /// until it is withdrawn. It is searchable when this returns; partners get it once it is signed.
    ///
    /// # Errors
    /// When the offer breaks a rule, the identity is not known yet, or the store fails.
    pub(crate) async fn publish(
        &self,
        offer: Offer,
        kept: bool,
    ) -> Result<Arc<Entry>, CatalogError> {
        offer.check()?;
        let mut state = self.state.lock().await;
        self.load(&mut state).await?;
        let now_ms = self.clock.now_ms();
        if let Some(held) = state.held.get(&offer.id) {
            let document = &held.document.value;
            if !document.withdrawn && document.offer == offer && document.kept == kept {
                held.life.heard(now_ms);
                let entry = self.index.get(&state.key(&offer.id)?, now_ms);
                if let Some(entry) = entry {
                    return Ok(entry);
                }
            }
        }
        let id = offer.id.clone();
        let entry = self.write(&mut state, offer, kept, false).await?;
        tracing::info!(listing = %id, seq = state.counters.seq, "listed");
        self.settle_or_wake(&mut state).await;
        Ok(entry)
    }

    /// Takes a listing back; false when it was not listed.
    ///
    /// # Errors
    /// When the identity is not known yet, or the store fails.
    pub(crate) async fn withdraw(&self, id: &Name) -> Result<bool, CatalogError> {
        let mut state = self.state.lock().await;
        self.load(&mut state).await?;
        let withdrawn = self.take_back(&mut state, id).await?;
        if withdrawn {
            self.settle_or_wake(&mut state).await;
        }
        Ok(withdrawn)
    }

    /// From now on these are the networks we are in; what is listed is signed for the new ones.
    ///
    /// # Errors
    /// When something cannot be signed or stored now; [`Own::tend`] tries again.
    pub(crate) async fn set_networks(&self, networks: BTreeSet<Name>) -> Result<(), CatalogError> {
        let mut state = self.state.lock().await;
        self.load(&mut state).await?;
        if state.networks == networks {
            return Ok(());
        }
        state.heads.retain(|network, _| networks.contains(network));
        state.networks = networks;
        state.settled = false;
        self.settle(&mut state).await
    }

    /// Everything that time brings: takes back what its service stopped renewing, renews signatures, forgets
    /// old withdrawals, and signs what could not be signed before.
    ///
    /// # Errors
    /// When something cannot be signed or stored now.
    pub(crate) async fn tend(&self) -> Result<(), CatalogError> {
        let mut state = self.state.lock().await;
        self.load(&mut state).await?;
        let now_ms = self.clock.now_ms();
        let mut abandoned = Vec::new();
        for (id, held) in &state.held {
            let document = &held.document.value;
            if document.kept {
                held.life.heard(now_ms);
            } else if !document.withdrawn && document.is_abandoned(&held.life, now_ms) {
                abandoned.push(id.clone());
            }
        }
        for id in abandoned {
            tracing::warn!(listing = %id, "withdrawn: the service that offers it stopped renewing it");
            self.take_back(&mut state, &id).await?;
        }
        self.forget_old_withdrawals(&mut state, now_ms).await?;
        self.renew_signatures(&mut state, now_ms).await?;
        self.settle(&mut state).await
    }

    /// Ends when there is something to sign that could not be signed at once.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What changed after a cursor, as far as `reader` may see it; none while not all of it is signed for the network.
    pub(crate) fn deltas(
        &self,
        reader: &OrgId,
        network: &Name,
        cursor: &str,
        size: usize,
    ) -> Option<Deltas> {
        self.feed().after(reader, network, cursor, size)
    }

    /// The newest signed head for a network we are in.
    pub(crate) async fn head(&self, network: &Name) -> Option<Vec<u8>> {
        let state = self.state.lock().await;
        state.heads.get(network).map(|head| head.bytes().to_vec())
    }

    /// A listing as it is signed for one of the networks; none before it is signed.
    pub(crate) fn envelope(&self, id: &Name) -> Option<Vec<u8>> {
        let feed = self.feed();
        let mut items = feed.networks.values().flatten();
        items
            .find(|item| item.id == *id && !item.withdrawn)
            .map(|item| item.envelope.to_vec())
    }

    fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads everything once, and again after another writer was noticed.
    async fn load(&self, state: &mut State) -> Result<(), CatalogError> {
        if state.me.is_some() {
            return Ok(());
        }
        let me = self.federation.me().await?;
        let counters = self.counters.get(COUNTERS_KEY).await?;
        state.counters = counters.map(|found| found.value).unwrap_or_default();
        let now_ms = self.clock.now_ms();
        let documents = self.listings.all(&Query::all()).await?;
        // Whoever offers something has as long to renew it as if it were listed just now.
        let held = documents.into_iter().map(|document| {
            let life = Life::new(now_ms, true);
            (document.value.offer.id.clone(), Held { document, life })
        });
        state.held = held.collect();
        self.raise_epoch(state).await?;
        let listed = state
            .held
            .values()
            .filter(|held| !held.document.value.withdrawn);
        let entries = listed.map(|held| Change::Put(entry(&me, held))).collect();
        self.index.apply(entries).await?;
        state.me = Some(me);
        state.settled = false;
        self.show(state);
        Ok(())
    }

    async fn take_back(&self, state: &mut State, id: &Name) -> Result<bool, CatalogError> {
        let Some(held) = state
            .held
            .get(id)
            .filter(|held| !held.document.value.withdrawn)
        else {
            return Ok(false);
        };
        let offer = held.document.value.offer.clone();
        self.write(state, offer, false, true).await?;
        tracing::info!(listing = %id, seq = state.counters.seq, "withdrawn");
        Ok(true)
    }

    /// Gives the listing the next number and stores it unsigned.
    async fn write(
        &self,
        state: &mut State,
        offer: Offer,
        kept: bool,
        withdrawn: bool,
    ) -> Result<Arc<Entry>, CatalogError> {
        let version = self.next_version(state).await?;
        let now_ms = self.clock.now_ms();
        let id = offer.id.clone();
        let before = state.held.get(&id).map(|held| &held.document.value);
        let mut former = before
            .map(|document| document.former.clone())
            .unwrap_or_default();
        if let Some(document) = before.filter(|document| !document.withdrawn) {
            former.add(&document.offer.visibility);
        }
        let document = OwnListing {
            offer,
            version,
            kept,
            withdrawn,
            former,
            changed_ms: now_ms,
            signed: BTreeMap::new(),
        };
        let event = OutboxEvent::new(
            CHANGED,
            id.as_str(),
            json!({
                "listing_id": id,
                "kind": document.offer.kind,
                "state": if withdrawn { "withdrawn" } else { "listed" },
                "revision": version.seq,
            }),
        );
        let document = self.store(state, &id, document, vec![event]).await?;
        let life = Life::new(now_ms, true);
        let held = Held { document, life };
        let entry = entry(state.me()?, &held);
        let change = if withdrawn {
            Change::Remove(entry.key.clone())
        } else {
            Change::Put(Arc::clone(&entry))
        };
        self.index.apply(vec![change]).await?;
        state.held.insert(id, held);
        state.settled = false;
        Ok(entry)
    }

    async fn store(
        &self,
        state: &mut State,
        id: &Name,
        document: OwnListing,
        events: Vec<OutboxEvent>,
    ) -> Result<Versioned<OwnListing>, CatalogError> {
        let written = match state.held.get(id) {
            Some(held) => {
                let mut changed = held.document.clone();
                changed.value = document;
                let written = self.listings.replace(&changed, events).await;
                written.map(|revision| {
                    changed.revision = revision;
                    changed
                })
            }
            None => match self.listings.create(id.as_str(), &document, events).await {
                Ok(_) => self.listings.require(id.as_str()).await,
                Err(error) => Err(error),
            },
        };
        written.map_err(|error| {
            if matches!(
                error,
                StoreError::Stale { .. } | StoreError::AlreadyExists { .. }
            ) {
                state.me = None;
            }
            error.into()
        })
    }
}

impl State {
    fn me(&self) -> Result<&Me, CatalogError> {
        let unknown = || crate::ports::PortError::nonsense("our identity is not known yet");
        self.me.as_ref().ok_or_else(|| unknown().into())
    }

    fn key(&self, id: &Name) -> Result<Key, CatalogError> {
        Ok(Key {
            owner: self.me()?.org,
            id: id.clone(),
        })
    }
}

fn entry(me: &Me, held: &Held) -> Arc<Entry> {
    let document = &held.document.value;
    Arc::new(Entry {
        key: Key {
            owner: me.org,
            id: document.offer.id.clone(),
        },
        owner_name: me.name.as_str().into(),
        own: true,
        offer: document.offer.clone(),
        version: document.version,
        life: Arc::clone(&held.life),
    })
}
