//! accounting as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use oc_accounting::{NAME, Parts, Settings, SqliteLedger};
use oc_bus::InProcessBus;
use oc_door::{Accounts, Door, DoorAuthenticator};
use oc_kernel::SystemClock;
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
    let ledger = SqliteLedger::open(&service.ledger).await;
    let ledger = ledger.with_context(|| format!("open the ledger {}", service.ledger.display()))?;
    let app = oc_accounting::build(Parts {
        store: Arc::new(store),
        ledger: Arc::new(ledger),
        bus: Arc::new(InProcessBus::new()),
        clock,
        door: door.clone(),
        metrics,
        settings: service,
    })
    .await?;
    let services: Arc<dyn Authenticator> = Arc::new(settings.callers());
    let tokens = AnyOf::new([services, Arc::new(Accounts::new(&switchboard, NAME))]);
    let authenticator = Arc::new(DoorAuthenticator::new(door, Arc::new(tokens)));
    Ok(Composition { app, authenticator })
}
