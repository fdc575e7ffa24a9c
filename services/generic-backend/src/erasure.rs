//! Deletes what a person kept here once their account is gone.

use std::time::Duration;

use oc_bus::{Bus, BusError, CloudEvent, Consumer, Subscription};
use oc_trust::event::{Event as _, UserEvent, UserState};
use tokio_util::sync::CancellationToken;

use crate::Backend;
use crate::domain::error::BackendError;

/// How long an event waits whose person cannot be forgotten yet.
const AGAIN: Duration = Duration::from_secs(1);

/// Subscribes to what becomes of accounts.
///
/// # Errors
/// The bus's.
pub(crate) async fn subscribe(bus: &dyn Bus) -> Result<Box<dyn Consumer>, BusError> {
    let wanted = Subscription::durable("generic-backend-users", &[UserEvent::TYPE])?;
    bus.subscribe(wanted).await
}

/// Runs until told to stop.
pub(crate) async fn run(
    backend: Backend,
    mut users: Box<dyn Consumer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            next = users.next() => next,
        };
        let Some(delivery) = next else {
            anyhow::ensure!(stop.is_cancelled(), "the subscription to users has ended");
            return Ok(());
        };
        match forget(&backend, &delivery.event).await {
            Ok(()) => delivery.ack().await?,
            Err(error) => {
                tracing::warn!(%error, "a removed user's things cannot be deleted yet");
                delivery.nak(AGAIN).await?;
            }
        }
    }
}

async fn forget(backend: &Backend, event: &CloudEvent) -> Result<(), BackendError> {
    let data = event.data.clone().unwrap_or_default();
    let Ok(event) = serde_json::from_value::<UserEvent>(data) else {
        tracing::error!(id = event.id, "an event about a user cannot be read");
        return Ok(());
    };
    match event.state {
        UserState::Removed => {
            backend.favorites.erase(&event.user).await?;
            backend.drafts.erase(&event.user).await
        }
    }
}
