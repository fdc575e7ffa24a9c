//! What goes on beside the calls.

use std::sync::Arc;
use std::time::Duration;

use oc_bus::{Answer, CloudEvent, Consumer, Relay, Subscription, follow};
use oc_service::Worker;
use oc_store::StoreOutbox;
use oc_trust::event::{Event as _, GrantEvent};

use crate::discovery::Discovery;
use crate::domain::error::DiscoveryError;

const UPKEEP: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(1);
/// How often the log tells of the calls that went out.
const TELL: Duration = Duration::from_secs(60);

pub(crate) fn grants() -> Result<Subscription, DiscoveryError> {
    Ok(Subscription::durable(
        "discovery-grants",
        &[GrantEvent::TYPE],
    )?)
}

pub(crate) fn all(discovery: &Arc<Discovery>, grants: Box<dyn Consumer>) -> Vec<Worker> {
    let relayed = StoreOutbox::new(discovery.store.clone(), "/discovery");
    let relay = Relay::new(Arc::new(relayed), discovery.bus.clone());
    let (networks, heads, books) = (discovery.clone(), discovery.clone(), discovery.clone());
    let calls = discovery.clone();
    vec![
        Worker::new("discovery outbox", |stop| async move {
            relay.run(stop).await;
            Ok(())
        }),
        Worker::new("discovery networks", |stop| async move {
            let mut upkeep = tokio::time::interval(UPKEEP);
            while stop.run_until_cancelled(upkeep.tick()).await.is_some() {
                if let Err(error) = networks.start_networks().await {
                    tracing::warn!(%error, "the networks cannot be looked after");
                }
            }
            networks.stop_networks().await;
            Ok(())
        }),
        Worker::new("discovery heads", |stop| async move {
            heads.repeat_heads(stop).await;
            Ok(())
        }),
        Worker::new("discovery calls", |stop| async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(TELL))
                .await
                .is_some()
            {
                calls.calls.tell();
            }
            calls.calls.tell();
            Ok(())
        }),
        Worker::new("discovery grants", |stop| async move {
            let handle = |event| note(books.clone(), event);
            Ok(follow(grants, stop, handle).await?)
        }),
    ]
}

/// Notes with whom there are grants: the books of these need KeySets even after the partner has gone.
async fn note(discovery: Arc<Discovery>, event: CloudEvent) -> Answer {
    let noted = match GrantEvent::read(event.data.as_ref()) {
        Ok(grant) => note_grant(&discovery, &grant).await,
        Err(error) => {
            tracing::error!(id = event.id, %error, "an event about a grant cannot be read");
            Ok(())
        }
    };
    match noted {
        Ok(()) => Answer::Done,
        Err(error) => {
            tracing::warn!(%error, "a grant is not noted");
            Answer::Later(LATER)
        }
    }
}

async fn note_grant(discovery: &Discovery, event: &GrantEvent) -> Result<(), DiscoveryError> {
    if event.state != "active" {
        return Ok(());
    }
    for side in [event.provider, event.consumer] {
        discovery.directory.keep_for_books(side).await?;
    }
    Ok(())
}
