//! Builds all services over embedded drivers and joins them in one process.

use std::sync::Arc;

use anyhow::Context as _;
use oc_accounting::SqliteLedger;
use oc_bus::{Bus, InProcessBus};
use oc_door::Door;
use oc_generic_backend::Accounts;
use oc_kernel::Clock;
use oc_objects::{FolderObjects, Objects};
use oc_service::telemetry::Metrics;
use oc_service::{App, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store};

use crate::folder::NodeFolder;
use crate::up::NodeSettings;

/// What the services stand on.
pub(crate) struct Ground<'a> {
    pub(crate) folder: &'a NodeFolder,
    pub(crate) settings: &'a NodeSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) switchboard: Switchboard,
    /// Where the node's API listens, for its own runners.
    pub(crate) address: String,
}

/// All services, built and not yet served.
pub(crate) struct Composed {
    pub(crate) apps: Vec<App>,
    pub(crate) accounts: Accounts,
    /// Closed until every service has subscribed.
    pub(crate) bus: Arc<InProcessBus>,
}

/// Builds every service.
///
/// # Errors
/// When a store, a folder or a key cannot be used; the text names it.
pub(crate) async fn services(ground: Ground<'_>) -> anyhow::Result<Composed> {
    let in_process = Arc::new(InProcessBus::closed());
    let bus: Arc<dyn Bus> = in_process.clone();
    let backend = ground.store(oc_generic_backend::NAME).await?;
    let accounts = Accounts::new(backend.clone(), ground.clock.clone());
    let apps = vec![
        ground.discovery(&bus).await?,
        ground.catalog(&bus).await?,
        oc_generic_backend::build(oc_generic_backend::Parts {
            store: backend,
            bus: bus.clone(),
            clock: ground.clock.clone(),
        })
        .await
        .context(oc_generic_backend::NAME)?,
        ground.sentinel_provider(&bus).await?,
        oc_service_provider::build(oc_service_provider::Parts {
            store: ground.store(oc_service_provider::NAME).await?,
            clock: ground.clock.clone(),
            switchboard: ground.switchboard.clone(),
        }),
        ground.compute_provider(&bus).await?,
        ground.pipeline_orchestrator(&bus).await?,
        ground.accounting(&bus).await?,
    ];
    Ok(Composed {
        apps,
        accounts,
        bus: in_process,
    })
}

