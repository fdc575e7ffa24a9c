//! What waits for one subscription: oldest first, one at a time for each subject.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::{CloudEvent, Receipt, Subscription};

/// Fulfils a receipt when the last of its holders is dropped.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    _last: Arc<Fulfil>,
}

#[derive(Debug)]
struct Fulfil(Mutex<Option<oneshot::Sender<()>>>);

impl Waiting {
    pub(super) fn new() -> (Self, Receipt) {
        let (fulfil, receipt) = Receipt::new();
        let last = Arc::new(Fulfil(Mutex::new(Some(fulfil))));
        (Self { _last: last }, receipt)
    }
}

impl Drop for Fulfil {
    fn drop(&mut self) {
        let fulfil = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(fulfil) = fulfil.take() {
            // The publisher may not care.
            let _ = fulfil.send(());
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<u64, Item>,
    last: u64,
}

#[derive(Debug)]
struct Item {
    event: CloudEvent,
    deliveries: u32,
    /// Not before this time: a pause that was asked for, or the end of the time to answer.
    due: Option<Instant>,
    _waiting: Option<Waiting>,
}

/// What a consumer does next.
#[derive(Debug)]
pub(super) enum Next {
    Deliver {
        place: u64,
        event: Box<CloudEvent>,
        attempt: u32,
    },
    /// Until then, or until something changes.
    Wait(Option<Instant>),
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn push(&mut self, event: CloudEvent, waiting: Option<Waiting>) {
        self.last += 1;
        let item = Item {
            event,
            deliveries: 0,
            due: None,
            _waiting: waiting,
        };
        self.items.insert(self.last, item);
    }

    /// The oldest event that is due and whose subject has no older one waiting.
    pub(super) fn next(&mut self, now: Instant, subscription: &Subscription) -> Next {
        let place = match self.first_due(now) {
            Ok(place) => place,
            Err(wake) => return Next::Wait(wake),
        };
        let Some(item) = self.items.get_mut(&place) else {
            return Next::Wait(None);
        };
        item.deliveries = item.deliveries.saturating_add(1);
        item.due = Some(now + subscription.ack_within);
        Next::Deliver {
            place,
            event: Box::new(item.event.clone()),
            attempt: item.deliveries,
        }
    }

    /// The place of an event to deliver, or the time when there may be one.
    fn first_due(&self, now: Instant) -> Result<u64, Option<Instant>> {
        let mut subjects = HashSet::new();
        let mut wake: Option<Instant> = None;
        for (place, item) in &self.items {
            if !subjects.insert(item.event.order_key()) {
                continue;
            }
            match item.due {
                Some(due) if due > now => wake = Some(wake.map_or(due, |at| at.min(due))),
                _ => return Ok(*place),
            }
        }
        Err(wake)
    }

    /// Answered, however late.
    pub(super) fn done(&mut self, place: u64) {
        self.items.remove(&place);
    }

    /// To be delivered again, unless a later delivery is already out.
    pub(super) fn again(&mut self, place: u64, attempt: u32, due: Instant) {
        if let Some(item) = self.items.get_mut(&place)
            && item.deliveries == attempt
        {
            item.due = Some(due);
        }
    }
}
