//! Processing services: CWL documents by name and version, checked on entry and listed in the catalogue.
//!
//! It knows what a valid document is. It does not run any, and does not know who may use one: grants do.

mod domain;
mod grpc;
mod lister;
mod ports;
mod rest;

use std::sync::Arc;

use http::Method;
use oc_kernel::Clock;
use oc_service::access::{Access, Role};
use oc_service::{App, Ready, Switchboard, Worker};
use oc_store::Store;

pub use domain::error::RegistryError;
pub use ports::{Catalogue, CatalogueError};

use domain::registry::Registry;
use lister::Lister;
use ports::RemoteCatalogue;

/// The name of this service.
pub const NAME: &str = "service-provider";

/// What the service is made of.
pub struct Parts {
    /// Where it keeps its documents.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to the catalogue.
    pub switchboard: Switchboard,
}

/// Builds the service.
pub fn build(parts: Parts) -> App {
    let catalogue = RemoteCatalogue::new(&parts.switchboard, NAME);
    build_with(parts.store, parts.clock, Arc::new(catalogue))
}

/// Builds the service over any catalogue.
pub fn build_with(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    catalogue: Arc<dyn Catalogue>,
) -> App {
    let registry = Registry::new(store.clone(), clock);
    let lister = Lister::new(registry.clone(), catalogue);
    let (rest, openapi) = rest::api().with_state(registry.clone()).split_for_parts();
    let ready: Ready = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
    });
    App {
        rest,
        openapi,
        grpc: grpc::routes(registry),
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready,
        workers: vec![Worker::new("service-lister", move |stop| lister.run(stop))],
        ..App::new(NAME)
    }
}

fn access() -> Vec<Access> {
    let rest = |method: Method, path: &'static str, role| {
        Access::rest(method, format!("{}{path}", rest::PREFIX), role)
    };
    let rpc = |method: &'static str, role| {
        Access::rpc(
            format!("/oc.service.v1.ServiceRegistryService/{method}"),
            role,
        )
    };
    vec![
        rest(Method::GET, "/services", Role::User),
        rest(Method::POST, "/services", Role::Operator),
        rest(Method::GET, "/services/{name}/{version}", Role::User),
        rest(Method::PUT, "/services/{name}/{version}", Role::Operator),
        rest(Method::DELETE, "/services/{name}/{version}", Role::Operator),
        rpc("ListServices", Role::User),
        rpc("CreateService", Role::Operator),
        rpc("GetService", Role::User),
        rpc("UpdateService", Role::Operator),
        rpc("DeleteService", Role::Operator),
    ]
}
