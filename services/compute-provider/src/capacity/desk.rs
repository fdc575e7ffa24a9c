//! One ledger's queue: whoever finds the desk free carries out everything that waits.

use std::mem;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use oc_kernel::{Clock, Name};
use oc_store::{OutboxEvent, StoreError, Versioned};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::moving;
use crate::documents::{Shelf, answer_key, attempt_key};
use crate::domain::attempt::OperationKey;
use crate::domain::ledger::{Command, Ledger, LedgerError, Outcome};
use crate::error::Error;

/// Orders that may wait at one desk.
const MOST_WAITING: usize = 1024;
/// Most tries against other writers of the same ledger.
const MOST_TRIES: usize = 32;

/// A command with the events that leave with its write.
pub(crate) struct Order {
    command: Command,
    events: Vec<OutboxEvent>,
}

impl Order {
    /// An order without events.
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            events: Vec::new(),
        }
    }

    /// Adds events; they leave only where the command changes something.
    pub(crate) fn with_events(mut self, events: Vec<OutboxEvent>) -> Self {
        self.events = events;
        self
    }
}

struct Waiting {
    order: Order,
    answer: oneshot::Sender<Result<Outcome, Error>>,
}

/// The queue of one ledger.
pub(super) struct Desk {
    offer: Name,
    waiting: Mutex<Vec<Waiting>>,
    /// The ledger as this process last wrote it.
    clerk: tokio::sync::Mutex<Option<Versioned<Ledger>>>,
}

impl Desk {
    pub(super) fn new(offer: Name) -> Self {
        Self {
            offer,
            waiting: Mutex::default(),
            clerk: tokio::sync::Mutex::new(None),
        }
    }

    /// Queues an order and waits for its answer.
    pub(super) async fn carry_out(
        &self,
        shelf: &Shelf,
        clock: &dyn Clock,
        order: Order,
    ) -> Result<Outcome, Error> {
        let (answer, mut answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST_WAITING {
                let text = format!(
                    "too many requests wait for offer `{}`: try again",
                    self.offer
                );
                return Err(Error::Unavailable(text));
            }
            waiting.push(Waiting { order, answer });
        }
        let mut clerk = self.clerk.lock().await;
        match answered.try_recv() {
            Ok(answer) => return answer,
            // The clerk before was cancelled and took this order along.
            Err(TryRecvError::Closed) => return Err(self.interrupted()),
            Err(TryRecvError::Empty) => {}
        }
        let batch = mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // Whoever is cancelled from here on takes the batch along: the others find their sender gone.
        let known = clerk.take();
        *clerk = self.work_off(shelf, clock, batch, known).await;
        drop(clerk);
        answered.await.unwrap_or_else(|_| Err(self.interrupted()))
    }

    fn interrupted(&self) -> Error {
        Error::Unavailable(format!(
            "the ledger of `{}` was interrupted: try again",
            self.offer
        ))
    }

    /// Carries out a batch; the ledger as it stands afterwards, where that is known.
    async fn work_off(
        &self,
        shelf: &Shelf,
        clock: &dyn Clock,
        batch: Vec<Waiting>,
        mut known: Option<Versioned<Ledger>>,
    ) -> Option<Versioned<Ledger>> {
        for _ in 0..MOST_TRIES {
            match self
                .try_once(shelf, clock.now(), &batch, known.take())
                .await
            {
                Ok(Some(done)) => {
                    for (waiting, answer) in batch.into_iter().zip(done.answers) {
                        // Nobody waits any more where the caller went away.
                        let _ = waiting.answer.send(answer);
                    }
                    return done.ledger;
                }
                // Another writer was faster: read again.
                Ok(None) => tokio::task::yield_now().await,
                Err(error) => {
                    let text = format!("the ledger of `{}` cannot be written: {error}", self.offer);
                    return refuse_all(batch, &text);
                }
            }
        }
        refuse_all(
            batch,
            &format!("the ledger of `{}` is contended: try again", self.offer),
        )
    }

