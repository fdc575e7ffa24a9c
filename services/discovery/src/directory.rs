//! Whom we know: organisations, their nodes, and whom we block. Kept in memory for the door, which asks it at
//! each call, and in the store, which also tells the other services what changed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use oc_federation::{Multiaddr, NetworkId, PeerId};
use oc_kernel::{Clock, OrgId};
use oc_store::{Documents, Expect, OutboxEvent, Query, Store};
use oc_trust::keyset::KeyHistory;
use tokio::sync::Mutex;

use crate::domain::error::DiscoveryError;
use crate::domain::partner::{
    BLOCKED_NODES, Block, BlockedNode, Introduction, PARTNERS, PartnerRecord, check_node, newer,
};
use crate::domain::skew::alarm;

/// Another organisation, with its KeySets checked.
#[derive(Debug, Clone)]
pub(crate) struct Partner {
    pub(crate) record: PartnerRecord,
    pub(crate) history: Arc<KeyHistory>,
}

#[derive(Default)]
struct Known {
    partners: HashMap<OrgId, Arc<Partner>>,
    /// Of each proven node.
    orgs: HashMap<PeerId, OrgId>,
    blocked_nodes: HashMap<PeerId, Block>,
}

pub(crate) struct Directory {
    own: OrgId,
    clock: Arc<dyn Clock>,
    partners: Documents<PartnerRecord>,
    blocked_nodes: Documents<BlockedNode>,
    known: RwLock<Known>,
    /// One writer at a time, so that the store and the memory change in the same order.
    writing: Mutex<()>,
}

