//! pipeline-orchestrator as a process of its own: its documents in SQLite, sites through discovery's
//! door. Only this file knows which drivers it runs on; it knows no rule of a run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use oc_bus::InProcessBus;
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_pipeline_orchestrator::{NAME, Parts, build};
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
    let clock = Arc::new(SystemClock);
    let door = Door::new(&process.switchboard, NAME, clock.clone());
    let authenticator = DoorAuthenticator::of_process(door.clone(), process.settings.callers());
    let settings = process.settings.service;
    let app = build(Parts {
        store: Arc::new(SqliteStore::open(settings.store, SqliteOptions::default()).await?),
        bus: Arc::new(InProcessBus::new()),
        clock,
        switchboard: process.switchboard,
        door,
        metrics: process.metrics,
        settings: settings.pipeline,
    });
    Ok(Composition {
        app: app.await?,
        authenticator: Arc::new(authenticator),
    })
}
