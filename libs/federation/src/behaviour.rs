//! What a swarm does: find, introduce, ping, announce, limit, refuse, and carry our streams.

use std::time::Duration;

use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, StreamProtocol, gossipsub, identify, kad, ping};

use crate::streams::{self, Connections};
use crate::{Limits, NetworkError, NetworkId, NetworkSettings};

const PENDING_OUTBOUND: u32 = 64;
/// Never reached by honest means: fewer are let in by [`crate::half_open`], and those sent away go at once.
const PENDING_INBOUND: u32 = 512;
/// Room for the signature, the author and the topic around an announcement.
const GOSSIP_OVERHEAD: usize = 1024;
const BOOTSTRAP: Duration = Duration::from_secs(60);

type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, Filter>;
type Filter = gossipsub::MaxCountSubscriptionFilter<gossipsub::AllowAllSubscriptionFilter>;

/// The gate comes first: a blocked peer or one too many reaches none of the others.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gate: allow_block_list::Behaviour<BlockedPeers>,
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) gossip: Gossip,
    pub(crate) streams: streams::Behaviour,
}

/// How a member of a network introduces itself.
pub(crate) fn protocol_version(network: NetworkId) -> String {
    format!("/opencloud/{network}/1")
}

/// The network another member said it belongs to, where it is one of ours.
pub(crate) fn announced_network(protocol_version: &str) -> Option<&str> {
    protocol_version
        .strip_prefix("/opencloud/")?
        .strip_suffix("/1")
}

pub(crate) fn kad_protocol(network: NetworkId) -> Result<StreamProtocol, NetworkError> {
    StreamProtocol::try_from_owned(format!("/opencloud/{network}/kad/1")).map_err(|error| {
        NetworkError::Setup {
            cause: error.to_string(),
        }
    })
}

impl Behaviour {
    pub(crate) fn new(
        settings: &NetworkSettings,
        connections: Connections,
    ) -> Result<Self, NetworkError> {
        let limits = &settings.limits;
        let peer = settings.node.peer_id();
        let public = settings.node.keypair().public();
        let identify = identify::Config::new(protocol_version(settings.id), public)
            .with_agent_version(settings.agent.clone())
            .with_hide_listen_addrs(settings.announce_only)
            .with_push_listen_addr_updates(true);
        let ping = ping::Config::new()
            .with_interval(limits.ping)
            .with_timeout(limits.ping * 2);
        Ok(Self {
            gate: allow_block_list::Behaviour::default(),
            limits: connection_limits::Behaviour::new(connection_limits(limits)),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            kad: kad_behaviour(settings.id, peer)?,
            gossip: gossip_behaviour(settings)?,
            streams: streams::Behaviour::new(connections),
        })
    }
}

fn connection_limits(limits: &Limits) -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_INBOUND))
        .with_max_pending_outgoing(Some(PENDING_OUTBOUND))
        .with_max_established(Some(limits.connections))
        .with_max_established_per_peer(Some(limits.connections_per_peer))
}

/// Finds peers and stores nothing: records that others send are dropped unread.
fn kad_behaviour(
    network: NetworkId,
    peer: PeerId,
) -> Result<kad::Behaviour<MemoryStore>, NetworkError> {
    let nothing = MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: 0,
        max_provided_keys: 0,
    };
    let mut config = kad::Config::new(kad_protocol(network)?);
    config
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_periodic_bootstrap_interval(Some(BOOTSTRAP))
        .set_query_timeout(Duration::from_secs(20));
    let store = MemoryStore::with_config(peer, nothing);
    let mut behaviour = kad::Behaviour::with_config(peer, store, config);
    behaviour.set_mode(Some(kad::Mode::Server));
    Ok(behaviour)
}

fn gossip_behaviour(settings: &NetworkSettings) -> Result<Gossip, NetworkError> {
    let setup = |cause: String| NetworkError::Setup { cause };
    let config = gossipsub::ConfigBuilder::default()
        .max_transmit_size(Limits::GOSSIP_BYTES + GOSSIP_OVERHEAD)
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .build()
        .map_err(|error| setup(error.to_string()))?;
    let author = gossipsub::MessageAuthenticity::Signed(settings.node.keypair().clone());
    let filter = gossipsub::MaxCountSubscriptionFilter {
        filter: gossipsub::AllowAllSubscriptionFilter {},
        max_subscribed_topics: 2 * Limits::TOPICS,
        max_subscriptions_per_request: 2 * Limits::TOPICS,
    };
    Gossip::new_with_subscription_filter(author, config, filter)
        .map_err(|error| setup(error.to_owned()))
}
