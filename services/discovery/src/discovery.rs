//! The service's parts in one place. Each module beside this one adds what it does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use oc_bus::Bus;
use oc_federation::{Network, NetworkId, PeerId};
use oc_kernel::Clock;
use oc_service::Switchboard;
use oc_store::{Documents, Store};
use tokio::task::JoinSet;

use crate::directory::Directory;
use crate::domain::calls::CallLog;
use crate::domain::network::{NETWORKS, NetworkRecord};
use crate::heads::{HEADS, HeadRecord};
use crate::identity::Identity;
use crate::settings::SwarmSettings;

/// A network that runs; its tasks end when it is dropped.
pub(crate) struct Running {
    pub(crate) network: Network,
    pub(crate) _tasks: JoinSet<()>,
}

/// Why a node has not introduced itself, and when it is asked again.
pub(crate) struct Failure {
    pub(crate) cause: String,
    pub(crate) again: Instant,
}

pub(crate) struct Discovery {
    pub(crate) identity: Identity,
    /// The organisation's name for people.
    pub(crate) name: String,
    pub(crate) directory: Directory,
    pub(crate) swarm: SwarmSettings,
    pub(crate) switchboard: Switchboard,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) calls: CallLog,
    pub(crate) networks: Documents<NetworkRecord>,
    pub(crate) heads: Documents<HeadRecord>,
    pub(crate) running: RwLock<BTreeMap<NetworkId, Running>>,
    /// Why a network that should run does not.
    pub(crate) stopped: Mutex<HashMap<NetworkId, String>>,
    pub(crate) failures: Mutex<HashMap<PeerId, Failure>>,
    /// Networks are made, joined and left one at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Discovery {
    pub(crate) fn new(
        identity: Identity,
        name: String,
        directory: Directory,
        calls: CallLog,
        swarm: SwarmSettings,
        parts: Surroundings,
    ) -> Self {
        Self {
            identity,
            name,
            directory,
            swarm,
            calls,
            networks: Documents::new(parts.store.clone(), &NETWORKS, 1),
            heads: Documents::new(parts.store.clone(), &HEADS, 1),
            switchboard: parts.switchboard,
            store: parts.store,
            bus: parts.bus,
            clock: parts.clock,
            running: RwLock::default(),
            stopped: Mutex::default(),
            failures: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// A network that runs.
    pub(crate) fn network(&self, id: NetworkId) -> Option<Network> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.get(&id).map(|running| running.network.clone())
    }

    /// Every network that runs.
    pub(crate) fn running_networks(&self) -> Vec<Network> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.values().map(|r| r.network.clone()).collect()
    }

    pub(crate) fn failures(&self) -> MutexGuard<'_, HashMap<PeerId, Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stopped(&self) -> MutexGuard<'_, HashMap<NetworkId, String>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What discovery is given from outside.
pub(crate) struct Surroundings {
    pub(crate) switchboard: Switchboard,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Arc<dyn Clock>,
}
