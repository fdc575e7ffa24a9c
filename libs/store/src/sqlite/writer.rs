//! The writing thread: takes what has queued up, runs it in one transaction, answers after the commit.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use oc_kernel::Clock;
use rusqlite::Connection;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::schema::BUSY_TIMEOUT;
use super::session::{Outcome, Session};
use super::{DEADLINE, driver, sql};
use crate::{Collection, StoreError};

/// Writes that may wait.
const QUEUE: usize = 1024;
/// Most writes in one transaction.
const BATCH: usize = 256;
/// Without a write for so long, the write-ahead log is moved into the file and emptied. Deleted and replaced
/// documents stay in the log until then, so this is also how long they outlive their deletion.
const QUIET: Duration = Duration::from_secs(1);
/// Longest time until the same is tried where writes never pause.
const LOG_AGE: Duration = Duration::from_secs(30);

/// The handle of the thread; dropping it waits until every queued write is done.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    prepared: Mutex<HashSet<&'static str>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        clock: Arc<dyn Clock>,
        changed: watch::Sender<u64>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        // Waits with a limit need a timer; it belongs to this thread, so that no other runtime can starve it.
        let timer = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work(&timer, connection, clock, jobs, &changed))
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            prepared: Mutex::default(),
        })
    }

    /// Queues a write and waits for its commit.
    pub(super) async fn submit<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Outcome<T> + Send + 'static,
    {
        let gone = || driver("the writing thread has ended");
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task {
            work: Some(work),
            outcome: None,
            reply,
        });
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue
            .send_timeout(job, DEADLINE)
            .await
            .map_err(|_| StoreError::Busy)?;
        let answer = tokio::time::timeout(DEADLINE, answer).await;
        answer
            .map_err(|_| StoreError::Timeout)?
            .map_err(|_| gone())?
    }

    /// Sees to it that the entries of the collection's declared indexes are built.
    pub(super) async fn prepare(&self, collection: &'static Collection) -> Result<(), StoreError> {
        let prepared = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared().contains(collection.name) {
            return Ok(());
        }
        self.submit(move |session| session.prepare(collection).map(Ok))
            .await?;
        prepared().insert(collection.name);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

trait Job: Send {
    fn run(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Session<'_>) -> Outcome<T> + Send,
{
    fn run(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.outcome = Some(work(session)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(driver("the write was not run")),
            (Err(error), _) => Err(error),
        };
        // The caller may have gone; the write stands all the same.
        let _ = self.reply.send(outcome);
    }
}

fn work(
    timer: &Runtime,
    connection: Connection,
    clock: Arc<dyn Clock>,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    changed: &watch::Sender<u64>,
) {
    let mut session = Session::new(&connection, clock);
    let mut batch = Vec::with_capacity(BATCH);
    let mut log = Log::default();
    loop {
        match timer.block_on(next(&mut jobs, &mut batch, log.due())) {
            Next::Jobs => {}
            Next::Quiet => {
                log.empty(&connection);
                continue;
            }
            Next::Closed => return,
        }
        let done = run_batch(&mut session, &mut batch);
        let committed = done.is_ok();
        log.grows();
        let failure = done.err().map(Arc::new);
        for job in batch.drain(..) {
            job.answer(
                failure
                    .as_ref()
                    .map_or(Ok(()), |error| Err(rolled_back(error))),
            );
        }
        if session.take_events() > 0 && committed {
            changed.send_modify(|version| *version += 1);
        }
    }
}

enum Next {
    Jobs,
    Quiet,
    Closed,
}

/// Waits for jobs, or until `due`.
async fn next(
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    batch: &mut Vec<Box<dyn Job>>,
    due: Option<Instant>,
) -> Next {
    let receive = jobs.recv_many(batch, BATCH);
    let received = match due {
        // A limit that has passed lets waiting jobs go last: the log is emptied first.
        Some(due) if due <= Instant::now() => return Next::Quiet,
        Some(due) => tokio::time::timeout_at(due.into(), receive).await,
        None => Ok(receive.await),
    };
    match received {
        Err(_) => Next::Quiet,
        Ok(0) => Next::Closed,
        Ok(_) => Next::Jobs,
    }
}

/// When the write-ahead log is to be emptied.
#[derive(Default)]
struct Log {
    oldest: Option<Instant>,
    newest: Option<Instant>,
}

impl Log {
    fn grows(&mut self) {
        let now = Instant::now();
        self.oldest.get_or_insert(now);
        self.newest = Some(now);
    }

    fn due(&self) -> Option<Instant> {
        let (oldest, newest) = (self.oldest?, self.newest?);
        Some((oldest + LOG_AGE).min(newest + QUIET))
    }

    /// Moves the log into the file. A reader may be in the way: the next try comes later, since no write is to
    /// wait for it.
    fn empty(&mut self, connection: &Connection) {
        match checkpoint(connection) {
            Ok(true) => *self = Self::default(),
            Ok(false) => {
                let now = Some(Instant::now());
                (self.oldest, self.newest) = (now, now);
            }
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be emptied");
                *self = Self::default();
            }
        }
    }
}

/// Whether the whole log is in the file, and empty.
fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0)
    });
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(busy? == 0)
}

fn run_batch(session: &mut Session<'_>, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    session.begin()?;
    let ran = batch.iter_mut().try_for_each(|job| job.run(session));
    let committed = ran.and_then(|()| session.commit());
    if committed.is_err() {
        session.roll_back();
    }
    committed
}

/// The error of a batch, for each of its writers.
fn rolled_back(error: &Arc<rusqlite::Error>) -> StoreError {
    let again = match &**error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        _ => return StoreError::Driver(Box::new(error.clone())),
    };
    sql(again)
}
