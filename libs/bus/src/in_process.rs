//! The driver for one process. It keeps nothing on disk: a receipt is fulfilled when every durable
//! subscription has acknowledged the event, so that the outbox it came from keeps it until then.

mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Acker, Bus, BusError, CloudEvent, Consumer, Delivery, Receipt, Subscription};
use queue::{Next, Queue, Waiting};

/// Longest wait of a publisher for a full subscription.
const PUBLISH_WITHIN: Duration = Duration::from_secs(5);

/// A [`Bus`] within one process.
#[derive(Debug, Default)]
pub struct InProcessBus(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Publishers wait here for room, or for the bus to open.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Durable ones by their name, the others by a number.
    subscriptions: BTreeMap<Name, Entry>,
    ephemeral: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Durable(String),
    Ephemeral(u64),
}

#[derive(Debug)]
struct Entry {
    subscription: Subscription,
    queue: Queue,
    /// Consumers wait here for events.
    arrived: Arc<Notify>,
}

impl InProcessBus {
    /// A bus that delivers from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// A bus whose publishers wait until [`InProcessBus::open`], so that no relay can be faster than
    /// the durable subscriptions of services that are still being built.
    pub fn closed() -> Self {
        let bus = Self::default();
        bus.0.lock().closed = true;
        bus
    }

    /// Lets publishers in.
    pub fn open(&self) {
        self.0.lock().closed = false;
        self.0.room.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts the event into every queue that wants it, or into none.
    fn offer(&mut self, event: &CloudEvent) -> Result<Receipt, BusError> {
        if self.closed {
            let reason = "it is not open yet".to_owned();
            return Err(BusError::Unavailable(reason));
        }
        let wanting = |entry: &&Entry| entry.subscription.wants(event);
        let full = self.subscriptions.iter().find_map(|(name, entry)| {
            let full = wanting(&entry) && entry.queue.len() >= entry.subscription.queue;
            match name {
                Name::Durable(name) if full => Some((name, entry.queue.len())),
                _ => None,
            }
        });
        if let Some((subscription, length)) = full {
            return Err(BusError::Full {
                subscription: subscription.clone(),
                length,
            });
        }
        let (waiting, receipt) = Waiting::new();
        let mut overflown = Vec::new();
        for (name, entry) in &mut self.subscriptions {
            if !entry.subscription.wants(event) {
                continue;
            }
            match name {
                Name::Durable(_) => entry.queue.push(event.clone(), Some(waiting.clone())),
                Name::Ephemeral(_) if entry.queue.len() >= entry.subscription.queue => {
                    overflown.push(name.clone());
                }
                Name::Ephemeral(_) => entry.queue.push(event.clone(), None),
            }
            entry.arrived.notify_waiters();
        }
        for name in overflown {
            self.subscriptions.remove(&name);
        }
        Ok(receipt)
    }
}

#[async_trait]
impl Bus for InProcessBus {
    async fn publish(&self, event: CloudEvent) -> Result<Receipt, BusError> {
        event.validate()?;
        let deadline = Instant::now() + PUBLISH_WITHIN;
        loop {
            let mut room = std::pin::pin!(self.0.room.notified());
            room.as_mut().enable();
            let offered = self.0.lock().offer(&event);
            let full = match offered {
                Err(error) if error.retryable() => error,
                other => return other,
            };
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                return Err(full);
            }
        }
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let mut state = self.0.lock();
        let name = match &subscription.name {
            Some(name) => Name::Durable(name.clone()),
            None => {
                state.ephemeral += 1;
                Name::Ephemeral(state.ephemeral)
            }
        };
        let arrived = match state.subscriptions.get(&name) {
            Some(entry) if entry.subscription == subscription => entry.arrived.clone(),
            Some(_) => return Err(BusError::Differs(subscription.name.unwrap_or_default())),
            None => {
                let entry = Entry {
                    subscription,
                    queue: Queue::default(),
                    arrived: Arc::default(),
                };
                let arrived = entry.arrived.clone();
                state.subscriptions.insert(name.clone(), entry);
                arrived
            }
        };
        Ok(Box::new(InProcessConsumer {
            bus: self.0.clone(),
            name,
            arrived,
        }))
    }

    async fn unsubscribe(&self, name: &str) -> Result<(), BusError> {
        let name = Name::Durable(name.to_owned());
        let removed = self.0.lock().subscriptions.remove(&name);
        if let Some(entry) = removed {
            entry.arrived.notify_waiters();
            self.0.room.notify_waiters();
        }
        Ok(())
    }
}

#[derive(Debug)]
struct InProcessConsumer {
    bus: Arc<Shared>,
    name: Name,
    arrived: Arc<Notify>,
}

#[async_trait]
impl Consumer for InProcessConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let next = {
                let mut state = self.bus.lock();
                let entry = state.subscriptions.get_mut(&self.name)?;
                let next = entry.queue.next(Instant::now(), &entry.subscription);
                if entry.queue.len() < entry.subscription.queue {
                    self.bus.room.notify_waiters();
                }
                next
            };
            match next {
                Next::Deliver {
                    place,
                    event,
                    attempt,
                } => {
                    let acker = InProcessAcker {
                        bus: self.bus.clone(),
                        name: self.name.clone(),
                        place,
                        attempt,
                    };
                    return Some(Delivery::new(*event, attempt, Box::new(acker)));
                }
                Next::Wait(None) => arrived.await,
                Next::Wait(Some(until)) => {
                    let _ = tokio::time::timeout_at(until, arrived).await;
                }
            }
        }
    }
}

impl Drop for InProcessConsumer {
    fn drop(&mut self) {
        if matches!(self.name, Name::Ephemeral(_)) {
            self.bus.lock().subscriptions.remove(&self.name);
        }
    }
}

#[derive(Debug)]
struct InProcessAcker {
    bus: Arc<Shared>,
    name: Name,
    place: u64,
    attempt: u32,
}

impl InProcessAcker {
    fn answer(&self, answer: impl FnOnce(&mut Queue)) {
        let mut state = self.bus.lock();
        if let Some(entry) = state.subscriptions.get_mut(&self.name) {
            answer(&mut entry.queue);
            entry.arrived.notify_waiters();
            self.bus.room.notify_waiters();
        }
    }
}

#[async_trait]
impl Acker for InProcessAcker {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.answer(|queue| queue.done(self.place));
        Ok(())
    }

    async fn nak(self: Box<Self>, delay: Duration) -> Result<(), BusError> {
        let due = Instant::now() + delay;
        self.answer(|queue| queue.again(self.place, self.attempt, due));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
