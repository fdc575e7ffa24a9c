//! What goes on beside the calls.

use std::sync::Arc;
use std::time::Duration;

use oc_bus::{Consumer, Relay, Subscription};
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
            let noted = note_grants(&books, grants);
            stop.run_until_cancelled(noted).await;
            stop.cancelled().await;
            Ok(())
        }),
    ]
}

/// Notes with whom there are grants: the books of these need KeySets even after the partner has gone.
async fn note_grants(discovery: &Discovery, mut grants: Box<dyn Consumer>) {
    while let Some(delivery) = grants.next().await {
        let data = delivery.event.data.clone().unwrap_or_default();
        let noted = match serde_json::from_value(data) {
            Ok(event) => note_grant(discovery, &event).await,
            Err(error) => {
                let id = &delivery.event.id;
                tracing::error!(id, %error, "an event about a grant cannot be read");
                Ok(())
            }
        };
        let done = match noted {
            Ok(()) => delivery.ack().await,
            Err(error) => {
                tracing::warn!(%error, "a grant is not noted");
                delivery.nak(LATER).await
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the bus does not take an answer");
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
