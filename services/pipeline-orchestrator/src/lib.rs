//! pipeline-orchestrator: from a workflow to results. It plans where steps run, drives runs over our own and
//! partners' sites, and says why a run is where it is.
//!
//! What a run is and what follows from what lives in `oc-workflow`; this service asks, stores and tells. It
//! knows no store of objects, no process and no cluster.

mod again;
mod clearing;
mod context;
mod documents;
mod driver;
mod erasure;
mod error;
mod explaining;
mod fetching;
mod files;
mod grpc;
mod hub;
mod orchestrator;
mod planning;
mod ports;
mod present;
mod request;
mod rest;
mod results;
mod root;
mod settings;
mod submission;
mod supervisor;
mod values;

use std::sync::Arc;

use http::Method;
use oc_bus::{Bus, BusError, Relay};
use oc_door::Door;
use oc_kernel::Clock;
use oc_service::access::{Access, Role};
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard, Worker};
use oc_store::{Store, StoreOutbox};
use tokio::sync::mpsc;

pub use error::RunError;
pub use settings::Settings;

use context::Context;
use documents::Shelf;
use hub::Hub;
use orchestrator::Orchestrator;
use ports::{
    BehindTheDoor, OutputsAtTheirOwner, RemoteBooks, RemoteCatalogue, RemoteGrants, RemoteObjects,
};

/// The name of this service.
pub const NAME: &str = "pipeline-orchestrator";

/// Runs that wait to be driven.
const BEGINNINGS: usize = 64;

/// What the orchestrator is built of.
pub struct Parts {
    /// Its own documents.
    pub store: Arc<dyn Store>,
    /// Where its events go.
    pub bus: Arc<dyn Bus>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The way to the other services.
    pub switchboard: Switchboard,
    /// Identity, signatures, and the way to partners.
    pub door: Door,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Settings.
    pub settings: Settings,
}

/// Why the orchestrator cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A metric's name is taken.
    #[error("the metrics of the orchestrator cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The bus refuses the subscription.
    #[error("the orchestrator cannot hear of users: {0}")]
    Bus(#[from] BusError),
}

/// Builds the orchestrator. Runs that were on their way go on once its workers run.
///
/// # Errors
/// When its metrics cannot be registered or the bus refuses its subscription.
pub async fn build(parts: Parts) -> Result<App, BuildError> {
    let Parts {
        store,
        bus,
        clock,
        switchboard,
        door,
        metrics,
        settings,
    } = parts;
    let context = Arc::new(Context {
        shelf: Shelf::new(&store),
        federation: Arc::new(BehindTheDoor::new(door.clone())),
        catalogue: Arc::new(RemoteCatalogue::new(&switchboard, NAME)),
        grants: Arc::new(RemoteGrants::new(&switchboard, NAME)),
        objects: Arc::new(RemoteObjects::new(&switchboard, NAME)),
        books: Arc::new(RemoteBooks::new(&switchboard, NAME)),
        outputs: Arc::new(OutputsAtTheirOwner::new(door.clone())),
        door,
        clock,
        settings,
    });
    let runs = metrics.gauge("oc_pipeline_runs", "Runs that are being driven", &[])?;
    let hub = Hub::default();
    let (begin, beginnings) = mpsc::channel(BEGINNINGS);
    let orchestrator = Orchestrator::new(context.clone(), hub.clone(), begin);
    let face = rest::Face::new(orchestrator.clone());
    let (rest, openapi) = rest::api().with_state(face).split_for_parts();
    let outbox = Arc::new(StoreOutbox::new(
        Arc::clone(&store),
        "/pipeline-orchestrator",
    ));
    let users = erasure::subscribe(&*bus).await?;
    let relay = Relay::new(outbox, bus);
    let forgetful = context.shelf.clone();
    let clearing = context.clone();
    Ok(App {
        rest,
        openapi,
        grpc: grpc::routes(orchestrator),
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready: Arc::new(move || {
            let store = Arc::clone(&store);
            Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
        }),
        workers: vec![
            Worker::new("pipeline-relay", async move |stop| {
                relay.run(stop).await;
                Ok(())
            }),
            Worker::new("pipeline-runs", move |stop| {
                supervisor::supervise(context, hub, beginnings, runs, stop)
            }),
            Worker::new("pipeline-clearing", move |stop| {
                clearing::run(clearing, stop)
            }),
            Worker::new("pipeline-erasure", move |stop| {
                erasure::run(forgetful, users, stop)
            }),
        ],
        ..App::new(NAME)
    })
}

fn access() -> Vec<Access> {
    let user = |method: Method, path: &str| {
        Access::rest(method, format!("{}{path}", rest::PREFIX), Role::User)
    };
    let call = |name: &str| Access::rpc(format!("/oc.pipeline.v1.RunService/{name}"), Role::User);
    vec![
        user(Method::POST, "/plans"),
        user(Method::GET, "/runs"),
        user(Method::POST, "/runs"),
        user(Method::GET, "/runs/{run_id}"),
        user(Method::GET, "/runs/{run_id}/events").bulk(),
        user(Method::GET, "/runs/{run_id}/logs"),
        user(Method::POST, "/runs/{run_id}/cancel"),
        user(Method::POST, "/runs/{run_id}/retry"),
        user(Method::GET, "/runs/{run_id}/results"),
        user(Method::GET, "/runs/{run_id}/files/{*key}").bulk(),
        user(Method::GET, "/runs/{run_id}/explain"),
        call("PlanRun"),
        call("StartRun"),
        call("GetRun"),
        call("ListRuns"),
        call("WatchRun"),
        call("GetLogs"),
        call("CancelRun"),
        call("RetryRun"),
        call("GetResults"),
        call("ExplainRun"),
    ]
}
