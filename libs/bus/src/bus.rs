//! The trait every driver implements.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::{BusError, CloudEvent, TypePattern};

/// Publish and subscribe. At least once; in order for each subject. No event of a durable subscription is given up:
/// what can never be handled is for its consumer to tell and to acknowledge.
#[async_trait]
pub trait Bus: Send + Sync + std::fmt::Debug + 'static {
    /// Hands an event over, after those that were handed over before. Waits for room within the
    /// driver's limit. The event is safe only when the [`Receipt`] says so.
    async fn publish(&self, event: CloudEvent) -> Result<Receipt, BusError>;

    /// Opens a consumer. Several consumers of one durable name share its events.
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError>;

    /// Forgets a durable subscription and what waits for it. Unknown names are ignored.
    async fn unsubscribe(&self, name: &str) -> Result<(), BusError>;
}

/// Resolves when the event no longer needs its publisher: it is on the driver's disk, or every durable
/// subscription has acknowledged it.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

impl Receipt {
    /// A receipt and what fulfils it.
    pub fn new() -> (oneshot::Sender<()>, Self) {
        let (fulfil, receipt) = oneshot::channel();
        (fulfil, Self(receipt))
    }

    /// Waits. Give it a deadline where the caller has one.
    ///
    /// # Errors
    /// When the bus ended before.
    pub async fn safe(self) -> Result<(), BusError> {
        let gone = |_| BusError::Unavailable("it ended before the event was handled".to_owned());
        self.0.await.map_err(gone)
    }
}

/// What a consumer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The durable name; none for a subscription that ends with its consumer.
    pub name: Option<String>,
    /// Types of events; any of them.
    pub types: Vec<TypePattern>,
    /// Events that may wait. A full durable subscription holds the publisher up; a full one without
    /// name is ended, and its consumer subscribes again and takes a fresh snapshot.
    pub queue: usize,
    /// How long a delivery may stay without an answer before it is delivered again.
    pub ack_within: Duration,
}

impl Subscription {
    /// Events that wait, unless set otherwise.
    pub const QUEUE: usize = 4096;
    /// Time to answer, unless set otherwise.
    pub const ACK_WITHIN: Duration = Duration::from_secs(30);

    /// A subscription that outlives its consumers.
    ///
    /// # Errors
    /// When a type is not a pattern.
    pub fn durable(name: impl Into<String>, types: &[&str]) -> Result<Self, BusError> {
        Ok(Self {
            name: Some(name.into()),
            ..Self::ephemeral(types)?
        })
    }

    /// A subscription that ends with its consumer, for read models and live views.
    ///
    /// # Errors
    /// When a type is not a pattern.
    pub fn ephemeral(types: &[&str]) -> Result<Self, BusError> {
        let types = types.iter().map(|text| text.parse());
        Ok(Self {
            name: None,
            types: types.collect::<Result<_, _>>()?,
            queue: Self::QUEUE,
            ack_within: Self::ACK_WITHIN,
        })
    }

    pub(crate) fn wants(&self, event: &CloudEvent) -> bool {
        self.types.iter().any(|types| types.matches(&event.kind))
    }
}

/// One receiver of a subscription's events.
#[async_trait]
pub trait Consumer: Send + std::fmt::Debug {
    /// The next event; none when the subscription has ended. May be dropped at any time without loss.
    async fn next(&mut self) -> Option<Delivery>;
}

/// An event that waits for an answer. Without one it is delivered again after the subscription's time.
#[derive(Debug)]
pub struct Delivery {
    /// The event.
    pub event: CloudEvent,
    /// 1 for the first delivery.
    pub attempt: u32,
    acker: Box<dyn Acker>,
}

impl Delivery {
    /// For drivers.
    pub fn new(event: CloudEvent, attempt: u32, acker: Box<dyn Acker>) -> Self {
        Self {
            event,
            attempt,
            acker,
        }
    }

    /// The event is done with.
    ///
    /// # Errors
    /// When the bus cannot be told; the event then comes again.
    pub async fn ack(self) -> Result<(), BusError> {
        self.acker.ack().await
    }

    /// The event cannot be handled now; it comes again after `delay`, and those of its subject wait.
    ///
    /// # Errors
    /// When the bus cannot be told; the event then comes again after the subscription's time.
    pub async fn nak(self, delay: Duration) -> Result<(), BusError> {
        self.acker.nak(delay).await
    }
}

/// Carries the answer to a delivery back to the driver.
#[async_trait]
pub trait Acker: Send + Sync + std::fmt::Debug {
    /// Done.
    async fn ack(self: Box<Self>) -> Result<(), BusError>;
    /// Again, after `delay`.
    async fn nak(self: Box<Self>, delay: Duration) -> Result<(), BusError>;
}
