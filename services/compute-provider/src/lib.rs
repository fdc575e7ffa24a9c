//! compute-provider: our machines and storage for our own runs and for partners' steps. It keeps offers,
//! grants and the ledger of capacity, admits attempts, has them run and serves the objects of storage offers.
//!
//! It does not know how a workflow is planned, how a partner is reached, or what a usage record costs.

pub mod domain;
pub mod runtime;

mod api;
mod attempts;
mod authority;
mod capacity;
mod convert;
mod documents;
mod error;
mod grants;
mod grpc;
mod macaroons;
mod metrics;
mod offers;
mod ports;
mod provider;
mod rest;
mod settings;
mod storage;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use oc_bus::{Bus, BusError, Relay};
use oc_door::Door;
use oc_kernel::Clock;
use oc_objects::Objects;
use oc_proto::compute::v1::grant_service_server::GrantServiceServer;
use oc_proto::compute::v1::macaroon_service_server::MacaroonServiceServer;
use oc_proto::compute::v1::offer_service_server::OfferServiceServer;
use oc_proto::compute::v1::storage_service_server::StorageServiceServer;
use oc_proto::federation::v1::compute_service_server::ComputeServiceServer;
use oc_proto::federation::v1::objects_service_server::ObjectsServiceServer;
use oc_service::access::{Access, Role};
use oc_service::{App, Switchboard, Worker};
use oc_store::{Store, StoreOutbox};
use tokio::sync::Notify;
use tonic::service::Routes;

pub use error::Error;
pub use settings::Settings;

use attempts::{LeaseBook, Live, Logs};
use authority::Authorities;
use capacity::Ledgers;
use documents::Shelf;
use domain::runtime::{Runtime, RuntimeError};
use domain::step::StepObjects;
use metrics::Metrics;
use ports::Ports;
use provider::Provider;
use runtime::process::ProcessRuntime;
use storage::Uploads;
use tokens::Tokens;

/// The name of this service.
pub const NAME: &str = ports::ME;

/// Largest submission that is taken, in bytes: a fragment's document with its inputs and their chains.
const LARGEST_MESSAGE: usize = 8 << 20;

/// What the compute provider is built of.
pub struct Parts {
    /// Its own documents.
    pub store: Arc<dyn Store>,
    /// Where discovery's events come from, and its own go.
    pub bus: Arc<dyn Bus>,
    /// The bytes of storage offers.
    pub objects: Arc<dyn Objects>,
    /// A folder of its own for running attempts and for bytes on their way.
    pub work: PathBuf,
    /// Where this node's API is reached from this machine, for example `http://127.0.0.1:8080`.
    pub address: String,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The way to the other services.
    pub switchboard: Switchboard,
    /// Identity, signatures, keys, and the way to partners.
    pub door: Door,
    /// What `/metrics` shows.
    pub metrics: oc_service::telemetry::Metrics,
    /// Settings.
    pub settings: Settings,
}

