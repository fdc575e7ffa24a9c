//! Other organisations, as they are stored: their proven KeySets, their nodes, and whether we block them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_federation::{Multiaddr, NetworkId, PeerId};
use oc_kernel::{DisplayName, OrgId};
use oc_store::{Collection, OutboxEvent};
use oc_trust::keyset::{HistoryError, KeyHistory};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) static PARTNERS: Collection = Collection::new("partners", &[]);
pub(crate) static BLOCKED_NODES: Collection = Collection::new("blocked-nodes", &[]);

const VERSION_CHARACTERS: usize = 64;
const KEY_SETS: usize = 64;
const KEY_SET_BYTES: usize = 64 * 1024;

/// Who refuses whom, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) reason: String,
    pub(crate) since_ms: u64,
}

/// A node that has proved to be an organisation's, in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    #[serde(with = "text")]
    pub(crate) peer_id: PeerId,
    pub(crate) network_id: NetworkId,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) last_seen_ms: u64,
    pub(crate) connected: bool,
    /// Why it is in this state.
    pub(crate) cause: String,
    /// How far its clock was ahead of ours when it introduced itself.
    #[serde(default)]
    pub(crate) clock_skew_ms: i64,
}

/// A node that was blocked before its organisation was known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockedNode {
    #[serde(with = "text")]
    pub(crate) peer_id: PeerId,
    pub(crate) block: Block,
}

/// Another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartnerRecord {
    pub(crate) org_id: OrgId,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Signed KeySets, oldest first, each in base64.
    pub(crate) key_sets: Vec<String>,
    pub(crate) nodes: Vec<NodeRecord>,
    pub(crate) blocked: Option<Block>,
    /// A grant with it was in force once: its KeySets verify the books, also after it has gone.
    pub(crate) had_grant: bool,
}

impl PartnerRecord {
    pub(crate) fn new(org_id: OrgId) -> Self {
        Self {
            org_id,
            name: String::new(),
            version: String::new(),
            key_sets: Vec::new(),
            nodes: Vec::new(),
            blocked: None,
            had_grant: false,
        }
    }

    pub(crate) fn history(&self) -> Result<KeyHistory, HistoryError> {
        let decoded: Vec<_> = self
            .key_sets
            .iter()
            .map(|text| STANDARD.decode(text).unwrap_or_default())
            .collect();
        KeyHistory::verify(&self.org_id, &decoded)
    }

    pub(crate) fn keep(&mut self, history: &KeyHistory) {
        let versions = history.versions().iter();
        self.key_sets = versions.map(|v| STANDARD.encode(v.bytes())).collect();
    }

    pub(crate) fn node(&self, network: NetworkId, peer: PeerId) -> Option<&NodeRecord> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.network_id == network && node.peer_id == peer)
    }

    pub(crate) fn node_mut(&mut self, network: NetworkId, peer: PeerId) -> &mut NodeRecord {
        let same = |node: &NodeRecord| node.network_id == network && node.peer_id == peer;
        let at = self.nodes.iter().position(same).unwrap_or_else(|| {
            self.nodes.push(NodeRecord {
                peer_id: peer,
                network_id: network,
                addresses: Vec::new(),
                last_seen_ms: 0,
                connected: false,
                cause: "never connected".to_owned(),
                clock_skew_ms: 0,
            });
            self.nodes.len() - 1
        });
        &mut self.nodes[at]
    }

    /// True where nothing of it need be kept.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.nodes.is_empty() && self.blocked.is_none() && !self.had_grant
    }

    pub(crate) fn event(&self, node: Option<(NetworkId, PeerId)>, state: &str) -> OutboxEvent {
        let id = self.org_id.to_string();
        let (network, peer) = node.map_or_else(Default::default, |(network, peer)| {
            (network.to_string(), peer.to_string())
        });
        let data = json!({
            "org_id": id, "peer_id": peer, "network_id": network, "state": state, "name": self.name,
        });
        OutboxEvent::new("oc.discovery.peer.v1", id, data)
    }
}

/// What a node says about itself in Hello.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) key_sets: Vec<Vec<u8>>,
    pub(crate) name: String,
    pub(crate) version: String,
    /// How far its clock is ahead of ours, by the time that it said.
    pub(crate) clock_skew_ms: i64,
}