    /// Applies a batch to one reading of the ledger and writes it; none where that reading was old.
    async fn try_once(
        &self,
        shelf: &Shelf,
        now: Timestamp,
        batch: &[Waiting],
        known: Option<Versioned<Ledger>>,
    ) -> Result<Option<Done>, StoreError> {
        let remembered = known.is_some();
        let mut seen = match known {
            Some(seen) => seen,
            None => match shelf.ledgers.get(self.offer.as_str()).await? {
                Some(seen) => seen,
                None => {
                    let gone = batch
                        .iter()
                        .map(|_| Err(Error::unknown("offer", &self.offer)));
                    return Ok(Some(Done {
                        answers: gone.collect(),
                        ledger: None,
                    }));
                }
            },
        };
        if seen.value.must_move() {
            seen = moving::move_out(shelf, seen).await?;
        }
        let before = seen.value.clone();
        let mut events = Vec::new();
        let mut answers = Vec::with_capacity(batch.len());
        for waiting in batch {
            let order = &waiting.order;
            let answer = match self.kept(shelf, &seen.value, &order.command).await? {
                Some(kept) => kept,
                None => {
                    let moves = matters(&seen.value, &order.command);
                    let answer = seen.value.apply(order.command.clone(), now);
                    if answer.is_ok() && moves {
                        events.extend(order.events.iter().cloned());
                    }
                    answer
                }
            };
            answers.push(answer.map_err(Error::from));
        }
        // A refusal must not rest on a memory that another writer has made old.
        if remembered && answers.iter().any(Result::is_err) {
            return Ok(None);
        }
        if seen.value == before && events.is_empty() {
            return Ok(Some(Done {
                answers,
                ledger: Some(seen),
            }));
        }
        match shelf.ledgers.replace(&seen, events).await {
            Ok(revision) => {
                seen.revision = revision;
                Ok(Some(Done {
                    answers,
                    ledger: Some(seen),
                }))
            }
            Err(StoreError::Stale { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The answer of an operation whose traces have moved out of the ledger. The ledger was read first and
    /// entries are copied before they leave it, so what is in neither place has never been.
    async fn kept(
        &self,
        shelf: &Shelf,
        ledger: &Ledger,
        command: &Command,
    ) -> Result<Option<Result<Outcome, LedgerError>>, StoreError> {
        let (key, body): (&OperationKey, _) = match command {
            Command::Reserve(reserve) => (&reserve.key, &reserve.body),
            Command::Submit(submit) => (&submit.key, &submit.body),
            Command::Release { key, body } => (key, body),
            _ => return Ok(None),
        };
        if ledger.answer(key).is_some() {
            return Ok(None);
        }
        if let Some(kept) = shelf.answers.get(&answer_key(key)).await? {
            return Ok(Some(kept.value.answer.repeat(key, body)));
        }
        if let Command::Reserve(reserve) = command {
            let attempt = reserve.key.attempt;
            let document = attempt_key(&attempt.org, &attempt.attempt);
            let ran = shelf.attempts.get(&document).await?;
            if ran.is_some_and(|ran| ran.value.ended_ms.is_some()) {
                return Ok(Some(Err(LedgerError::AttemptTaken { attempt })));
            }
        }
        Ok(None)
    }
}

struct Done {
    answers: Vec<Result<Outcome, Error>>,
    ledger: Option<Versioned<Ledger>>,
}

/// False for the end of a lease that has ended before: nothing may be told twice.
fn matters(ledger: &Ledger, command: &Command) -> bool {
    match command {
        Command::Settle(settle) => ledger.lease(&settle.lease).is_some(),
        _ => true,
    }
}

fn refuse_all(batch: Vec<Waiting>, text: &str) -> Option<Versioned<Ledger>> {
    for waiting in batch {
        // Nobody waits any more where the caller went away.
        let _ = waiting
            .answer
            .send(Err(Error::Unavailable(text.to_owned())));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures::poll;
    use oc_kernel::{FixedClock, GrantId, Page, PageRequest, Revision};
    use oc_store::{
        Collection, Document, Expect, OutboxEntry, OutboxEvent, OutboxToken, Query, Store,
        StoreError,
    };
    use tokio::sync::watch;

    use super::*;
    use crate::domain::ledger::StopCause;

    /// A store that never answers.
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl Store for Silent {
        async fn get(
            &self,
            _: &'static Collection,
            _: &str,
        ) -> Result<Option<Document>, StoreError> {
            pending().await
        }

        async fn put(
            &self,
            _: &'static Collection,
            _: &str,
            _: Expect,
            _: Vec<u8>,
            _: Vec<OutboxEvent>,
        ) -> Result<Revision, StoreError> {
            pending().await
        }

        async fn delete(
            &self,
            _: &'static Collection,
            _: &str,
            _: Expect,
            _: Vec<OutboxEvent>,
        ) -> Result<Option<Revision>, StoreError> {
            pending().await
        }

        async fn list(
            &self,
            _: &'static Collection,
            _: &Query,
            _: &PageRequest,
        ) -> Result<Page<Document>, StoreError> {
            pending().await
        }

        async fn outbox(&self, _: usize) -> Result<Vec<OutboxEntry>, StoreError> {
            pending().await
        }

        async fn acknowledge(&self, _: &[OutboxToken]) -> Result<(), StoreError> {
            pending().await
        }

        fn outbox_changes(&self) -> watch::Receiver<u64> {
            watch::channel(0).1
        }

        async fn ping(&self) -> Result<(), StoreError> {
            pending().await
        }
    }

    #[tokio::test]
    async fn an_order_whose_clerk_was_cancelled_is_told_to_try_again() {
        let store: Arc<dyn Store> = Arc::new(Silent);
        let shelf = Shelf::new(&store);
        let clock = FixedClock::new(Timestamp::UNIX_EPOCH);
        let desk = Desk::new("cpu".parse().unwrap());
        let order = || {
            Order::new(Command::Raise {
                grant: GrantId::new(),
                generation: 1,
                cause: StopCause::GrantRaised,
            })
        };
        let busy = desk.clerk.lock().await;
        let mut first = Box::pin(desk.carry_out(&shelf, &clock, order()));
        let mut second = pin!(desk.carry_out(&shelf, &clock, order()));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        drop(busy);
        assert!(
            poll!(&mut first).is_pending(),
            "it reads the store for both"
        );
        drop(first);
        let refused = second.await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    }
}
