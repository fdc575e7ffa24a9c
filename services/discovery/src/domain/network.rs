//! The networks this node is in, as they are stored.

use oc_federation::{Invitation, Multiaddr, NetworkId, SwarmKey};
use oc_store::{Collection, OutboxEvent};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::DiscoveryError;

pub(crate) static NETWORKS: Collection = Collection::new("networks", &[]);

/// A network this node is in. The swarm key is in it: whoever reads the store may join the network.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    pub(crate) network_id: NetworkId,
    pub(crate) name: String,
    /// The `swarm.key` file.
    pub(crate) key: String,
    /// The port of the last start.
    pub(crate) port: u16,
    pub(crate) created_here: bool,
    pub(crate) joined_at_ms: u64,
    /// Where members were found when joining; tried when no peer is known any more.
    pub(crate) addresses: Vec<String>,
    /// Set when leaving has begun: it is finished after a restart.
    pub(crate) leaving: bool,
}

impl NetworkRecord {
    pub(crate) fn swarm_key(&self) -> Result<SwarmKey, DiscoveryError> {
        self.key.parse().map_err(|_| DiscoveryError::NotRunning {
            network: self.network_id.to_string(),
            cause: "its stored key is damaged".to_owned(),
        })
    }

    pub(crate) fn known_addresses(&self) -> Vec<Multiaddr> {
        let addresses = self.addresses.iter();
        addresses.filter_map(|text| text.parse().ok()).collect()
    }

    pub(crate) fn event(&self, state: &str) -> OutboxEvent {
        let id = self.network_id.to_string();
        let data = json!({ "network_id": id, "state": state });
        OutboxEvent::new("oc.discovery.network.v1", id, data)
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), DiscoveryError> {
    if Invitation::is_name(name) {
        return Ok(());
    }
    Err(DiscoveryError::NetworkName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_people_and_fits_into_a_line() {
        for name in ["East", "Réseau de l'Est", "a"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "  ", "a\nb", "a\u{202e}b", "../a", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
