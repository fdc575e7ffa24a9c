//! sentinel-provider as a process of its own: its documents in SQLite, images in a folder, partners through
//! discovery's door. Only this file knows which drivers it runs on; it knows no rule of a dataset.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use oc_bus::InProcessBus;
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_objects::FolderObjects;
use oc_sentinel_provider::{NAME, Parts, Settings};
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
    let objects = FolderObjects::open(&settings.objects).await;
    let objects = objects.with_context(|| format!("the objects {}", settings.objects.display()))?;
    let app = oc_sentinel_provider::build(Parts {
        store: Arc::new(SqliteStore::open(&settings.store, SqliteOptions::default()).await?),
        bus: Arc::new(InProcessBus::new()),
        objects: Arc::new(objects),
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
