//! service-provider as a process of its own: its documents in SQLite, the catalogue as a remote service.
//! Only this file knows which drivers it runs on; it knows no rule of a processing service.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use oc_door::{Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_service::process::{Composition, Process, run};
use oc_service_provider::{NAME, Parts, build};
use oc_store::{SqliteOptions, SqliteStore};
use serde::{Deserialize, Serialize};

/// Settings of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// File of the store.
    store: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: PathBuf::from("service-provider.db"),
        }
    }
}

fn main() -> ExitCode {
    run(NAME, compose)
}

async fn compose(process: Process<Settings>) -> anyhow::Result<Composition> {
    let clock = Arc::new(SystemClock);
    let door = Door::new(&process.switchboard, NAME, clock.clone());
    let authenticator = DoorAuthenticator::of_process(door, process.settings.callers());
    let path = process.settings.service.store;
    let app = build(Parts {
        store: Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?),
        clock,
        switchboard: process.switchboard,
    });
    Ok(Composition {
        app,
        authenticator: Arc::new(authenticator),
    })
}
