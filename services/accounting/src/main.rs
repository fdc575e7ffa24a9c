//! accounting as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use oc_accounting::{NAME, Parts, Settings, SqliteLedger};
use oc_bus::InProcessBus;
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
    let ledger = SqliteLedger::open(&settings.ledger).await;
    let ledger = ledger.with_context(|| format!("the ledger {}", settings.ledger.display()))?;
    let app = oc_accounting::build(Parts {
        store: Arc::new(SqliteStore::open(&settings.store, SqliteOptions::default()).await?),
        ledger: Arc::new(ledger),
        bus: Arc::new(InProcessBus::new()),
        clock,
        door,
        metrics: process.metrics,
        settings,
    });
    Ok(Composition {
        app: app.await?,
        authenticator: Arc::new(authenticator),
    })
}
