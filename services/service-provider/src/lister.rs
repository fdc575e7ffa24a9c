//! Keeps the catalogue in step with the registry: lists what is new, renews what is listed, withdraws what
//! was deleted. The catalogue may be away for a while; nothing is forgotten meanwhile.

use std::sync::Arc;
use std::time::Duration;

use oc_service::problem::chain;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::error::RegistryError;
use crate::domain::registry::Registry;
use crate::domain::service::{Listing, outline};
use crate::ports::{Catalogue, listing};

/// Life of a listing without renewal, in seconds.
const TTL_SECONDS: u32 = 60;
/// A third of the life, so that one lost renewal does not make a listing stale.
const RENEWAL: Duration = Duration::from_secs(20);
/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Lister {
    registry: Registry,
    catalogue: Arc<dyn Catalogue>,
}

impl Lister {
    pub(crate) fn new(registry: Registry, catalogue: Arc<dyn Catalogue>) -> Self {
        Self {
            registry,
            catalogue,
        }
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.registry.changed() => {}
                _ = retry.tick() => {}
            }
            self.settle().await;
            if renewed.is_none_or(|at: Instant| at.elapsed() >= RENEWAL) {
                self.renew().await;
                renewed = Some(Instant::now());
            }
        }
    }

    async fn settle(&self) {
        if let Err(error) = self.publish_pending().await {
            tracing::warn!(error = chain(&error), "services are not listed yet");
        }
        if let Err(error) = self.withdraw_deleted().await {
            tracing::warn!(error = chain(&error), "services are not withdrawn yet");
        }
    }

    async fn publish_pending(&self) -> Result<(), RegistryError> {
        for service in self.registry.by_listing(Listing::Pending).await? {
            let outline = outline(&service.value.cwl)?;
            let listing = listing(&service.value, &outline, TTL_SECONDS);
            match self.catalogue.publish(listing).await {
                Ok(()) => self.registry.mark_listed(service).await?,
                Err(error) => {
                    tracing::debug!(error = chain(&error), service = service.key, "not listed")
                }
            }
        }
        Ok(())
    }

    async fn withdraw_deleted(&self) -> Result<(), RegistryError> {
        for service in self.registry.by_listing(Listing::Withdrawing).await? {
            match self.catalogue.withdraw(&service.value.listing_id()).await {
                Ok(()) => self.registry.forget(&service).await?,
                Err(error) => tracing::debug!(
                    error = chain(&error),
                    service = service.key,
                    "not withdrawn"
                ),
            }
        }
        Ok(())
    }

    async fn renew(&self) {
        let listed = match self.registry.by_listing(Listing::Listed).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(error = chain(&error), "listings are not renewed");
                return;
            }
        };
        for service in listed {
            let Ok(outline) = outline(&service.value.cwl) else {
                continue;
            };
            let renewed = self
                .catalogue
                .publish(listing(&service.value, &outline, TTL_SECONDS))
                .await;
            if let Err(error) = renewed {
                tracing::warn!(
                    error = chain(&error),
                    service = service.key,
                    "listing is not renewed"
                );
            }
        }
    }
}
