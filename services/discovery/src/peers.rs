//! Other organisations' nodes: greeted as they appear, listed, blocked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oc_federation::{Network, NetworkEvent, NetworkId, Peer, PeerId, PeerState};
use oc_kernel::OrgId;
use oc_proto::discovery::v1 as proto;
use oc_proto::federation::v1::HelloRequest;
use oc_proto::federation::v1::identity_service_client::IdentityServiceClient;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::directory::Partner;
use crate::discovery::{Discovery, Failure};
use crate::domain::error::DiscoveryError;
use crate::domain::partner::Introduction;
use crate::domain::skew::{alarm, skew_ms};
use crate::door::hello::{PROTOCOLS, speaks_ours};

const GREETINGS: usize = 16;
const GREETING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(15);

impl Discovery {
    /// Greets every node that appears in a network and notes who is lost, until the network is left.
    pub(crate) async fn watch_peers(self: Arc<Self>, network: Network) {
        let mut events = network.events();
        let mut look = tokio::time::interval(LOOK);
        let mut greetings = JoinSet::new();
        let mut greeted = HashSet::new();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(NetworkEvent::PeerAway { peer, cause }) => {
                        self.lost(network.id(), peer, &cause).await;
                    }
                    Ok(NetworkEvent::PeerJoined { peer, .. }) => {
                        self.failures().remove(&peer);
                    }
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                Some(done) = greetings.join_next() => {
                    if let Ok(peer) = done {
                        greeted.remove(&peer);
                    }
                }
                _ = look.tick() => self.note_losses(&network).await,
            }
            for peer in self.to_greet(&network) {
                if greetings.len() < GREETINGS && greeted.insert(peer) {
                    greetings.spawn(self.clone().greet(network.clone(), peer));
                }
            }
        }
    }

    fn to_greet(&self, network: &Network) -> Vec<PeerId> {
        let now = Instant::now();
        let failures = self.failures();
        let waits = |peer: PeerId| failures.get(&peer).is_some_and(|f| f.again > now);
        let peers = network.peers().into_iter();
        peers
            .filter(|peer| peer.state == PeerState::Connected && !peer.agent.is_empty())
            .map(|peer| peer.peer_id)
            .filter(|peer| !self.has_met(network.id(), *peer) && !waits(*peer))
            .collect()
    }

    fn has_met(&self, network: NetworkId, peer: PeerId) -> bool {
        let partner = self.directory.partner_of(peer);
        partner.is_some_and(|p| p.record.node(network, peer).is_some_and(|n| n.connected))
    }

    /// Events may be missed when there are many; what is written down is compared with what is.
    async fn note_losses(&self, network: &Network) {
        for partner in self.directory.partners() {
            for node in &partner.record.nodes {
                let here = node.network_id == network.id() && node.connected;
                let seen = network.peer(node.peer_id);
                if here && seen.as_ref().is_none_or(|peer| peer.connections == 0) {
                    let cause = seen.map_or_else(|| "forgotten".to_owned(), |peer| peer.cause);
                    self.lost(network.id(), node.peer_id, &cause).await;
                }
            }
        }
    }

    async fn lost(&self, network: NetworkId, peer: PeerId, cause: &str) {
        self.failures().remove(&peer);
        if let Err(error) = self.directory.lose(network, peer, cause).await {
            tracing::warn!(%peer, %error, "a lost peer is not noted");
        }
    }

    async fn greet(self: Arc<Self>, network: Network, peer: PeerId) -> PeerId {
        match self.say_hello(&network, peer).await {
            Ok(org) => {
                self.failures().remove(&peer);
                tracing::info!(%peer, %org, "met a partner");
            }
            Err(error) => {
                let refused = matches!(error, DiscoveryError::Blocked(_));
                if refused && let Err(error) = network.block(peer).await {
                    tracing::warn!(%peer, %error, "a blocked organisation's node stays connected");
                }
                tracing::info!(%peer, %error, "a peer is not introduced");
                let failure = Failure {
                    cause: error.to_string(),
                    again: Instant::now() + AGAIN,
                };
                self.failures().insert(peer, failure);
            }
        }
        peer
    }

    async fn say_hello(&self, network: &Network, peer: PeerId) -> Result<OrgId, DiscoveryError> {
        let refused = |cause: String| DiscoveryError::Introduction {
            peer: peer.to_string(),
            cause,
        };
        let asked_ms = self.clock.now_ms();
        let mut request = tonic::Request::new(HelloRequest {
            key_sets: self.identity.key_sets(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: PROTOCOLS.map(str::to_owned).to_vec(),
            sent_at_ms: asked_ms,
        });
        request.set_timeout(GREETING);
        let answer = IdentityServiceClient::new(network.channel(peer))
            .hello(request)
            .await
            .map_err(|status| refused(status.message().to_owned()))?
            .into_inner();
        speaks_ours(&answer.protocols).map_err(refused)?;
        let introduction = Introduction {
            key_sets: answer.key_sets,
            name: answer.name,
            version: answer.version,
            clock_skew_ms: skew_ms(answer.sent_at_ms, asked_ms, self.clock.now_ms()),
        };
        let addresses = network.peer(peer).map(|p| p.addresses).unwrap_or_default();
        self.directory
            .introduce(network.id(), peer, addresses, &introduction)
            .await
    }

    /// Every node of every network, or of one, by name.
    pub(crate) fn list_peers(&self, network: Option<NetworkId>) -> Vec<proto::Peer> {
        let networks = self.running_networks().into_iter();
        let rows = networks.flat_map(|running| {
            let (id, peers) = (running.id(), running.peers());
            peers.into_iter().map(move |peer| (id, peer))
        });
        let (mut seen, unseen): (Vec<_>, Vec<_>) =
            rows.partition(|(id, peer)| self.was_seen(*id, peer));
        // A block is known to each network. A node that was never seen there is shown once, and only if nowhere else.
        let mut shown: HashSet<PeerId> = seen.iter().map(|(_, peer)| peer.peer_id).collect();
        seen.extend(
            unseen
                .into_iter()
                .filter(|(_, peer)| shown.insert(peer.peer_id)),
        );
        let mut views: Vec<_> = seen
            .iter()
            .filter(|(id, _)| network.is_none_or(|wanted| wanted == *id))
            .map(|(id, peer)| self.peer_view(*id, peer))
            .collect();
        let key = |p: &proto::Peer| (p.name.clone(), p.peer_id.clone(), p.network_id.clone());
        views.sort_by_key(key);
        views
    }

    fn was_seen(&self, network: NetworkId, peer: &Peer) -> bool {
        let partner = self.directory.partner_of(peer.peer_id);
        let known = partner.is_some_and(|it| it.record.node(network, peer.peer_id).is_some());
        known || peer.last_seen.is_some()
    }

    fn peer_view(&self, network: NetworkId, peer: &Peer) -> proto::Peer {
        let id = peer.peer_id;
        let partner = self.directory.partner_of(id);
        let (state, cause) = self.state_of(network, peer);
        let node = partner.as_ref().and_then(|p| p.record.node(network, id));
        let clock_skew_ms = node.map_or(0, |node| node.clock_skew_ms);
        let version = partner.as_ref().map(|p| p.record.version.clone());
        let last_seen = peer.last_seen.map(|at| at.as_millisecond());
        proto::Peer {
            org_id: partner
                .as_ref()
                .map_or_else(String::new, |p| p.record.org_id.to_string()),
            peer_id: id.to_string(),
            name: partner.map_or_else(String::new, |p| p.record.name.clone()),
            network_id: network.to_string(),
            state: state.into(),
            last_seen_ms: last_seen.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
            version: version.unwrap_or_else(|| peer.agent.clone()),
            rtt_micros: peer.rtt.map_or(0, micros),
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            cause,
            clock_skew_ms,
        }
    }

    fn state_of(&self, network: NetworkId, peer: &Peer) -> (proto::PeerState, String) {
        if let Some(block) = self.directory.block_of(peer.peer_id) {
            return (proto::PeerState::Blocked, blocked_cause(&block.reason));
        }
        match peer.state {
            PeerState::Blocked => (proto::PeerState::Blocked, peer.cause.clone()),
            PeerState::Away => (proto::PeerState::Lost, peer.cause.clone()),
            PeerState::Connected if self.has_met(network, peer.peer_id) => {
                let partner = self.directory.partner_of(peer.peer_id);
                let node = partner
                    .as_ref()
                    .and_then(|p| p.record.node(network, peer.peer_id));
                let skew = node.and_then(|node| alarm(node.clock_skew_ms));
                (
                    proto::PeerState::Connected,
                    skew.unwrap_or_else(|| peer.cause.clone()),
                )
            }
            PeerState::Connected => {
                let failure = self.failures().get(&peer.peer_id).map(|f| f.cause.clone());
                let cause = failure.unwrap_or_else(|| "being introduced".to_owned());
                (proto::PeerState::Introducing, cause)
            }
        }
    }

    /// The best of an organisation's nodes.
    pub(crate) fn get_peer(&self, org: OrgId) -> Result<proto::Peer, DiscoveryError> {
        let partner = self.directory.partner(org)?;
        let rank = |peer: &proto::Peer| {
            let connected = peer.state() == proto::PeerState::Connected;
            (!connected, peer.rtt_micros)
        };
        let nodes = self.list_peers(None).into_iter();
        let best = nodes
            .filter(|peer| peer.org_id == org.to_string())
            .min_by_key(rank);
        Ok(best.unwrap_or_else(|| unseen(&partner)))
    }

    pub(crate) async fn peers_of(&self, network: &str) -> Result<Vec<proto::Peer>, DiscoveryError> {
        self.directory.settled().await;
        if network.is_empty() {
            return Ok(self.list_peers(None));
        }
        let unknown = |_| DiscoveryError::UnknownNetwork(network.chars().take(80).collect());
        Ok(self.list_peers(Some(network.parse().map_err(unknown)?)))
    }

    pub(crate) async fn peer_of(&self, org: &str) -> Result<proto::Peer, DiscoveryError> {
        self.directory.settled().await;
        let wrong = |_| DiscoveryError::Name(org.chars().take(80).collect());
        self.get_peer(org.parse().map_err(wrong)?)
    }

    pub(crate) async fn block(&self, peer: &str, reason: &str) -> Result<(), DiscoveryError> {
        let nodes = match self.named(peer)? {
            Named::Org(org) => self.directory.block(org, reason).await?,
            Named::Node(node) => {
                self.directory.block_node(node, reason).await?;
                vec![node]
            }
        };
        for network in self.running_networks() {
            for node in &nodes {
                network.block(*node).await?;
            }
        }
        tracing::info!(peer, reason, "blocked");
        Ok(())
    }

    pub(crate) async fn unblock(&self, peer: &str) -> Result<(), DiscoveryError> {
        let nodes = match self.named(peer)? {
            Named::Org(org) => self.directory.unblock(org).await?,
            Named::Node(node) => {
                self.directory.unblock_node(node).await?;
                vec![node]
            }
        };
        for network in self.running_networks() {
            for node in &nodes {
                network.unblock(*node).await?;
            }
        }
        tracing::info!(peer, "unblocked");
        Ok(())
    }

    /// A PeerId of a known organisation stands for the organisation.
    fn named(&self, text: &str) -> Result<Named, DiscoveryError> {
        if let Ok(org) = text.parse() {
            return Ok(Named::Org(org));
        }
        let wrong = |_| DiscoveryError::Name(text.chars().take(80).collect());
        let peer: PeerId = text.parse().map_err(wrong)?;
        Ok(match self.directory.partner_of(peer) {
            Some(partner) => Named::Org(partner.record.org_id),
            None => Named::Node(peer),
        })
    }
}

enum Named {
    Org(OrgId),
    Node(PeerId),
}

fn unseen(partner: &Partner) -> proto::Peer {
    let record = &partner.record;
    let (state, cause) = match &record.blocked {
        Some(block) => (proto::PeerState::Blocked, blocked_cause(&block.reason)),
        None => (
            proto::PeerState::Lost,
            "it is in no network that this node is in".to_owned(),
        ),
    };
    proto::Peer {
        org_id: record.org_id.to_string(),
        name: record.name.clone(),
        version: record.version.clone(),
        state: state.into(),
        cause,
        ..proto::Peer::default()
    }
}

fn blocked_cause(reason: &str) -> String {
    match reason {
        "" => "blocked here".to_owned(),
        reason => format!("blocked here: {reason}"),
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
