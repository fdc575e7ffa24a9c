//! What a network is started with, and the bounds within which it works.

use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use oc_kernel::{Clock, SystemClock};

use crate::{NetworkId, NodeKey, SwarmKey};

/// One network: which, as whom, where.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// The network's id.
    pub id: NetworkId,
    /// The network's swarm key.
    pub key: SwarmKey,
    /// This node's key.
    pub node: NodeKey,
    /// Where to listen, each `/ip4/.../tcp/...` or `/ip6/.../tcp/...`; empty for a node without inbound port.
    pub listen: Vec<Multiaddr>,
    /// Addresses to tell others beside those listened on, for nodes behind a forwarded port.
    pub announce: Vec<Multiaddr>,
    /// Whether others are told `announce` alone: a node whose own addresses are nobody's business, or lead nowhere.
    pub announce_only: bool,
    /// Name and version of this software, for example `opencloud/0.1.0`.
    pub agent: String,
    /// Wall time, for "last seen".
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: Limits,
}

impl NetworkSettings {
    /// A node without an inbound port, by the system's clock and within the default bounds.
    pub fn new(id: NetworkId, key: SwarmKey, node: NodeKey, agent: &str) -> Self {
        Self {
            id,
            key,
            node,
            listen: Vec::new(),
            announce: Vec::new(),
            announce_only: false,
            agent: agent.to_owned(),
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
        }
    }
}

/// Bounds of one network; the defaults suit some hundred organisations.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections altogether.
    pub connections: u32,
    /// Most connections with one peer: two for calls (both sides may dial at once), the rest for bulk.
    pub connections_per_peer: u32,
    /// Peers the node tries to stay connected with by itself.
    pub neighbours: usize,
    /// Most peers remembered; the one unseen for longest is forgotten first.
    pub known_peers: usize,
    /// From the first packet to an open connection.
    pub connect: Duration,
    /// From asking for a stream to having it, connecting included.
    pub open_stream: Duration,
    /// How often neighbours are asked for a sign of life; after two without an answer the connection is closed.
    pub ping: Duration,
    /// Streams of one protocol that wait to be taken; one more is refused with a reason.
    pub inbound_queue: usize,
    /// Announcements one author may make at once.
    pub gossip_burst: u32,
    /// Announcements one author may make each second in the long run.
    pub gossip_per_second: f64,
    /// Announcements kept for a slow subscriber; it is told how many it missed.
    pub gossip_queue: usize,
}

impl Limits {
    /// Largest announcement in bytes.
    pub const GOSSIP_BYTES: usize = 64 * 1024;
    /// Most topics a network carries.
    pub const TOPICS: usize = 32;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_peer: 8,
            neighbours: 64,
            known_peers: 4096,
            connect: Duration::from_secs(9),
            open_stream: Duration::from_secs(12),
            ping: Duration::from_secs(5),
            inbound_queue: 32,
            gossip_burst: 50,
            gossip_per_second: 5.0,
            gossip_queue: 1024,
        }
    }
}
