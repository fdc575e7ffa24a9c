//! Two organisations whose keys follow from their names, so that what they signed can lie in a corpus.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use oc_kernel::{Digest, Name, OrgId};
use oc_trust::{Here, KeyHistory, KeySet, LocalSigner, OrgKeys};

/// The time at which everything is read, in ms since the epoch.
pub(crate) const NOW_MS: u64 = 1_790_000_000_000;

pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) history: KeyHistory,
    pub(crate) signer: LocalSigner,
}

pub(crate) struct World {
    pub(crate) north: Org,
    pub(crate) south: Org,
    pub(crate) network: Name,
    pub(crate) keys: BTreeMap<OrgId, Arc<KeySet>>,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (north, south) = (found("north"), found("south"));
    let keys = [&north, &south].map(|org| (org.id, Arc::new(org.history.current().clone())));
    World {
        north,
        south,
        network: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        keys: keys.into(),
    }
});

impl World {
    pub(crate) fn here(&self) -> Here<'_> {
        Here {
            network: &self.network,
            now_ms: NOW_MS,
        }
    }
}

fn found(name: &str) -> Org {
    let mut seeds = OrgKeys::generate().seeds();
    for (purpose, seed) in &mut seeds {
        *seed = Digest::of(&format!("{name} {purpose}")).to_string().into();
    }
    let keys = OrgKeys::from_seeds(&seeds).unwrap();
    let history = KeyHistory::start(keys.found().unwrap()).unwrap();
    Org {
        id: history.org(),
        signer: keys.node.signer(),
        history,
    }
}