impl Ground<'_> {
    async fn store(&self, service: &'static str) -> anyhow::Result<Arc<dyn Store>> {
        let path = self.folder.store(service);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        let store = SqliteStore::open(&path, SqliteOptions::default()).await;
        Ok(Arc::new(store?))
    }

    async fn objects(&self, service: &'static str) -> anyhow::Result<Arc<dyn Objects>> {
        let path = self.folder.objects(service);
        let objects = FolderObjects::open(&path).await;
        Ok(Arc::new(objects.with_context(|| {
            format!("open the objects in {}", path.display())
        })?))
    }

    fn door(&self, service: &'static str) -> Door {
        Door::new(&self.switchboard, service, self.clock.clone())
    }

    async fn discovery(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<App> {
        let settings = oc_discovery::Settings {
            keys: self.folder.keys(),
            ..self.settings.discovery.clone()
        };
        let app = oc_discovery::build(oc_discovery::Parts {
            store: self.store(oc_discovery::NAME).await?,
            bus: bus.clone(),
            clock: self.clock.clone(),
            switchboard: self.switchboard.clone(),
            metrics: self.metrics.clone(),
            settings,
        });
        app.await.context(oc_discovery::NAME)
    }

    async fn catalog(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<App> {
        let app = oc_catalog::build(oc_catalog::Parts {
            store: self.store(oc_catalog::NAME).await?,
            bus: bus.clone(),
            clock: self.clock.clone(),
            switchboard: self.switchboard.clone(),
            door: self.door(oc_catalog::NAME),
            metrics: self.metrics.clone(),
            settings: self.settings.catalog.clone(),
        });
        app.await.context(oc_catalog::NAME)
    }

    async fn sentinel_provider(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<App> {
        let app = oc_sentinel_provider::build(oc_sentinel_provider::Parts {
            store: self.store(oc_sentinel_provider::NAME).await?,
            bus: bus.clone(),
            objects: self.objects(oc_sentinel_provider::NAME).await?,
            clock: self.clock.clone(),
            switchboard: self.switchboard.clone(),
            door: self.door(oc_sentinel_provider::NAME),
            metrics: self.metrics.clone(),
            settings: self.settings.data.clone(),
        });
        app.await.context(oc_sentinel_provider::NAME)
    }

    async fn compute_provider(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<App> {
        let app = oc_compute_provider::build(oc_compute_provider::Parts {
            store: self.store(oc_compute_provider::NAME).await?,
            bus: bus.clone(),
            objects: self.objects(oc_compute_provider::NAME).await?,
            work: self.folder.work(),
            address: self.address.clone(),
            clock: self.clock.clone(),
            switchboard: self.switchboard.clone(),
            door: self.door(oc_compute_provider::NAME),
            metrics: self.metrics.clone(),
            settings: self.settings.compute.clone(),
        });
        app.await.context(oc_compute_provider::NAME)
    }

    async fn pipeline_orchestrator(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<App> {
        let app = oc_pipeline_orchestrator::build(oc_pipeline_orchestrator::Parts {
            store: self.store(oc_pipeline_orchestrator::NAME).await?,
            bus: bus.clone(),
            clock: self.clock.clone(),
            switchboard: self.switchboard.clone(),
            door: self.door(oc_pipeline_orchestrator::NAME),
            metrics: self.metrics.clone(),
            settings: self.settings.pipeline.clone(),
        });
        app.await.context(oc_pipeline_orchestrator::NAME)
    }

    async fn accounting(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<App> {
        let path = self.folder.store("ledger");
        let ledger = SqliteLedger::open(&path).await;
        let ledger = ledger.with_context(|| format!("open the ledger {}", path.display()))?;
        let app = oc_accounting::build(oc_accounting::Parts {
            store: self.store(oc_accounting::NAME).await?,
            ledger: Arc::new(ledger),
            bus: bus.clone(),
            clock: self.clock.clone(),
            door: self.door(oc_accounting::NAME),
            metrics: self.metrics.clone(),
            settings: self.settings.accounting.clone(),
        });
        app.await.context(oc_accounting::NAME)
    }
}

#[cfg(test)]
mod tests {
    use oc_kernel::SystemClock;
    use oc_service::access::walk_bodies;

    use super::*;

    /// All services as a node composes them, and the folder they live in.
    async fn composed() -> (Vec<App>, tempfile::TempDir) {
        let place = tempfile::tempdir().unwrap();
        let folder = NodeFolder::new(place.path().to_owned());
        let settings = NodeSettings::default();
        let ground = Ground {
            folder: &folder,
            settings: &settings,
            clock: Arc::new(SystemClock),
            metrics: Metrics::new(),
            switchboard: Switchboard::new(),
            address: "http://127.0.0.1:1".to_owned(),
        };
        let composed = Box::pin(services(ground)).await.unwrap();
        (composed.apps, place)
    }

    #[tokio::test]
    async fn only_the_routes_that_a_macaroon_opens_are_public() {
        let (apps, _folder) = composed().await;
        assert_eq!(apps.len(), 8);
        let mut public: Vec<_> = apps
            .iter()
            .flat_map(|app| app.access.iter())
            .filter(|row| row.is_public())
            .map(|row| row.path())
            .collect();
        public.sort_unstable();
        let attempt = "/api/compute/v1/fragments/{fragment}/attempts/{attempt}";
        assert_eq!(
            public,
            [
                format!("{attempt}/inputs/{{name}}"),
                format!("{attempt}/uploads"),
                format!("{attempt}/uploads/{{*name}}"),
            ]
        );
    }

    #[tokio::test]
    async fn every_route_of_every_service_refuses_fields_that_it_does_not_know() {
        let (apps, _folder) = composed().await;
        let mut asked = 0;
        for app in apps {
            let walk = walk_bodies(app).await.unwrap();
            assert_eq!(walk.faults, Vec::<String>::new());
            asked += walk.requests;
        }
        assert!(asked >= 50, "{asked} requests");
    }
}
