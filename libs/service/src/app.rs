//! What a service hands over to be served.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use utoipa::openapi::OpenApi;

use crate::access::Access;

/// Asks a service whether it can do its work now; an error is the reason why not.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A task that lives as long as its service. One that ends before it is told to stops the process.
pub struct Worker {
    /// Named in the log and in the error that stops the process.
    pub name: &'static str,
    pub(crate) run:
        Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
}

impl Worker {
    /// A worker that runs until the token it is given is cancelled.
    pub fn new<F, T>(name: &'static str, run: F) -> Self
    where
        F: FnOnce(CancellationToken) -> T + Send + 'static,
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self {
            name,
            run: Box::new(move |stop| Box::pin(run(stop))),
        }
    }
}

/// A service, built and ready to be served.
pub struct App {
    /// Its name in paths (`/api/<name>`), logs, metrics and the switchboard.
    pub name: &'static str,
    /// REST routes with their full paths.
    pub rest: axum::Router,
    /// What those routes say of themselves. Served at `/api/<name>/openapi.json` with what holds for all routes
    /// alike: who may call them, by the rows of `access`, and how they refuse.
    pub openapi: OpenApi,
    /// gRPC services.
    pub grpc: Routes,
    /// The encoded `FileDescriptorSet` that describes those services, for reflection.
    pub descriptors: &'static [u8],
    /// Who may call what: a row for every route and every method.
    pub access: Vec<Access>,
    /// Asked by `/readyz`.
    pub ready: Ready,
    /// Tasks beside the requests.
    pub workers: Vec<Worker>,
}

impl App {
    /// A service without any route, always ready: the base for a struct update.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            rest: axum::Router::new(),
            openapi: OpenApi::default(),
            grpc: Routes::default(),
            descriptors: &[],
            access: Vec::new(),
            ready: Arc::new(|| Box::pin(async { Ok(()) })),
            workers: Vec::new(),
        }
    }
}
