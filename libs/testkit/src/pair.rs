//! Two organisations on one private network.

use std::net::Ipv4Addr;
use std::time::Duration;

use oc_client::Client;
use oc_proto::discovery::v1::{
    CreateNetworkRequest, InviteRequest, JoinNetworkRequest, Network, PeerState,
};

use crate::link::Link;
use crate::node::Node;
use crate::wait::until;

/// Where the link listens, on the port that North has at another loopback address.
const LINK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MEET_LIMIT: Duration = Duration::from_secs(20);

/// North, which made the network, and South, which joined it.
pub struct Pair {
    /// The one that made the network.
    pub north: Node,
    /// The one that joined.
    pub south: Node,
    /// The network, as North sees it.
    pub network: Network,
    /// North's OrgId.
    pub north_id: String,
    /// South's OrgId.
    pub south_id: String,
}

impl Pair {
    /// Starts both and joins them.
    ///
    /// # Panics
    /// When they do not meet.
    pub async fn meet() -> Self {
        Self::meet_with(&[], &[]).await
    }

    /// The same with settings for each, `key=value`.
    ///
    /// # Panics
    /// When they do not meet.
    pub async fn meet_with(north: &[&str], south: &[&str]) -> Self {
        let north = Node::start_with("North", north).await;
        let south = Node::start_with("South", south).await;
        let network = found(&north).await;
        Self::join(north, south, network).await
    }

    /// The same, where whatever passes between the two passes one link: South knows no other way to North, and North
    /// none to South.
    ///
    /// # Panics
    /// When they do not meet.
    pub async fn meet_over_link(north: &[&str], south: &[&str]) -> (Self, Link) {
        let announced = format!("discovery.swarm.announce=[\"/ip4/{LINK}\"]");
        let host = format!("discovery.swarm.host={}", Ipv4Addr::LOCALHOST);
        let alone = "discovery.swarm.announce_only=true";
        let north = Node::start_with("North", &[north, &[&host, &announced, alone]].concat()).await;
        let south = Node::start_with("South", &[south, &[&host, alone]].concat()).await;
        let network = found(&north).await;
        let port = port_of(&network.listen[0]);
        let link = Link::start((LINK, port).into(), (Ipv4Addr::LOCALHOST, port).into()).await;
        (Self::join(north, south, network).await, link)
    }

    async fn join(north: Node, south: Node, network: Network) -> Self {
        let invite = InviteRequest {
            network_id: network.network_id.clone(),
            ..InviteRequest::default()
        };
        let invitation = north.client().discovery().invite(&invite).await.unwrap();
        let join = JoinNetworkRequest {
            invitation,
            port: 0,
        };
        south
            .client()
            .discovery()
            .join_network(&join)
            .await
            .unwrap();
        let north_id = north.client().discovery().identity().await.unwrap().org_id;
        let south_id = south.client().discovery().identity().await.unwrap().org_id;
        let pair = Self {
            north,
            south,
            network,
            north_id,
            south_id,
        };
        pair.connected().await;
        pair
    }

    /// Waits until both see each other.
    ///
    /// # Panics
    /// When they do not.
    pub async fn connected(&self) {
        sees(&self.north.client(), &self.south_id).await;
        sees(&self.south.client(), &self.north_id).await;
    }
}

async fn found(north: &Node) -> Network {
    let create = CreateNetworkRequest {
        name: "pair".to_owned(),
        port: 0,
    };
    let client = north.client();
    client.discovery().create_network(&create).await.unwrap()
}

/// Of a multiaddress `/ip4/.../tcp/PORT`.
fn port_of(address: &str) -> u16 {
    let port = address.split("/tcp/").nth(1).unwrap();
    port.split('/').next().unwrap().parse().unwrap()
}

async fn sees(client: &Client, org_id: &str) {
    until(
        "both organisations see each other",
        MEET_LIMIT,
        async || {
            let peers = client.discovery().peers().await.ok()?;
            let connected = i32::from(PeerState::Connected);
            peers
                .iter()
                .any(|peer| peer.org_id == org_id && peer.state == connected)
                .then_some(())
        },
    )
    .await;
}
