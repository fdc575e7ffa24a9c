//! catalog: what we and our partners offer. It keeps and signs our listings, takes over those of partners
//! from their owners, and answers searches over all of them from memory.
//!
//! It knows no other service's rules: what a listing's body means is for the service that published it and
//! for whoever uses it.

mod catalog;
mod convert;
mod domain;
mod federation;
mod grpc;
mod metrics;
mod ports;
mod rest;
mod settings;
mod worker;

use std::sync::Arc;

use http::Method;
use oc_bus::{Bus, BusError, Relay};
use oc_door::Door;
use oc_kernel::Clock;
use oc_proto::catalog::v1::listing_service_server::ListingServiceServer;
use oc_proto::catalog::v1::search_service_server::SearchServiceServer;
use oc_proto::federation::v1::catalogue_service_server::CatalogueServiceServer;
use oc_service::access::{Access, Role};
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard, Worker};
use oc_store::{Store, StoreOutbox};
use tonic::service::Routes;

pub use domain::CatalogError;
pub use settings::Settings;

use catalog::Catalog;
use domain::{Index, Most, Own, Partners};
use metrics::CatalogMetrics;
use ports::{BehindTheDoor, Federation};

/// The name of this service.
pub const NAME: &str = "catalog";

/// What the catalogue is built of.
pub struct Parts {
    /// Its own documents.
    pub store: Arc<dyn Store>,
    /// Where discovery's events come from, and its own go.
    pub bus: Arc<dyn Bus>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The way to discovery.
    pub switchboard: Switchboard,
    /// Identity, signatures, keys, and the way to partners.
    pub door: Door,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Settings.
    pub settings: Settings,
}

/// Why the catalogue cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store or the index failed.
    #[error("the catalogue cannot be read")]
    Catalog(#[from] CatalogError),
    /// The bus failed.
    #[error("discovery's events cannot be had")]
    Bus(#[from] BusError),
    /// A metric's name is taken.
    #[error("the metrics of the catalogue cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Builds the catalogue from what its store holds.
///
/// # Errors
/// When the store or the bus fails.
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
    let federation: Arc<dyn Federation> = Arc::new(BehindTheDoor::new(door, &switchboard, NAME));
    let metrics = CatalogMetrics::new(&metrics)?;
    let index = Arc::new(Index::new()?);
    let partners = Arc::new(
        Partners::load(
            Arc::clone(&store),
            Arc::clone(&federation),
            Arc::clone(&index),
            Arc::clone(&clock),
            Most {
                listings: settings.partner_listings,
                bytes: settings.partner_bytes,
            },
        )
        .await?,
    );
    let own = Arc::new(Own::new(
        Arc::clone(&store),
        Arc::clone(&federation),
        Arc::clone(&index),
        Arc::clone(&clock),
        settings.epoch,
    ));
    let catalog = Catalog {
        own: Arc::clone(&own),
        partners: Arc::clone(&partners),
        index: Arc::clone(&index),
        clock,
    };
    let events = worker::discovery_events(&*bus).await?;
    let relay = Relay::new(
        Arc::new(StoreOutbox::new(Arc::clone(&store), "/catalog")),
        Arc::clone(&bus),
    );
    let exchange = worker::Exchange::new(
        Arc::clone(&own),
        Arc::clone(&partners),
        federation,
        bus,
        metrics.clone(),
        settings,
    );
    let (rest, openapi) = rest::api().with_state(catalog.clone()).split_for_parts();
    let grpc = Routes::new(ListingServiceServer::new(catalog.clone()))
        .add_service(SearchServiceServer::new(catalog.clone()))
        .add_service(CatalogueServiceServer::new(catalog));
    Ok(App {
        rest,
        openapi,
        grpc,
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready: Arc::new(move || {
            let store = Arc::clone(&store);
            Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
        }),
        workers: vec![
            Worker::new("catalog-relay", async move |stop| {
                relay.run(stop).await;
                Ok(())
            }),
            Worker::new("catalog-tend", move |stop| {
                worker::tend(own, partners, index, metrics, stop)
            }),
            Worker::new("catalog-exchange", move |stop| exchange.run(events, stop)),
        ],
        ..App::new(NAME)
    })
}

fn access() -> Vec<Access> {
    vec![
        Access::rest(Method::GET, "/api/catalog/v1/listings", Role::User),
        Access::rest(Method::POST, "/api/catalog/v1/listings", Role::Operator),
        Access::rest(
            Method::DELETE,
            "/api/catalog/v1/listings/{listing_id}",
            Role::Operator,
        ),
        Access::rest(
            Method::GET,
            "/api/catalog/v1/listings/{owner}/{listing_id}",
            Role::User,
        ),
        Access::rpc(
            "/oc.catalog.v1.ListingService/PublishListing",
            Role::Service,
        )
        .or(Role::Operator),
        Access::rpc(
            "/oc.catalog.v1.ListingService/WithdrawListing",
            Role::Service,
        )
        .or(Role::Operator),
        Access::rpc("/oc.catalog.v1.SearchService/Search", Role::User),
        Access::rpc("/oc.catalog.v1.SearchService/GetListing", Role::User),
        Access::rpc("/oc.federation.v1.CatalogueService/GetHead", Role::Partner),
        Access::rpc(
            "/oc.federation.v1.CatalogueService/ListDeltas",
            Role::Partner,
        ),
    ]
}
