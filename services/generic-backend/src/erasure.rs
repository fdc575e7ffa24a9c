//! Deletes what a person kept here once their account is gone.

use std::time::Duration;

use oc_bus::{Answer, Bus, BusError, CloudEvent, Consumer, Subscription, follow};
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
    users: Box<dyn Consumer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let handle = |event| answer(backend.clone(), event);
    Ok(follow(users, stop, handle).await?)
}

async fn answer(backend: Backend, event: CloudEvent) -> Answer {
    let forgotten = match UserEvent::read(event.data.as_ref()) {
        Ok(UserEvent {
            user,
            state: UserState::Removed,
        }) => forget(&backend, &user).await,
        Err(error) => {
            tracing::error!(id = event.id, %error, "an event about a user cannot be read");
            Ok(())
        }
    };
    match forgotten {
        Ok(()) => Answer::Done,
        Err(error) => {
            tracing::warn!(%error, "a removed user's things cannot be deleted yet");
            Answer::Later(AGAIN)
        }
    }
}

async fn forget(backend: &Backend, user: &str) -> Result<(), BackendError> {
    backend.favorites.erase(user).await?;
    backend.drafts.erase(user).await
}
