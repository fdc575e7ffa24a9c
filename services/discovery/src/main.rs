//! discovery as a process of its own: its documents in SQLite, its events in this process, its keys in a folder.
//! Only this file knows which drivers it runs on; it knows no rule of networks or peers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use oc_bus::InProcessBus;
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_service::process::{self, Composition, Process};
use oc_store::{SqliteOptions, SqliteStore};
use serde::{Deserialize, Serialize};

/// The service's settings, and where it keeps its documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// File of the store.
    store: PathBuf,
    /// discovery's own.
    discovery: oc_discovery::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: PathBuf::from("discovery.db"),
            discovery: oc_discovery::Settings::default(),
        }
    }
}

fn main() -> ExitCode {
    process::run(oc_discovery::NAME, compose)
}

async fn compose(process: Process<Settings>) -> anyhow::Result<Composition> {
    let clock = Arc::new(SystemClock);
    let door = Door::new(&process.switchboard, oc_discovery::NAME, clock.clone());
    let authenticator = DoorAuthenticator::of_process(door, process.settings.callers());
    let settings = process.settings.service;
    let app = oc_discovery::build(oc_discovery::Parts {
        store: Arc::new(SqliteStore::open(settings.store, SqliteOptions::default()).await?),
        bus: Arc::new(InProcessBus::new()),
        clock,
        switchboard: process.switchboard,
        metrics: process.metrics,
        settings: settings.discovery,
    });
    Ok(Composition {
        app: app.await?,
        authenticator: Arc::new(authenticator),
    })
}
