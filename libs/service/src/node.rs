//! Several services behind one port.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use http::Method;
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use utoipa::openapi::path::PathItem;

use crate::access::{Access, Authenticator, Role, Table};
use crate::app::{App, Ready, Worker};
use crate::edge::{self, Edge};
use crate::openapi::{self, plain};
use crate::telemetry::{Metrics, RequestMetrics};

const HEALTH: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
];
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Why services cannot be put behind one port: each is a defect of a service, found at its first start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Two services have the same row.
    #[error("{0} is in the access table twice")]
    Twice(String),
    /// A route or method without a row.
    #[error("{0} is not in the access table of its service: name the role it needs")]
    Unlisted(String),
    /// A row that nothing describes.
    #[error("{0} is in the access table, but neither OpenAPI nor the descriptors know it")]
    Undescribed(String),
    /// The descriptor set cannot be read.
    #[error("the descriptors of {0} cannot be read")]
    Descriptors(&'static str, #[source] prost::DecodeError),
    /// Reflection cannot be built.
    #[error("reflection cannot be built")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The metrics of the edge are taken.
    #[error("two nodes share one metrics registry")]
    Metrics(#[source] prometheus::Error),
}

/// One port's services: one in production, all of them embedded.
pub struct Node {
    pub(crate) router: Router,
    pub(crate) names: Vec<&'static str>,
    pub(crate) ready: Vec<(&'static str, Ready)>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) rpc_services: BTreeSet<String>,
    pub(crate) health: HealthReporter,
    pub(crate) metrics: Metrics,
    /// Cancelled when the node stops: streams that wait end then.
    pub(crate) stopping: CancellationToken,
}

impl Node {
    /// Merges the services and puts the edge around them.
    ///
    /// # Errors
    /// When a route or method has no row in the access table, or a row nothing to stand for.
    pub fn build(
        apps: Vec<App>,
        authenticator: Arc<dyn Authenticator>,
        metrics: &Metrics,
    ) -> Result<Self, NodeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut table = Table::default();
        let mut router = grpc_router(Routes::new(health_service));
        let mut reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let (mut names, mut ready, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        let mut descriptors = FileDescriptorSet::default();
        for app in apps {
            let document: Arc<str> = openapi::render(&app).into();
            for row in app.access {
                table.add(app.name, row).map_err(NodeError::Twice)?;
            }
            check_openapi(&table, app.name, &app.openapi)?;
            let path = format!("/api/{}/openapi.json", app.name);
            let row = Access::rest(Method::GET, path.clone(), Role::Public).undocumented();
            table.add(app.name, row).map_err(NodeError::Twice)?;
            router = router
                .merge(app.rest)
                .merge(grpc_router(app.grpc))
                .route(&path, get(async move || openapi::answer(&document)));
            let set = FileDescriptorSet::decode(app.descriptors)
                .map_err(|error| NodeError::Descriptors(app.name, error))?;
            descriptors.file.extend(set.file);
            reflection = reflection.register_encoded_file_descriptor_set(app.descriptors);
            names.push(app.name);
            ready.push((app.name, app.ready));
            workers.extend(app.workers);
        }
        let rpc_services = table.rpc_services();
        check_methods(&table, &rpc_services, &descriptors)?;
        for service in &rpc_services {
            reflection = reflection.with_service_name(service);
        }
        let reflection = reflection.build_v1().map_err(NodeError::Reflection)?;
        router = router.merge(grpc_router(Routes::new(reflection)));
        for path in HEALTH.into_iter().chain([REFLECTION]) {
            let row = Access::rpc(path, Role::Public);
            table.add("edge", row).map_err(NodeError::Twice)?;
        }
        let stopping = CancellationToken::new();
        let edge = Arc::new(Edge {
            table,
            authenticator,
            metrics: RequestMetrics::new(metrics).map_err(NodeError::Metrics)?,
            stopping: stopping.clone(),
        });
        let router = router
            .layer(DefaultBodyLimit::disable())
            .layer(axum::middleware::from_fn_with_state(edge, edge::handle));
        Ok(Self {
            router,
            names,
            ready,
            workers,
            rpc_services,
            health,
            metrics: metrics.clone(),
            stopping,
        })
    }

    /// Every route of every service, with the edge around them.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
}

/// The services of `routes` without tonic's fallback: the edge answers what nobody has.
fn grpc_router(routes: Routes) -> Router {
    routes.into_axum_router().reset_fallback()
}

/// Compares the rows of one service with its OpenAPI document, both ways.
fn check_openapi(
    table: &Table,
    app: &'static str,
    api: &utoipa::openapi::OpenApi,
) -> Result<(), NodeError> {
    let described: BTreeSet<String> = api
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| {
            methods(item).map(move |method| format!("{method} {}", plain(path)))
        })
        .collect();
    let rows = table.rest_rows().filter(|(_, _, row)| row.app == app);
    let mut listed = BTreeSet::new();
    for (method, path, row) in rows {
        let name = format!("{method} {}", plain(path));
        if row.access.documented && !described.contains(&name) {
            return Err(NodeError::Undescribed(name));
        }
        listed.insert(name);
    }
    match described.difference(&listed).next() {
        Some(name) => Err(NodeError::Unlisted(name.clone())),
        None => Ok(()),
    }
}

fn methods(item: &PathItem) -> impl Iterator<Item = Method> {
    let all = [
        (Method::GET, item.get.is_some()),
        (Method::PUT, item.put.is_some()),
        (Method::POST, item.post.is_some()),
        (Method::DELETE, item.delete.is_some()),
        (Method::HEAD, item.head.is_some()),
        (Method::PATCH, item.patch.is_some()),
    ];
    all.into_iter()
        .filter(|(_, there)| *there)
        .map(|(method, _)| method)
}

/// Compares the gRPC rows with the descriptors of the services they name, both ways.
fn check_methods(
    table: &Table,
    services: &BTreeSet<String>,
    descriptors: &FileDescriptorSet,
) -> Result<(), NodeError> {
    let mut described = BTreeSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            if services.contains(&name) {
                let methods = service.method.iter();
                described.extend(methods.map(|method| format!("/{name}/{}", method.name())));
            }
        }
    }
    let listed: BTreeSet<String> = table.rpc_paths().map(str::to_owned).collect();
    if let Some(path) = described.difference(&listed).next() {
        return Err(NodeError::Unlisted(path.clone()));
    }
    match listed.difference(&described).next() {
        Some(path) => Err(NodeError::Undescribed(path.clone())),
        None => Ok(()),
    }
}
