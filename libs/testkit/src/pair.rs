//! Two organisations on one private network.

use std::time::Duration;

use oc_client::Client;
use oc_proto::discovery::v1::{
    CreateNetworkRequest, InviteRequest, JoinNetworkRequest, Network, PeerState,
};

use crate::node::Node;
use crate::wait::until;

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
        let create = CreateNetworkRequest {
            name: "pair".to_owned(),
            port: 0,
        };
        let network = north
            .client()
            .discovery()
            .create_network(&create)
            .await
            .unwrap();
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