/// Why the compute provider cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store or something in it failed.
    #[error("what the compute provider keeps cannot be read")]
    Store(#[from] Error),
    /// The folder for attempts cannot be used.
    #[error("attempts cannot be run")]
    Runtime(#[from] RuntimeError),
    /// The folder for bytes on their way cannot be used.
    #[error("the folder {} cannot be used: check that it may be written", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bus failed.
    #[error("discovery's events cannot be had")]
    Bus(#[from] BusError),
    /// A metric's name is taken.
    #[error("the metrics of the compute provider cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Builds the compute provider; attempts run as processes of this machine.
///
/// # Errors
/// When the store, the bus or a folder fails.
pub async fn build(parts: Parts) -> Result<App, BuildError> {
    let root = parts.work.join("attempts");
    let clock = Arc::clone(&parts.clock);
    let runtime = ProcessRuntime::open(&parts.settings.process, &root, &parts.address, clock)?;
    build_over(parts, Arc::new(runtime)).await
}

/// The same, over another runtime.
///
/// # Errors
/// When the store, the bus or a folder fails.
pub async fn build_over(parts: Parts, runtime: Arc<dyn Runtime>) -> Result<App, BuildError> {
    let Parts {
        store,
        bus,
        objects,
        work,
        clock,
        switchboard,
        door,
        metrics,
        settings,
        ..
    } = parts;
    let spool = work.join("spool");
    prepare(&spool).map_err(|source| BuildError::Folder {
        folder: spool.clone(),
        source,
    })?;
    let shelf = Shelf::new(&store);
    let provider = Provider::new(provider::Parts {
        tokens: Tokens::load(&shelf).await?,
        sandbox: runtime.sandbox().await,
        ports: Ports::new(&switchboard, door.clone()),
        authorities: Authorities::new(door, Arc::clone(&clock)),
        ledgers: Ledgers::new(shelf.clone(), Arc::clone(&clock)),
        logs: Logs::new(shelf.clone()),
        metrics: Metrics::new(&metrics)?,
        leases: LeaseBook::default(),
        live: Live::default(),
        uploads: Uploads::default(),
        asking: tokio::sync::Mutex::default(),
        changing_rooms: tokio::sync::Mutex::default(),
        news: std::sync::Mutex::default(),
        wake_supervisor: Notify::new(),
        wake_lister: Notify::new(),
        wake_keeper: Notify::new(),
        began: Instant::now(),
        settings,
        shelf,
        clock,
        objects,
        runtime,
        spool,
    });
    provider.open_workspace().await?;
    let departures = Provider::departures(&bus).await?;
    let changes = Provider::changes(&bus).await?;
    let outbox = StoreOutbox::new(Arc::clone(&store), "/compute-provider");
    let relay = Relay::new(Arc::new(outbox), bus);
    Ok(app(provider, store, relay, [departures, changes]))
}

/// Makes the spool, empty: what a former process left half received there is asked for again.
fn prepare(spool: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(spool)?;
    for entry in std::fs::read_dir(spool)? {
        let path = entry?.path();
        // Parts of uploads go on where they stopped; the rest belonged to requests that are gone.
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn app(
    provider: Provider,
    store: Arc<dyn Store>,
    relay: Relay,
    [departures, changes]: [Box<dyn oc_bus::Consumer>; 2],
) -> App {
    let step_objects: Arc<dyn StepObjects> = Arc::new(provider.clone());
    let (rest, openapi) = rest::api()
        .with_state(provider.clone())
        .merge(runtime::routes::router(step_objects))
        .split_for_parts();
    let openapi = rest::described(openapi);
    let compute =
        ComputeServiceServer::new(provider.clone()).max_decoding_message_size(LARGEST_MESSAGE);
    let grpc = Routes::new(OfferServiceServer::new(provider.clone()))
        .add_service(GrantServiceServer::new(provider.clone()))
        .add_service(StorageServiceServer::new(provider.clone()))
        .add_service(MacaroonServiceServer::new(provider.clone()))
        .add_service(compute)
        .add_service(ObjectsServiceServer::new(provider.clone()));
    let workers = [
        provider.clone(),
        provider.clone(),
        provider.clone(),
        provider.clone(),
    ];
    let [lister, keeper, supervisor, sweeper] = workers;
    let follower = provider.clone();
    let teller = provider.clone();
    App {
        rest: rest.merge(rest::internal().with_state(provider)),
        openapi,
        grpc,
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready: Arc::new(move || {
            let store = Arc::clone(&store);
            Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
        }),
        workers: vec![
            Worker::new("compute-relay", async move |stop| {
                relay.run(stop).await;
                Ok(())
            }),
            Worker::new("compute-offers", move |stop| lister.keep_listed(stop)),
            Worker::new("compute-grants", move |stop| keeper.keep_grants(stop)),
            Worker::new("compute-attempts", move |stop| {
                supervisor.supervise_attempts(stop)
            }),
            Worker::new("compute-storage", move |stop| sweeper.sweep_storage(stop)),
            Worker::new("compute-departures", move |stop| {
                follower.follow_departures(departures, stop)
            }),
            Worker::new("compute-grant-news", move |stop| {
                teller.tell_news(changes, stop)
            }),
        ],
        ..App::new(NAME)
    }
}

fn access() -> Vec<Access> {
    let operator = [
        "OfferService/CreateOffer",
        "OfferService/WithdrawOffer",
        "GrantService/RequestGrant",
        "GrantService/ApproveGrant",
        "GrantService/DenyGrant",
        "GrantService/RevokeGrant",
        "GrantService/EndGrant",
        "GrantService/ListRules",
        "GrantService/PutRule",
        "GrantService/DeleteRule",
    ];
    let user = [
        "OfferService/ListOffers",
        "GrantService/ListGrants",
        "GrantService/GetGrant",
        "StorageService/ListObjects",
        "StorageService/DeleteObject",
    ];
    let service = [
        "GrantService/CheckGrant",
        "GrantService/CountEgress",
        "StorageService/SetRunUser",
        "MacaroonService/MintMacaroon",
        "MacaroonService/ValidateMacaroon",
    ];
    let partner = [
        "ComputeService/RequestGrant",
        "ComputeService/GetGrant",
        "ComputeService/AcceptGrant",
        "ComputeService/EndGrant",
        "ComputeService/NoteGrant",
        "ComputeService/GetCapacity",
        "ComputeService/ReserveCapacity",
        "ComputeService/Submit",
        "ComputeService/RenewLease",
        "ComputeService/Watch",
        "ComputeService/CancelAttempt",
        "ComputeService/ReleaseCapacity",
        "ObjectsService/RequestUpload",
        "ObjectsService/GetUpload",
        "ObjectsService/OpenDownload",
        "ObjectsService/RemoveOutputs",
    ];
    let own = |methods: &[&'static str], role| {
        let path = |method: &&str| format!("/oc.compute.v1.{method}");
        methods
            .iter()
            .map(|method| Access::rpc(path(method), role))
            .collect::<Vec<_>>()
    };
    let mut rows = rest::access();
    rows.extend(runtime::routes::access());
    rows.extend(own(&operator, Role::Operator));
    rows.extend(own(&user, Role::User));
    rows.extend(own(&service, Role::Service));
    rows.extend(partner.iter().map(|method| {
        Access::rpc(format!("/oc.federation.v1.{method}"), Role::Partner).or(Role::Service)
    }));
    rows
}
