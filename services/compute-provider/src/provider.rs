//! The service itself: what its use cases share. Each use case is a method in a module of its own.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oc_kernel::{Clock, GrantId, OrgId};
use oc_objects::Objects;
use tokio::sync::Notify;

use crate::attempts::{LeaseBook, Live, Logs};
use crate::authority::Authorities;
use crate::capacity::Ledgers;
use crate::documents::Shelf;
use crate::domain::runtime::{Runtime, SandboxReport};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::settings::Settings;
use crate::storage::Uploads;
use crate::tokens::Tokens;

/// The compute provider.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Parts>);

/// What the use cases work with.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) shelf: Shelf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ports: Ports,
    pub(crate) authorities: Authorities,
    pub(crate) tokens: Tokens,
    pub(crate) ledgers: Ledgers,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) sandbox: SandboxReport,
    /// Folder for bytes on their way.
    pub(crate) spool: PathBuf,
    pub(crate) leases: LeaseBook,
    pub(crate) live: Live,
    pub(crate) logs: Logs,
    pub(crate) uploads: Uploads,
    /// Requests for grants are taken one at a time.
    pub(crate) asking: tokio::sync::Mutex<()>,
    /// Rooms are changed one change at a time: many at once would only make each other begin anew.
    pub(crate) changing_rooms: tokio::sync::Mutex<()>,
    /// Received grants whose providers said that they have news.
    pub(crate) news: Mutex<BTreeSet<GrantId>>,
    pub(crate) metrics: Metrics,
    /// Jobs, leases or grants changed: the supervisor looks again.
    pub(crate) wake_supervisor: Notify,
    /// Offers changed: the lister looks again.
    pub(crate) wake_lister: Notify,
    /// Grants changed: the keeper looks again.
    pub(crate) wake_keeper: Notify,
    /// Begin of this process's monotonic time.
    pub(crate) began: Instant,
}

impl Provider {
    /// The service over its parts.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Our organisation.
    pub(crate) async fn me(&self) -> Result<OrgId, Error> {
        self.ports.me().await
    }

    /// Monotonic time of this process.
    pub(crate) fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Deref for Provider {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
