//! discovery: networks, the organisation's identity, its peers, and the only door to other organisations.
//!
//! It holds the organisation's keys and every connection to partners. It knows no rule of any other domain:
//! what a partner may have is decided by the services behind the door.

mod directory;
mod discovery;
mod domain;
mod door;
mod grpc;
mod heads;
mod identity;
mod name;
mod networks;
mod peers;
mod rest;
mod settings;
mod workers;

use std::sync::Arc;

use oc_bus::Bus;
use oc_kernel::Clock;
use oc_proto::discovery::v1::door_service_server::DoorServiceServer;
use oc_proto::discovery::v1::identity_service_server::IdentityServiceServer;
use oc_proto::discovery::v1::network_service_server::NetworkServiceServer;
use oc_proto::discovery::v1::peer_service_server::PeerServiceServer;
use oc_service::access::{Access, Role};
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard};
use oc_store::Store;
use tonic::service::Routes;

use crate::discovery::{Discovery, Surroundings};
use crate::domain::calls::CallLog;
use crate::domain::error::DiscoveryError;
use crate::identity::Identity;

pub use identity::{IdentityError, look as look_at_keys};
pub use settings::{Settings, SwarmSettings};

/// Its name in paths, logs and the switchboard.
pub const NAME: &str = "discovery";

/// What discovery is made of.
pub struct Parts {
    /// Its own store.
    pub store: Arc<dyn Store>,
    /// Where it tells what happens.
    pub bus: Arc<dyn Bus>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The way to the services behind the door.
    pub switchboard: Switchboard,
    /// Where it counts.
    pub metrics: Metrics,
    /// What the operator set.
    pub settings: Settings,
}

/// Why discovery cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The organisation's keys cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A metric's name is taken.
    #[error("cannot count the calls: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The store or the bus does not work.
    #[error("cannot read what is stored: {0}")]
    State(String),
}

impl From<DiscoveryError> for BuildError {
    fn from(error: DiscoveryError) -> Self {
        Self::State(error.to_string())
    }
}

/// Opens the organisation's identity, making it at the first start, and builds the service. The networks
/// are started by a worker.
///
/// # Errors
/// When the keys, the store or the bus cannot be used.
pub async fn build(parts: Parts) -> Result<App, BuildError> {
    let identity = Identity::open(&parts.settings)?;
    let name = name::settle(&parts.store, parts.settings.name).await;
    let name = name.map_err(DiscoveryError::from)?;
    tracing::info!(org = %identity.org, name, "this organisation");
    let directory =
        directory::Directory::load(identity.org, parts.store.clone(), parts.clock.clone()).await?;
    let calls = CallLog::new(&parts.metrics)?;
    let subscribed = parts.bus.subscribe(workers::grants()?).await;
    let grants = subscribed.map_err(DiscoveryError::from)?;
    let surroundings = Surroundings {
        switchboard: parts.switchboard,
        store: parts.store,
        bus: parts.bus,
        clock: parts.clock,
    };
    let swarm = parts.settings.swarm;
    let core = Arc::new(Discovery::new(
        identity,
        name,
        directory,
        calls,
        swarm,
        surroundings,
    ));
    let (documented, openapi) = rest::api().with_state(core.clone()).split_for_parts();
    let face = grpc::Face(core.clone());
    let ready = core.store.clone();
    let mut access = rest::access();
    access.extend(rpc_access());
    Ok(App {
        rest: documented.merge(rest::door().with_state(core.clone())),
        openapi,
        grpc: Routes::new(IdentityServiceServer::new(face.clone()))
            .add_service(NetworkServiceServer::new(face.clone()))
            .add_service(PeerServiceServer::new(face.clone()))
            .add_service(DoorServiceServer::new(face)),
        descriptors: oc_proto::DESCRIPTORS,
        access,
        ready: Arc::new(move || {
            let store = ready.clone();
            Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
        }),
        workers: workers::all(&core, grants),
        ..App::new(NAME)
    })
}

fn rpc_access() -> Vec<Access> {
    let rpc = |method: &str, role| Access::rpc(format!("/oc.discovery.v1.{method}"), role);
    vec![
        rpc("IdentityService/GetIdentity", Role::User),
        rpc("IdentityService/GetKeySets", Role::User),
        rpc("IdentityService/Sign", Role::Service),
        rpc("NetworkService/CreateNetwork", Role::Admin),
        rpc("NetworkService/Invite", Role::Admin),
        rpc("NetworkService/JoinNetwork", Role::Admin),
        rpc("NetworkService/LeaveNetwork", Role::Admin),
        rpc("NetworkService/ListNetworks", Role::User),
        rpc("PeerService/ListPeers", Role::User),
        rpc("PeerService/GetPeer", Role::User),
        rpc("PeerService/BlockPeer", Role::Operator),
        rpc("PeerService/UnblockPeer", Role::Operator),
        rpc("PeerService/PublishHead", Role::Service),
        rpc("DoorService/ListCalls", Role::Operator),
    ]
}
