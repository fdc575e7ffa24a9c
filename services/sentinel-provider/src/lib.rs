//! sentinel-provider: the reference data provider. It keeps datasets of images with their files, finds
//! images by place, time and properties (STAC API 1.0), holds them for runs, and opens their files for
//! seconds to whoever has the authority.
//!
//! It knows no other service's rules: whether a grant is good is compute-provider's to say, who calls is the
//! door's.

mod convert;
mod domain;
mod grpc;
mod metrics;
mod ports;
mod provider;
mod rest;
mod settings;
mod worker;

use std::sync::Arc;

use http::Method;
use oc_bus::{Bus, BusError, Relay};
use oc_door::Door;
use oc_kernel::Clock;
use oc_objects::Objects;
use oc_proto::data::v1::dataset_service_server::DatasetServiceServer;
use oc_proto::federation::v1::data_service_server::DataServiceServer;
use oc_service::access::{Access, Role};
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard, Worker};
use oc_store::{Store, StoreOutbox};
use tonic::service::Routes;

pub use domain::DataError;
pub use settings::Settings;

use metrics::DataMetrics;
use provider::Provider;

/// The name of this service.
pub const NAME: &str = "sentinel-provider";

/// What the service is built of.
pub struct Parts {
    /// Its own documents.
    pub store: Arc<dyn Store>,
    /// Where its events go, and those of grants come from.
    pub bus: Arc<dyn Bus>,
    /// The files of the images.
    pub objects: Arc<dyn Objects>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The way to catalog and compute-provider.
    pub switchboard: Switchboard,
    /// Who we are, and other organisations' keys.
    pub door: Door,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Settings.
    pub settings: Settings,
}

/// Why the service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store or what it holds cannot be read.
    #[error("the datasets cannot be read")]
    Data(#[from] DataError),
    /// The bus failed.
    #[error("the events cannot be had")]
    Bus(#[from] BusError),
    /// A metric's name is taken.
    #[error("the metrics of the data provider cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// What the REST handlers share.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) provider: Provider,
    pub(crate) metrics: DataMetrics,
}

/// Builds the service from what its store holds.
///
/// # Errors
/// When the store or the bus fails.
pub async fn build(parts: Parts) -> Result<App, BuildError> {
    let metrics = DataMetrics::new(&parts.metrics)?;
    let provider = Provider::open(&parts).await?;
    let consumer = worker::subscribe_to_changes(&*parts.bus).await?;
    let grants = worker::subscribe_to_grants(&*parts.bus).await?;
    provider.load().await?;
    let Parts { store, bus, .. } = parts;

    let face = Face {
        provider: provider.clone(),
        metrics: metrics.clone(),
    };
    let (rest, openapi) = rest::api(face);
    let grpc = Routes::new(DatasetServiceServer::new(grpc::datasets::Face(
        provider.clone(),
    )))
    .add_service(DataServiceServer::new(grpc::federation::Face {
        provider: provider.clone(),
        metrics: metrics.clone(),
    }));
    let outbox = Arc::new(StoreOutbox::new(store, "/sentinel-provider"));
    let relay = Relay::new(outbox, bus.clone());
    let follow = worker::Follow {
        provider: provider.clone(),
        bus,
        consumer,
    };
    let (lister, ender, sweeper) = (provider.clone(), provider.clone(), provider.clone());
    Ok(App {
        rest,
        openapi,
        grpc,
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready: Arc::new(move || {
            let provider = provider.clone();
            Box::pin(async move { provider.ping().await.map_err(|error| error.to_string()) })
        }),
        workers: vec![
            Worker::new("sentinel-provider-relay", async move |stop| {
                relay.run(stop).await;
                Ok(())
            }),
            Worker::new("sentinel-provider-follow", move |stop| follow.run(stop)),
            Worker::new("sentinel-provider-listings", move |stop| {
                worker::tend_listings(lister, metrics, stop)
            }),
            Worker::new("sentinel-provider-grants", move |stop| {
                worker::end_with_grants(ender, grants, stop)
            }),
            Worker::new("sentinel-provider-sweep", move |stop| {
                worker::sweep(sweeper, stop)
            }),
        ],
        ..App::new(NAME)
    })
}

fn access() -> Vec<Access> {
    let datasets = "/api/data/v1/datasets";
    let mut rows = vec![
        Access::rest(Method::GET, datasets, Role::User),
        Access::rest(Method::POST, datasets, Role::Operator),
        Access::rest(
            Method::DELETE,
            format!("{datasets}/{{name}}"),
            Role::Operator,
        ),
        Access::rest(
            Method::GET,
            format!("{datasets}/{{name}}/files/{{*key}}"),
            Role::User,
        ),
        Access::rest(
            Method::PUT,
            format!("{datasets}/{{name}}/files/{{*key}}"),
            Role::Operator,
        )
        .bulk(),
        Access::rest(
            Method::POST,
            format!("{datasets}/{{name}}/items"),
            Role::Operator,
        ),
        Access::rest(
            Method::POST,
            format!("{datasets}/{{name}}/count"),
            Role::User,
        ),
        Access::rest(Method::GET, "/api/data/v1/reservations", Role::User),
        Access::rest(Method::GET, rest::BULK_PATH, Role::Service)
            .bulk()
            .undocumented(),
        Access::rest(Method::POST, "/stac/search", Role::User),
        Access::rest(
            Method::GET,
            "/stac/collections/{collection}/items/{item}/assets/{asset}",
            Role::User,
        )
        .bulk(),
    ];
    let stac = [
        "/stac",
        "/stac/conformance",
        "/stac/collections",
        "/stac/collections/{collection}",
        "/stac/collections/{collection}/items",
        "/stac/collections/{collection}/items/{item}",
        "/stac/search",
    ];
    rows.extend(stac.map(|path| Access::rest(Method::GET, path, Role::User)));
    let own = [
        ("CreateDataset", Role::Operator),
        ("ListDatasets", Role::User),
        ("DeleteDataset", Role::Operator),
        ("ImportItem", Role::Operator),
        ("CountItems", Role::User),
        ("ListReservations", Role::User),
    ];
    rows.extend(
        own.map(|(method, role)| Access::rpc(format!("/oc.data.v1.DatasetService/{method}"), role)),
    );
    let partners = ["Count", "Reserve", "Renew", "Release", "Access"];
    rows.extend(partners.map(|method| {
        let path = format!("/oc.federation.v1.DataService/{method}");
        Access::rpc(path, Role::Partner).or(Role::Service)
    }));
    rows
}
