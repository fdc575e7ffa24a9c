//! Drives runs: one task a run that takes in what happened, stores it, and keeps the outstanding actions
//! going. What it knows beyond the stored run is only who is being asked what.

mod data;
mod failure;
mod follow;
mod observe;
mod perform;
mod publish;
mod wall;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use oc_kernel::RunId;
use oc_proto::pipeline::v1::WatchRunResponse;
use oc_store::{OutboxEvent, Query, StoreError, Versioned};
use oc_workflow::run::{Action, Applied, Event, Run};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use failure::CallFailure;
#[cfg(test)]
pub(crate) use follow::end_cause;
use perform::{Shared, Task, Told};

use crate::context::Context;
use crate::documents::{Batch, RunDocument, batch_key};
use crate::hub::Hub;
use crate::present;

/// Things told to a run that wait to be taken in.
const INBOX: usize = 256;

/// An action that ended without effect is not begun again sooner.
const AGAIN: Duration = Duration::from_millis(500);

/// The pause before a write that failed is tried again.
const WRITE_PAUSE: Duration = Duration::from_millis(500);

/// How long a run that is over can still be spoken to by the task that drove it.
const LINGER: Duration = Duration::from_secs(1);

/// The longest sleep of a run that waits.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A person's word to a run, and where to say that it was taken in.
pub(crate) struct Word {
    pub(crate) event: Event,
    pub(crate) done: oneshot::Sender<()>,
}

/// Drives a run until it is over or the process stops.
pub(crate) async fn drive(
    context: Arc<Context>,
    hub: Hub,
    run: RunId,
    words: mpsc::Receiver<Word>,
    stop: CancellationToken,
) {
    match Driver::load(context, hub, run).await {
        Ok(Some(driver)) => driver.run(words, stop).await,
        Ok(None) => tracing::warn!(%run, "there is no such run to drive"),
        Err(error) => tracing::error!(%run, %error, "a run cannot be read"),
    }
}

struct Driver {
    context: Arc<Context>,
    hub: Hub,
    seen: Versioned<RunDocument>,
    /// The number of the last event.
    number: u64,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    under_way: BTreeMap<Action, UnderWay>,
    /// Wall time as it was when this began, and when that was: from here on it runs evenly.
    begun: (Timestamp, Instant),
}

struct UnderWay {
    handle: AbortHandle,
    since: Instant,
}

impl Driver {
    async fn load(context: Arc<Context>, hub: Hub, run: RunId) -> Result<Option<Self>, StoreError> {
        let Some(seen) = context.shelf.runs.get(&run.to_string()).await? else {
            return Ok(None);
        };
        let shared = Shared::default();
        let mut number = 0;
        let batches = context
            .shelf
            .events
            .all(&Query::prefix(format!("{run}/")))
            .await?;
        for batch in batches {
            let last = batch.value.events.last().map(|event| event.number);
            number = number.max(last.unwrap_or_default());
            if let Some((attempt, taken)) = batch.value.taken {
                shared.set_taken(&attempt, taken);
            }
        }
        let pending = seen.value.pending.last().map(|event| event.number);
        let (tell, told) = mpsc::channel(INBOX);
        let begun = (context.clock.now(), Instant::now());
        Ok(Some(Self {
            context,
            hub,
            number: number.max(pending.unwrap_or_default()),
            seen,
            tell,
            told,
            shared: Arc::new(shared),
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            begun,
        }))
    }

