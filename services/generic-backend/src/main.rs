//! generic-backend as a process of its own: its documents in SQLite, and the first administrator's
//! token in a file. Only this file knows which drivers it runs on; it knows no rule of accounts or drafts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use oc_bus::InProcessBus;
use oc_generic_backend::{Accounts, LocalAccounts, NAME, Parts, build, first_admin};
use oc_kernel::{Clock, SystemClock};
use oc_service::access::{AnyOf, Authenticator};
use oc_service::process::{Composition, Process, run};
use oc_store::{SqliteOptions, SqliteStore, Store};
use serde::{Deserialize, Serialize};

/// Settings of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// File of the store.
    store: PathBuf,
    /// File for the token of the administrator that a node without accounts gets.
    admin_token: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: PathBuf::from("generic-backend.db"),
            admin_token: PathBuf::from("admin.token"),
        }
    }
}

fn main() -> ExitCode {
    run(NAME, compose)
}

async fn compose(process: Process<Settings>) -> anyhow::Result<Composition> {
    let services: Arc<dyn Authenticator> = Arc::new(process.settings.callers());
    let settings = process.settings.service;
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(settings.store, SqliteOptions::default()).await?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let accounts = Accounts::new(store.clone(), clock.clone());
    first_admin(&accounts, &settings.admin_token).await?;
    let people = LocalAccounts::new(accounts);
    let bus = Arc::new(InProcessBus::new());
    Ok(Composition {
        app: build(Parts { store, bus, clock }).await?,
        authenticator: Arc::new(AnyOf::new([services, Arc::new(people)])),
    })
}
