//! compute-provider as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use oc_bus::InProcessBus;
use oc_compute_provider::{NAME, Parts, Settings};
use oc_door::{Accounts, Door, DoorAuthenticator};
use oc_kernel::SystemClock;
use oc_objects::FolderObjects;
use oc_service::access::{AnyOf, Authenticator};
use oc_service::process::{Composition, Process, run};
use oc_store::{SqliteOptions, SqliteStore};

fn main() -> ExitCode {
    run(NAME, compose)
}

async fn compose(process: Process<Settings>) -> anyhow::Result<Composition> {
    let Process {
        settings,
        switchboard,
        metrics,
    } = process;
    let clock = Arc::new(SystemClock);
    let door = Door::new(&switchboard, NAME, clock.clone());
    let service = settings.service.clone();
    let store = SqliteStore::open(&service.store, SqliteOptions::default()).await;
    let store = store.with_context(|| format!("open the store {}", service.store.display()))?;
    let objects = FolderObjects::open(&service.objects).await;
    let objects =
        objects.with_context(|| format!("open the objects in {}", service.objects.display()))?;
    let app = oc_compute_provider::build(Parts {
        store: Arc::new(store),
        bus: Arc::new(InProcessBus::new()),
        objects: Arc::new(objects),
        work: service.work.clone(),
        address: service.address.clone(),
        clock,
        switchboard: switchboard.clone(),
        door: door.clone(),
        metrics,
        settings: service,
    })
    .await?;
    let services: Arc<dyn Authenticator> = Arc::new(settings.callers());
    let people: Arc<dyn Authenticator> = Arc::new(Accounts::new(&switchboard, NAME));
    let tokens = AnyOf::new([services, people]);
    let authenticator = Arc::new(DoorAuthenticator::new(door, Arc::new(tokens)));
    Ok(Composition { app, authenticator })
}
