//! Keeps the read model at the store: each replica follows the changes that any of them makes.

use oc_bus::{Bus, BusError, CloudEvent, Consumer, Subscription};
use oc_kernel::{Name, Revision};
use tokio_util::sync::CancellationToken;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::DataError;
use crate::provider::Provider;

/// Pause before an event that could not be taken over is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Subscribes; do so before the snapshot, or a change between the two is missed.
///
/// # Errors
/// The bus's.
pub(crate) async fn subscribe(bus: &dyn Bus) -> Result<Box<dyn Consumer>, BusError> {
    let wanted = Subscription::ephemeral(&["oc.data.dataset.v1", "oc.data.image.v1"])?;
    bus.subscribe(wanted).await
}

/// The worker.
pub(crate) struct Follow {
    pub(crate) provider: Provider,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) consumer: Box<dyn Consumer>,
}

impl Follow {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                next = self.consumer.next() => next,
            };
            let Some(delivery) = next else {
                // It lagged too far behind: begin anew with a snapshot.
                self.consumer = subscribe(&*self.bus).await?;
                self.provider.load().await?;
                continue;
            };
            let followed = follow(&self.provider, &delivery.event).await;
            match followed {
                Ok(()) => delivery.ack().await?,
                Err(error) => {
                    let error = oc_service::problem::chain(&error);
                    tracing::warn!(error, "a change cannot be taken over yet");
                    delivery.nak(RETRY).await?;
                }
            }
        }
    }
}

async fn follow(provider: &Provider, event: &CloudEvent) -> Result<(), DataError> {
    let (Some(key), Some(revision)) = (event.document_key(), event.revision()) else {
        return Ok(());
    };
    let revision = Revision(revision);
    let name = |text: &str| text.parse::<Name>().ok();
    match key.split_once('/') {
        None => match name(key) {
            Some(dataset) => provider.follow_dataset(&dataset, revision).await,
            None => Ok(()),
        },
        Some((dataset, id)) => match (name(dataset), name(id)) {
            (Some(dataset), Some(id)) => provider.follow_image(&dataset, &id, revision).await,
            _ => Ok(()),
        },
    }
}