impl Introduction {
    /// Checks the name and the KeySets, and that the node that presents them is listed in the newest of them. The node
    /// itself must present them: an organisation could list another's node, but not make it say so.
    pub(crate) fn verify(&self, peer: PeerId) -> Result<KeyHistory, String> {
        self.name
            .parse::<DisplayName>()
            .map_err(|error| error.to_string())?;
        if self.key_sets.len() > KEY_SETS {
            return Err(format!("more than {KEY_SETS} KeySets"));
        }
        if self
            .key_sets
            .iter()
            .any(|bytes| bytes.len() > KEY_SET_BYTES)
        {
            return Err(format!("a KeySet of more than {KEY_SET_BYTES} bytes"));
        }
        let mut history: Option<KeyHistory> = None;
        for bytes in &self.key_sets {
            let next = oc_trust::SignedKeySet::open(bytes).map_err(|e| e.to_string())?;
            match history.as_mut() {
                Some(history) => history.append(next).map_err(|e| e.to_string())?,
                None => history = Some(KeyHistory::start(next).map_err(|e| e.to_string())?),
            }
        }
        let history = history.ok_or("it has no KeySet")?;
        check_node(&history, peer)?;
        Ok(history)
    }

    pub(crate) fn shown_version(&self) -> String {
        oc_kernel::visible(&self.version)
            .chars()
            .take(VERSION_CHARACTERS)
            .collect()
    }
}

pub(crate) fn check_node(history: &KeyHistory, peer: PeerId) -> Result<(), String> {
    let node: oc_trust::PeerId = peer
        .to_string()
        .parse()
        .map_err(|error: oc_trust::ParsePeerIdError| error.to_string())?;
    if !history.current().has_node(&node) {
        return Err("its KeySet does not list the node that presents it".to_owned());
    }
    Ok(())
}

/// The longer of two histories of the same organisation.
///
/// # Errors
/// When they contradict each other: someone holds a root key that was replaced.
pub(crate) fn newer(known: KeyHistory, told: KeyHistory) -> Result<KeyHistory, String> {
    let (longer, shorter) = if told.versions().len() > known.versions().len() {
        (told, known)
    } else {
        (known, told)
    };
    let same = shorter
        .versions()
        .iter()
        .zip(longer.versions())
        .all(|(a, b)| a.digest() == b.digest());
    if same {
        Ok(longer)
    } else {
        Err("its KeySets contradict those known here".to_owned())
    }
}

/// A PeerId as text.
mod text {
    use oc_federation::PeerId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        peer: &PeerId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(peer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PeerId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use oc_trust::OrgKeys;

    use super::*;

    fn peer_of(keys: &OrgKeys) -> PeerId {
        keys.node.peer_id().as_str().parse().unwrap()
    }

    fn told(history: &KeyHistory) -> Introduction {
        Introduction {
            key_sets: history
                .versions()
                .iter()
                .map(|v| v.bytes().to_vec())
                .collect(),
            name: "North".to_owned(),
            version: "0.1.0".to_owned(),
            clock_skew_ms: 0,
        }
    }

    #[test]
    fn a_node_is_believed_only_with_a_key_set_that_lists_it() {
        let north = OrgKeys::generate();
        let history = KeyHistory::start(north.found().unwrap()).unwrap();
        let introduction = told(&history);
        assert_eq!(introduction.verify(peer_of(&north)), Ok(history));
        let thief = OrgKeys::generate();
        let refused = introduction.verify(peer_of(&thief)).unwrap_err();
        assert!(refused.contains("does not list the node"), "{refused}");
    }

    #[test]
    fn a_node_whose_name_could_pass_for_another_is_not_believed() {
        let north = OrgKeys::generate();
        let history = KeyHistory::start(north.found().unwrap()).unwrap();
        let named = |name: &str| Introduction {
            name: name.to_owned(),
            ..told(&history)
        };
        for name in ["", "Sou\u{202e}ht", "South\n", &"a".repeat(101)] {
            let refused = named(name).verify(peer_of(&north)).unwrap_err();
            assert!(refused.contains("a name"), "{refused}");
        }
    }

    #[test]
    fn an_older_history_does_not_replace_a_newer_one_and_a_fork_is_refused() {
        let keys = OrgKeys::generate();
        let first = keys.found().unwrap();
        let old = KeyHistory::start(first.clone()).unwrap();
        let follow = |node: &OrgKeys| {
            let mut history = old.clone();
            let nodes = vec![node.node.peer_id()];
            let next = keys.root.follow(&first, nodes, node.node.listed()).unwrap();
            history.append(next).unwrap();
            history
        };
        let (new, fork) = (follow(&OrgKeys::generate()), follow(&OrgKeys::generate()));
        assert_eq!(newer(new.clone(), old.clone()), Ok(new.clone()));
        assert_eq!(newer(old, new.clone()), Ok(new.clone()));
        assert!(newer(new, fork).is_err());
    }

    #[test]
    fn too_many_key_sets_or_none_are_refused_unread() {
        let keys = OrgKeys::generate();
        let mut introduction = told(&KeyHistory::start(keys.found().unwrap()).unwrap());
        introduction.key_sets = vec![vec![0; 10]; 65];
        assert!(introduction.verify(peer_of(&keys)).is_err());
        introduction.key_sets.clear();
        assert!(introduction.verify(peer_of(&keys)).is_err());
    }
}
