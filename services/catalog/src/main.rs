//! catalog as a process of its own: its documents in SQLite, partners through discovery's door.
//! Only this file knows which drivers it runs on; it knows no rule of a listing.

use std::process::ExitCode;
use std::sync::Arc;

use oc_bus::InProcessBus;
use oc_catalog::{NAME, Parts, Settings};
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_service::process::{Composition, Process, run};
use oc_store::{SqliteOptions, SqliteStore};

fn main() -> ExitCode {
    run(NAME, compose)
}

async fn compose(process: Process<Settings>) -> anyhow::Result<Composition> {
    let clock = Arc::new(SystemClock);
    let door = Door::new(&process.switchboard, NAME, clock.clone());
    let authenticator = DoorAuthenticator::of_process(door.clone(), process.settings.callers());
    let settings = process.settings.service;
    let app = oc_catalog::build(Parts {
        store: Arc::new(SqliteStore::open(&settings.store, SqliteOptions::default()).await?),
        bus: Arc::new(InProcessBus::new()),
        clock,
        switchboard: process.switchboard,
        door,
        metrics: process.metrics,
        settings,
    });
    Ok(Composition {
        app: app.await?,
        authenticator: Arc::new(authenticator),
    })
}
