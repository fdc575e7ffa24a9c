//! service-provider as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use oc_door::Accounts;
use oc_kernel::SystemClock;
use oc_service::access::{AnyOf, Authenticator};
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
    let services: Arc<dyn Authenticator> = Arc::new(process.settings.callers());
    let path = process.settings.service.store;
    let switchboard = process.switchboard;
    let people = Arc::new(Accounts::new(&switchboard, NAME));
    let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?);
    let app = build(Parts {
        store,
        clock: Arc::new(SystemClock),
        switchboard,
    });
    Ok(Composition {
        app,
        authenticator: Arc::new(AnyOf::new([services, people])),
    })
}