impl Directory {
    /// Reads what was known before the start. Nobody is connected yet.
    pub(crate) async fn load(
        own: OrgId,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DiscoveryError> {
        let directory = Self {
            own,
            clock,
            partners: Documents::new(store.clone(), &PARTNERS, 1),
            blocked_nodes: Documents::new(store, &BLOCKED_NODES, 1),
            known: RwLock::default(),
            writing: Mutex::new(()),
        };
        for stored in directory.blocked_nodes.all(&Query::all()).await? {
            let BlockedNode { peer_id, block } = stored.value;
            directory.write().blocked_nodes.insert(peer_id, block);
        }
        for stored in directory.partners.all(&Query::all()).await? {
            let org = stored.value.org_id;
            if let Err(error) = stored.value.history() {
                tracing::error!(%org, %error, "the stored keys of a partner are damaged: it must introduce itself anew");
                directory
                    .partners
                    .delete(&stored.key, Expect::Any, Vec::new())
                    .await?;
                continue;
            }
            let all_lost = |record: &mut PartnerRecord| {
                let mut events = Vec::new();
                for at in 0..record.nodes.len() {
                    let node = &mut record.nodes[at];
                    if !node.connected {
                        continue;
                    }
                    node.connected = false;
                    "this node was restarted".clone_into(&mut node.cause);
                    let place = (node.network_id, node.peer_id);
                    events.push(record.event(Some(place), "lost"));
                }
                Ok(events)
            };
            directory.change(org, all_lost).await?;
        }
        Ok(directory)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a partner's record with its events, then takes the new record over into memory.
    async fn change(
        &self,
        org: OrgId,
        mut change: impl FnMut(&mut PartnerRecord) -> Result<Vec<OutboxEvent>, DiscoveryError>,
    ) -> Result<(), DiscoveryError> {
        let _writing = self.writing.lock().await;
        let first = || PartnerRecord::new(org);
        let changed = self
            .partners
            .update_or_create::<DiscoveryError, _>(&org.to_string(), first, &mut change)
            .await?;
        let record = changed.value;
        if record.is_forgettable() {
            self.partners
                .delete(&changed.key, Expect::Revision(changed.revision), Vec::new())
                .await?;
            self.forget(org);
            return Ok(());
        }
        self.take_over(record);
        Ok(())
    }

    fn take_over(&self, record: PartnerRecord) {
        let org = record.org_id;
        // Only a proven record has KeySets; an organisation that is blocked by name before it was met has none.
        let Ok(history) = record.history() else {
            return;
        };
        let mut known = self.write();
        known.orgs.retain(|_, of| *of != org);
        for node in &record.nodes {
            known.orgs.insert(node.peer_id, org);
        }
        let history = Arc::new(history);
        let partner = Arc::new(Partner { record, history });
        known.partners.insert(org, partner);
    }

    fn forget(&self, org: OrgId) {
        let mut known = self.write();
        known.partners.remove(&org);
        known.orgs.retain(|_, of| *of != org);
    }

    /// Waits for what is being written. Whoever was told of it by an event, which may be there before the memory is,
    /// finds it after this.
    pub(crate) async fn settled(&self) {
        drop(self.writing.lock().await);
    }

    pub(crate) fn partners(&self) -> Vec<Arc<Partner>> {
        self.read().partners.values().cloned().collect()
    }

    pub(crate) fn partner(&self, org: OrgId) -> Result<Arc<Partner>, DiscoveryError> {
        let found = self.read().partners.get(&org).cloned();
        found.ok_or(DiscoveryError::UnknownPartner(org))
    }

    /// The same for whoever may have heard of it before it is in memory.
    pub(crate) async fn settled_partner(&self, org: OrgId) -> Result<Arc<Partner>, DiscoveryError> {
        if let Ok(known) = self.partner(org) {
            return Ok(known);
        }
        self.settled().await;
        self.partner(org)
    }

    /// The organisation a node has proved to be of.
    pub(crate) fn partner_of(&self, peer: PeerId) -> Option<Arc<Partner>> {
        let known = self.read();
        let org = known.orgs.get(&peer)?;
        known.partners.get(org).cloned()
    }

    /// Why a node may not talk to us, if it may not.
    pub(crate) fn block_of(&self, peer: PeerId) -> Option<Block> {
        let of_org = self.partner_of(peer).and_then(|p| p.record.blocked.clone());
        of_org.or_else(|| self.read().blocked_nodes.get(&peer).cloned())
    }

    pub(crate) fn blocked_nodes(&self) -> Vec<PeerId> {
        self.read().blocked_nodes.keys().copied().collect()
    }

    /// Believes a node that introduced itself, after checking its KeySets.
    pub(crate) async fn introduce(
        &self,
        network: NetworkId,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        introduction: &Introduction,
    ) -> Result<OrgId, DiscoveryError> {
        let refused = |cause: String| DiscoveryError::Introduction {
            peer: peer.to_string(),
            cause,
        };
        let told = introduction.verify(peer).map_err(refused)?;
        let org = told.org();
        if org == self.own {
            return Err(DiscoveryError::Ourselves);
        }
        let now_ms = self.clock.now_ms();
        let mut met_before = false;
        self.change(org, |record| {
            let history = match record.history() {
                Ok(known) => newer(known, told.clone()).map_err(refused)?,
                Err(_) => told.clone(),
            };
            check_node(&history, peer).map_err(refused)?;
            record.keep(&history);
            record
                .nodes
                .retain(|node| check_node(&history, node.peer_id).is_ok());
            record.name.clone_from(&introduction.name);
            record.version = introduction.shown_version();
            if record.blocked.is_some() {
                return Err(DiscoveryError::Blocked(org));
            }
            let was_connected = record.node(network, peer).is_some_and(|n| n.connected);
            met_before = was_connected;
            let node = record.node_mut(network, peer);
            node.clock_skew_ms = introduction.clock_skew_ms;
            node.connected = true;
            node.last_seen_ms = now_ms;
            node.addresses.clone_from(&addresses);
            "introduced itself and proved its organisation".clone_into(&mut node.cause);
            if was_connected {
                return Ok(Vec::new());
            }
            Ok(vec![record.event(Some((network, peer)), "connected")])
        })
        .await?;
        if !met_before && let Some(alarm) = alarm(introduction.clock_skew_ms) {
            tracing::warn!(%org, %peer, name = introduction.name, alarm, "a partner's clock differs");
        }
        Ok(org)
    }

    /// The last connection with a node has ended.
    pub(crate) async fn lose(
        &self,
        network: NetworkId,
        peer: PeerId,
        cause: &str,
    ) -> Result<(), DiscoveryError> {
        let Some(partner) = self.partner_of(peer) else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        self.change(partner.record.org_id, |record| {
            let blocked = record.blocked.is_some();
            if !record
                .node(network, peer)
                .is_some_and(|node| node.connected)
            {
                return Ok(Vec::new());
            }
            let node = record.node_mut(network, peer);
            node.connected = false;
            node.last_seen_ms = now_ms;
            cause.clone_into(&mut node.cause);
            if blocked {
                return Ok(Vec::new());
            }
            Ok(vec![record.event(Some((network, peer)), "lost")])
        })
        .await
    }

    /// We left a network: who was met nowhere else is forgotten, but for what the books need.
    pub(crate) async fn leave(&self, network: NetworkId) -> Result<(), DiscoveryError> {
        for partner in self.partners() {
            let there =
                |record: &PartnerRecord| record.nodes.iter().any(|node| node.network_id == network);
            if !there(&partner.record) {
                continue;
            }
            self.change(partner.record.org_id, |record| {
                let nodes = std::mem::take(&mut record.nodes);
                let (left, stay) = nodes.into_iter().partition(|n| n.network_id == network);
                record.nodes = stay;
                if record.nodes.is_empty() {
                    record.version.clear();
                }
                let left: Vec<crate::domain::partner::NodeRecord> = left;
                let places = left.iter().map(|node| (network, node.peer_id));
                Ok(places
                    .map(|place| record.event(Some(place), "left"))
                    .collect())
            })
            .await?;
        }
        Ok(())
    }

    /// Refuses an organisation from now on; gives its nodes.
    pub(crate) async fn block(
        &self,
        org: OrgId,
        reason: &str,
    ) -> Result<Vec<PeerId>, DiscoveryError> {
        if org == self.own {
            return Err(DiscoveryError::Ourselves);
        }
        self.partner(org)?;
        let since_ms = self.clock.now_ms();
        self.change(org, |record| {
            if record.blocked.is_some() {
                return Ok(Vec::new());
            }
            record.blocked = Some(Block {
                reason: reason.to_owned(),
                since_ms,
            });
            let place = record.nodes.first().map(|n| (n.network_id, n.peer_id));
            Ok(vec![record.event(place, "blocked")])
        })
        .await?;
        Ok(self.nodes_of(org))
    }

    /// Takes a block back; gives the organisation's nodes.
    pub(crate) async fn unblock(&self, org: OrgId) -> Result<Vec<PeerId>, DiscoveryError> {
        self.partner(org)?;
        let nodes = self.nodes_of(org);
        self.change(org, |record| {
            if record.blocked.take().is_none() {
                return Ok(Vec::new());
            }
            let mut places = Vec::new();
            for node in &mut record.nodes {
                "no longer blocked, not connected yet".clone_into(&mut node.cause);
                places.push((node.network_id, node.peer_id));
            }
            let lost = places.into_iter();
            Ok(lost
                .map(|place| record.event(Some(place), "lost"))
                .collect())
        })
        .await?;
        Ok(nodes)
    }

    pub(crate) async fn block_node(
        &self,
        peer: PeerId,
        reason: &str,
    ) -> Result<(), DiscoveryError> {
        let block = Block {
            reason: reason.to_owned(),
            since_ms: self.clock.now_ms(),
        };
        let node = BlockedNode {
            peer_id: peer,
            block: block.clone(),
        };
        let _writing = self.writing.lock().await;
        self.blocked_nodes
            .put(&peer.to_string(), &node, Expect::Any, Vec::new())
            .await?;
        self.write().blocked_nodes.insert(peer, block);
        Ok(())
    }

    pub(crate) async fn unblock_node(&self, peer: PeerId) -> Result<(), DiscoveryError> {
        let _writing = self.writing.lock().await;
        self.blocked_nodes
            .delete(&peer.to_string(), Expect::Any, Vec::new())
            .await?;
        self.write().blocked_nodes.remove(&peer);
        Ok(())
    }

    fn nodes_of(&self, org: OrgId) -> Vec<PeerId> {
        let known = self.read();
        let nodes = known.orgs.iter().filter(|(_, of)| **of == org);
        nodes.map(|(peer, _)| *peer).collect()
    }

    /// A grant with an organisation came into force: its KeySets are kept for the books.
    pub(crate) async fn keep_for_books(&self, org: OrgId) -> Result<(), DiscoveryError> {
        match self.partner(org) {
            Ok(partner) if !partner.record.had_grant => {
                self.change(org, |record| {
                    record.had_grant = true;
                    Ok(Vec::new())
                })
                .await
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
