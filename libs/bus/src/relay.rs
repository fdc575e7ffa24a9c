//! Moves events from a durable outbox to the bus.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::{Bus, BusError, CloudEvent, Receipt, SourceError};

/// Events on their way at one time.
const WINDOW: usize = 512;
/// Events read at once.
const BATCH: usize = 128;
/// Longest time between two looks at the outbox.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// An event of an outbox, with the token to acknowledge it by.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingEvent {
    /// Opaque to the relay.
    pub token: String,
    /// The event; the same id each time it is read.
    pub event: CloudEvent,
}

/// A durable outbox.
#[async_trait]
pub trait OutboxSource: Send + Sync + std::fmt::Debug + 'static {
    /// The oldest events that were not acknowledged, at most `limit`.
    async fn pending(&self, limit: usize) -> Result<Vec<PendingEvent>, SourceError>;

    /// Forgets events that are safe on the bus.
    async fn acknowledge(&self, tokens: Vec<String>) -> Result<(), SourceError>;

    /// Returns when there may be new events, after `at_most` in any case.
    async fn changed(&self, at_most: Duration);
}

/// The worker between one outbox and the bus. At least once: what was not acknowledged before a crash
/// is published again, with the same id.
#[derive(Debug)]
pub struct Relay {
    source: Arc<dyn OutboxSource>,
    bus: Arc<dyn Bus>,
}

type Safe = std::pin::Pin<Box<dyn Future<Output = (String, Result<(), BusError>)> + Send>>;

/// What is on its way.
#[derive(Default)]
struct Flight {
    tokens: HashSet<String>,
    safe: FuturesUnordered<Safe>,
}

impl Relay {
    /// Joins an outbox to a bus. One relay an outbox.
    pub fn new(source: Arc<dyn OutboxSource>, bus: Arc<dyn Bus>) -> Self {
        Self { source, bus }
    }

    /// Runs until told to stop. Failures of either side are logged and tried again.
    pub async fn run(self, stop: CancellationToken) {
        let mut flight = Flight::default();
        while !stop.is_cancelled() {
            let round = async {
                let published = self.publish_more(&mut flight).await;
                self.wait(&mut flight, published).await
            };
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                outcome = round => outcome,
            };
            if let Err(error) = outcome {
                tracing::warn!(error = &error as &dyn std::error::Error, "the outbox waits");
                let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
            }
        }
    }

    /// Publishes what is not on its way yet; true when there may be more at once.
    async fn publish_more(&self, flight: &mut Flight) -> Result<bool, SourceError> {
        let room = WINDOW.saturating_sub(flight.tokens.len()).min(BATCH);
        if room == 0 {
            return Ok(false);
        }
        // Those on their way are still the oldest of the outbox, so they are read again and skipped.
        let limit = flight.tokens.len() + room;
        let pending = self.source.pending(limit).await?;
        let full = pending.len() == limit;
        for PendingEvent { token, event } in pending {
            if flight.tokens.contains(&token) {
                continue;
            }
            match self.bus.publish(event).await {
                Ok(receipt) => flight.add(token, receipt),
                Err(error) => {
                    // Those after it must wait too, or they would overtake it.
                    tracing::warn!(%error, token, "an event waits in the outbox");
                    tokio::time::sleep(PAUSE).await;
                    return Ok(false);
                }
            }
        }
        Ok(full)
    }

    /// Acknowledges what has become safe; otherwise waits for that or for new events.
    async fn wait(
        &self,
        flight: &mut Flight,
        published: Result<bool, SourceError>,
    ) -> Result<(), SourceError> {
        let more = published?;
        let first = tokio::select! {
            biased;
            Some(done) = flight.safe.next(), if !flight.safe.is_empty() => Some(done),
            () = self.source.changed(LOOK), if !more => None,
            () = std::future::ready(()), if more => None,
        };
        let mut done: Vec<_> = first.into_iter().collect();
        while let Some(Some(next)) = futures::FutureExt::now_or_never(flight.safe.next()) {
            done.push(next);
        }
        let tokens: Vec<_> = done
            .into_iter()
            .filter_map(|(token, safe)| {
                // What is not safe is read from the outbox and published again.
                flight.tokens.remove(&token);
                safe.is_ok().then_some(token)
            })
            .collect();
        match tokens.is_empty() {
            true => Ok(()),
            false => self.source.acknowledge(tokens).await,
        }
    }
}

impl Flight {
    fn add(&mut self, token: String, receipt: Receipt) {
        self.tokens.insert(token.clone());
        self.safe
            .push(Box::pin(async move { (token, receipt.safe().await) }));
    }
}
