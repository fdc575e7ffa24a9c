//! pipeline-orchestrator as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use oc_bus::InProcessBus;
use oc_door::{Accounts, Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_pipeline_orchestrator::{NAME, Parts, build};
use oc_service::access::{AnyOf, Authenticator};
use oc_service::process::{Composition, Process, run};
use oc_store::{SqliteOptions, SqliteStore};
use serde::{Deserialize, Serialize};

/// The service's settings, and where it keeps its documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// File of the store.
    store: PathBuf,
    /// The orchestrator's own.
    pipeline: oc_pipeline_orchestrator::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: PathBuf::from("pipeline-orchestrator.db"),
            pipeline: Default::default(),
        }
    }
}

fn main() -> ExitCode {
    run(NAME, compose)
}

async fn compose(process: Process<Settings>) -> anyhow::Result<Composition> {
    let services: Arc<dyn Authenticator> = Arc::new(process.settings.callers());
    let settings = process.settings.service;
    let switchboard = process.switchboard;
    let clock = Arc::new(SystemClock);
    let door = Door::new(&switchboard, NAME, clock.clone());
    let store = SqliteStore::open(settings.store, SqliteOptions::default()).await?;
    let app = build(Parts {
        store: Arc::new(store),
        bus: Arc::new(InProcessBus::new()),
        clock,
        switchboard: switchboard.clone(),
        door: door.clone(),
        metrics: process.metrics,
        settings: settings.pipeline,
    })
    .await?;
    let tokens = AnyOf::new([services, Arc::new(Accounts::new(&switchboard, NAME))]);
    let authenticator = Arc::new(DoorAuthenticator::new(door, Arc::new(tokens)));
    Ok(Composition { app, authenticator })
}
