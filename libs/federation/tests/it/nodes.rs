//! Nodes to play with.

use std::future::Future;
use std::time::Duration;

use oc_federation::{
    Multiaddr, Network, NetworkEvent, NetworkId, NetworkSettings, NodeKey, PeerId, PeerState,
    SwarmKey,
};
use tokio::sync::broadcast;

pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// The id and key of a network of a test's own.
pub(crate) struct Realm {
    pub(crate) id: NetworkId,
    pub(crate) key: SwarmKey,
}

impl Realm {
    pub(crate) fn new() -> Self {
        Self {
            id: NetworkId::generate(),
            key: SwarmKey::generate(),
        }
    }

    pub(crate) fn settings(&self) -> NetworkSettings {
        NetworkSettings {
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            ..NetworkSettings::new(
                self.id,
                self.key.clone(),
                NodeKey::generate(),
                "opencloud/test",
            )
        }
    }

    pub(crate) async fn node(&self) -> Network {
        Network::start(self.settings()).await.unwrap()
    }

    pub(crate) async fn pair(&self) -> (Network, Network) {
        let (a, b) = (self.node().await, self.node().await);
        b.join(&[address(&a).await], LIMIT).await.unwrap();
        until(|| connected(&a, b.local_peer())).await;
        (a, b)
    }
}

pub(crate) async fn address(network: &Network) -> Multiaddr {
    network.listeners().await.unwrap().remove(0)
}

pub(crate) fn connected(network: &Network, peer: PeerId) -> bool {
    network
        .peer(peer)
        .is_some_and(|p| p.state == PeerState::Connected && !p.agent.is_empty())
}

/// Waits for a condition, at most [`LIMIT`].
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let done = tokio::time::timeout(LIMIT, waiting).await;
        assert!(done.is_ok(), "the condition at {caller} did not come true");
    }
}

pub(crate) async fn event(
    events: &mut broadcast::Receiver<NetworkEvent>,
    wanted: impl Fn(&NetworkEvent) -> bool,
) -> NetworkEvent {
    let waiting = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap()
}
