//! Serving a node until it is told to stop, and stopping it in order.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::access::Authenticator;
use crate::admin::{self, Probes};
use crate::app::{App, Worker};
use crate::listeners::{Listeners, accept};
use crate::node::{Node, NodeError};
use crate::telemetry::Metrics;

/// How often gRPC health follows what `/readyz` would say.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// How long a worker may take to end after the last request.
const WORKER_LIMIT: Duration = Duration::from_secs(5);

/// How a process stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopSettings {
    /// Seconds between failing the readiness probe and taking no more connections, for load balancers.
    pub lame_duck_seconds: u64,
    /// Seconds that open requests have to finish.
    pub grace_seconds: u64,
}

impl Default for StopSettings {
    fn default() -> Self {
        Self {
            lame_duck_seconds: 0,
            grace_seconds: 10,
        }
    }
}

/// Why a node stopped without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The services do not fit behind one port.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A worker returned although nobody stopped it.
    #[error("the worker `{0}` ended early")]
    WorkerEnded(&'static str),
    /// A worker failed.
    #[error("the worker `{0}` failed")]
    WorkerFailed(&'static str, #[source] anyhow::Error),
    /// A worker panicked.
    #[error("a worker panicked")]
    WorkerPanicked(#[source] tokio::task::JoinError),
}

/// Builds a node of these services and serves it until `stop`.
///
/// # Errors
/// When the services do not fit together, or a worker ends before it is told to.
pub async fn serve(
    apps: Vec<App>,
    listeners: Listeners,
    authenticator: Arc<dyn Authenticator>,
    metrics: &Metrics,
    stop: CancellationToken,
    settings: &StopSettings,
) -> Result<(), ServeError> {
    let node = Node::build(apps, authenticator, metrics)?;
    node.serve(listeners, stop, settings).await
}

impl Node {
    /// Serves until `stop` is cancelled or a worker ends. Then: not ready any more; the lame duck time;
    /// no new connections, and streams that wait for news are cut; open requests finish within the grace
    /// time; workers end; the admin port closes last.
    ///
    /// # Errors
    /// When a worker ends before it is told to.
    pub async fn serve(
        self,
        listeners: Listeners,
        stop: CancellationToken,
        settings: &StopSettings,
    ) -> Result<(), ServeError> {
        // The parts of this process stop each other through these, in this order.
        let (told, closed, idle, last) = (
            stop.child_token(),
            self.stopping,
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let (requests, admin_requests) = (TaskTracker::new(), TaskTracker::new());
        tracing::info!(api = %listeners.api_addr(), admin = %listeners.admin_addr(), services = ?self.names, "serving");

        let probes = Probes {
            ready: self.ready.into(),
            metrics: self.metrics,
            stop: told.clone(),
        };
        let services = self.rpc_services.into_iter().collect::<Vec<_>>();
        let admin = admin::router(probes.clone());
        let Listeners {
            api,
            admin: admin_listener,
            connections,
            ..
        } = listeners;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(
            api,
            self.router,
            connections,
            closed.clone(),
            requests.clone(),
        ));
        tasks.spawn(accept(
            admin_listener,
            admin,
            connections,
            last.clone(),
            admin_requests.clone(),
        ));
        tasks.spawn(follow_readiness(probes, self.health, services));
        let mut workers = start(self.workers, &idle);

        let ended = tokio::select! {
            biased;
            () = told.cancelled() => Ok(()),
            Some(ended) = workers.join_next() => Err(early(ended)),
        };
        told.cancel();
        if ended.is_ok() {
            tokio::time::sleep(Duration::from_secs(settings.lame_duck_seconds)).await;
        }
        closed.cancel();
        requests.close();
        let grace = Duration::from_secs(settings.grace_seconds);
        if timeout(grace, requests.wait()).await.is_err() {
            tracing::warn!(
                open = requests.len(),
                "requests are cut: the grace time is over"
            );
        }
        idle.cancel();
        let outcome = timeout(WORKER_LIMIT, join(&mut workers)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            tracing::warn!(
                open = workers.len(),
                "workers are cut: they did not end when told to"
            );
            Ok(())
        });
        last.cancel();
        tasks.shutdown().await;
        tracing::info!("stopped");
        ended.and(outcome)
    }
}

type Ended = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;
type Workers = JoinSet<(&'static str, anyhow::Result<()>)>;

fn start(workers: Vec<Worker>, stop: &CancellationToken) -> Workers {
    let mut set = JoinSet::new();
    for Worker { name, run } in workers {
        let running = run(stop.clone());
        set.spawn(async move { (name, running.await) });
    }
    set
}

fn early(ended: Ended) -> ServeError {
    match ended {
        Ok((name, Ok(()))) => ServeError::WorkerEnded(name),
        Ok((name, Err(error))) => ServeError::WorkerFailed(name, error),
        Err(error) => ServeError::WorkerPanicked(error),
    }
}

/// Waits for the workers that were told to stop; the first failure is the outcome.
async fn join(workers: &mut Workers) -> Result<(), ServeError> {
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        if !matches!(ended, Ok((_, Ok(())))) && outcome.is_ok() {
            outcome = Err(early(ended));
        }
    }
    outcome
}

/// Keeps gRPC health equal to readiness.
async fn follow_readiness(probes: Probes, health: HealthReporter, services: Vec<String>) {
    loop {
        let stopping = probes.stop.is_cancelled();
        let ready = !stopping
            && probes
                .ask()
                .await
                .iter()
                .all(|(_, reason)| reason.is_none());
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in services.iter().map(String::as_str).chain([""]) {
            health.set_service_status(service, status).await;
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = probes.stop.cancelled() => {}
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}
