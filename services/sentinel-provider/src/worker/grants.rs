//! Ends the reservations of a grant when the grant ends, and forgets them when nothing of the grant is to stay.

use std::time::Duration;

use oc_bus::{Answer, Bus, BusError, CloudEvent, Consumer, Subscription, follow};
use oc_trust::event::{Event as _, GrantEvent};
use tokio_util::sync::CancellationToken;

use crate::provider::Provider;

/// States in which a grant opens nothing any more.
const OVER: [&str; 4] = ["denied", "ended", "revoked", "expired"];
const RETRY: Duration = Duration::from_secs(1);

/// Subscribes to what compute-provider tells of grants.
///
/// # Errors
/// The bus's.
pub(crate) async fn subscribe(bus: &dyn Bus) -> Result<Box<dyn Consumer>, BusError> {
    let wanted = Subscription::durable("sentinel-provider-grants", &[GrantEvent::TYPE])?;
    bus.subscribe(wanted).await
}

/// Runs until told to stop.
pub(crate) async fn end_with_grants(
    provider: Provider,
    grants: Box<dyn Consumer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let handle = |event| answer(provider.clone(), event);
    Ok(follow(grants, stop, handle).await?)
}

async fn answer(provider: Provider, event: CloudEvent) -> Answer {
    let ended = match GrantEvent::read(event.data.as_ref()) {
        Ok(grant) if OVER.contains(&grant.state.as_str()) => {
            let id = grant.grant_id.to_string();
            provider.end_grant(&id, grant.swept).await
        }
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::error!(id = event.id, %error, "an event about a grant cannot be read");
            Ok(())
        }
    };
    match ended {
        Ok(()) => Answer::Done,
        Err(error) => {
            let error = oc_service::problem::chain(&error);
            tracing::warn!(error, "reservations of an ended grant cannot be closed yet");
            Answer::Later(RETRY)
        }
    }
}