    /// Wall time that never runs backwards while the process lives.
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.begun.1.elapsed()).unwrap_or_default();
        self.begun.0.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    fn run_state(&self) -> &Run {
        &self.seen.value.run
    }

    async fn run(mut self, mut words: mpsc::Receiver<Word>, stop: CancellationToken) {
        let driven = async {
            self.take(vec![], Event::Resumed, |_| ()).await;
            self.take(vec![], Event::Tick, |_| ()).await;
            loop {
                self.keep_going();
                if self.run_state().state().is_final() {
                    // Somebody may just be asking for another try. Who comes later asks again.
                    match tokio::time::timeout(LINGER, words.recv()).await {
                        Ok(Some(word)) => self.word(word).await,
                        Ok(None) | Err(_) => return,
                    }
                    continue;
                }
                let sleep = self.until_next();
                tokio::select! {
                    Some(word) = words.recv() => self.word(word).await,
                    Some(told) = self.told.recv() => self.hear(told).await,
                    Some(_) = self.tasks.join_next() => {}
                    () = tokio::time::sleep(sleep) => {
                        self.take(vec![], Event::Tick, |_| ()).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = driven => {}
        }
    }

    async fn word(&mut self, word: Word) {
        self.take(vec![], word.event, |_| ()).await;
        // Whoever asked may have gone.
        let _ = word.done.send(());
    }

    async fn hear(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.take(vec![], event, |_| ()).await,
            Told::Reserved {
                input,
                items,
                event,
            } => {
                self.take(vec![], event, |document| {
                    document.reserved.insert(input.clone(), items.clone());
                })
                .await;
            }
            Told::Settled {
                grant,
                dispute,
                charge,
            } => {
                let event = Event::Settled { grant, dispute };
                self.take(vec![], event, |document| {
                    if let Some(charge) = &charge {
                        document.charged.insert(grant, charge.clone());
                    }
                })
                .await;
            }
            Told::Published(published) => {
                self.take(vec![], Event::Published, |document| {
                    document.published.get_or_insert_with(|| published.clone());
                })
                .await;
            }
            Told::Lines {
                attempt,
                taken,
                events,
            } => self.write_lines(attempt, taken, events).await,
        }
    }

    /// Takes an event in, and stores what came of it before anything follows from it.
    async fn take(
        &mut self,
        mut events: Vec<WatchRunResponse>,
        event: Event,
        also: impl Fn(&mut RunDocument),
    ) {
        let now = self.now();
        let before = self.seen.value.run.clone();
        let Applied {
            durable,
            transitions,
        } = self.seen.value.run.apply(event, now);
        if !durable {
            return;
        }
        also(&mut self.seen.value);
        for transition in &transitions {
            self.number += 1;
            events.push(present::transition(
                self.run_state(),
                self.number,
                transition,
            ));
        }
        let outbox = self.observations(&before, now).await;
        self.seen.value.pending = events;
        self.save(outbox).await;
        self.write_pending().await;
    }

    /// Stores the run. Nothing goes on before that has succeeded.
    async fn save(&mut self, outbox: Vec<OutboxEvent>) {
        loop {
            match self
                .context
                .shelf
                .runs
                .replace(&self.seen, outbox.clone())
                .await
            {
                Ok(revision) => {
                    self.seen.revision = revision;
                    return;
                }
                Err(StoreError::Stale { .. }) => self.catch_up().await,
                Err(error) => {
                    let run = self.run_state().id();
                    tracing::error!(%run, %error, "a run cannot be stored: it waits");
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
            }
        }
    }

    /// Nobody else writes the state of a run: a newer revision is our own, whose answer was lost, or says that its
    /// user was removed.
    async fn catch_up(&mut self) {
        let key = self.seen.key.clone();
        match self.context.shelf.runs.get(&key).await {
            Ok(Some(stored)) => {
                self.seen.revision = stored.revision;
                self.seen.value.spec = stored.value.spec;
            }
            Ok(None) | Err(_) => tokio::time::sleep(WRITE_PAUSE).await,
        }
    }

    /// Puts the events that were stored with the run among the others. Doing it again does no harm.
    async fn write_pending(&mut self) {
        let events = self.seen.value.pending.clone();
        self.write(Batch {
            events,
            taken: None,
        })
        .await;
    }

    async fn write_lines(
        &mut self,
        attempt: String,
        taken: u64,
        mut events: Vec<WatchRunResponse>,
    ) {
        if taken > 0 && taken <= self.shared.taken(&attempt) {
            return;
        }
        for event in &mut events {
            self.number += 1;
            event.number = self.number;
        }
        self.shared.set_taken(&attempt, taken);
        self.write(Batch {
            events,
            taken: Some((attempt, taken)),
        })
        .await;
    }

    async fn write(&mut self, batch: Batch) {
        let Some(first) = batch.events.first() else {
            return;
        };
        let run = self.run_state().id();
        let key = batch_key(run, first.number);
        let events = &self.context.shelf.events;
        while let Err(error) = events
            .put(&key, &batch, oc_store::Expect::Any, vec![])
            .await
        {
            tracing::error!(%run, %error, "events of a run cannot be stored: it waits");
            tokio::time::sleep(WRITE_PAUSE).await;
        }
        self.hub.notify(run, self.number);
    }

    /// Begins what is outstanding and drops what no longer is.
    fn keep_going(&mut self) {
        let now = self.now();
        let wanted = self.run_state().outstanding(now);
        self.under_way.retain(|action, task| {
            let keep = wanted.contains(action);
            if !keep {
                task.handle.abort();
            }
            keep
        });
        let document = std::sync::OnceLock::new();
        for action in wanted {
            let known = self.under_way.get(&action);
            if known.is_some_and(|task| !task.handle.is_finished() || task.since.elapsed() < AGAIN)
            {
                continue;
            }
            let document = document.get_or_init(|| Arc::new(self.seen.value.clone()));
            let task = Task {
                context: self.context.clone(),
                document: document.clone(),
                action: action.clone(),
                tell: self.tell.clone(),
                shared: self.shared.clone(),
            };
            let handle = self.tasks.spawn(task.perform());
            let since = Instant::now();
            self.under_way.insert(action, UnderWay { handle, since });
        }
    }

    fn until_next(&self) -> Duration {
        // Actions that ended without effect are begun again.
        let again = self
            .under_way
            .values()
            .any(|task| task.handle.is_finished());
        let longest = if again { AGAIN } else { LONGEST_SLEEP };
        let Some(wake) = self.run_state().wake_at() else {
            return longest;
        };
        let left = wake.duration_since(self.now());
        Duration::try_from(left)
            .unwrap_or(Duration::ZERO)
            .min(longest)
    }
}

#[cfg(test)]
mod tests;
