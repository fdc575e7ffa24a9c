//! The writing thread: takes what waits, numbers it, writes one segment for each log, answers after the commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use oc_trust::{BooksKey, RecordId, UsageRecord};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot};

use super::{driver, find_record};
use crate::domain::LedgerError;

/// Requests that may wait.
const QUEUE: usize = 1024;
/// Most requests in one transaction.
const BATCH: usize = 256;
/// Most records in one segment, so that one of them is read without many others.
const SEGMENT: usize = 256;
/// Longest wait for the thread to take a request, and for its answer.
const DEADLINE: Duration = Duration::from_secs(30);

type Answer = Result<Vec<UsageRecord>, LedgerError>;

struct Job {
    books: BooksKey,
    /// Where the records must go; none for the end.
    first: Option<u64>,
    records: Vec<UsageRecord>,
    answer: Answer,
    reply: oneshot::Sender<Answer>,
}

/// The handle of the thread; dropping it waits until what was queued is written.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, LedgerError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("usage-writer".to_owned())
            .spawn(move || work(&connection, jobs))
            .map_err(driver)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    pub(super) async fn submit(
        &self,
        books: BooksKey,
        first: Option<u64>,
        records: Vec<UsageRecord>,
    ) -> Answer {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            books,
            first,
            records,
            answer: Ok(Vec::new()),
            reply,
        };
        let queue = self.queue.as_ref().ok_or(LedgerError::Busy)?;
        queue
            .send_timeout(job, DEADLINE)
            .await
            .map_err(|_| LedgerError::Busy)?;
        let answer = tokio::time::timeout(DEADLINE, answer).await;
        answer
            .map_err(|_| LedgerError::Busy)?
            .map_err(|_| driver("the writing thread has ended"))?
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

fn work(connection: &Connection, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let failure = run(connection, &mut batch).err().map(|error| {
            // What the transaction wrote is gone; where it never began there is nothing to undo.
            let _ = connection.execute_batch("ROLLBACK");
            Arc::new(error)
        });
        for job in batch.drain(..) {
            let answer = match &failure {
                Some(error) => Err(driver(error.clone())),
                None => job.answer,
            };
            // The caller may have gone; the record stands all the same.
            let _ = job.reply.send(answer);
        }
    }
}

fn run(connection: &Connection, batch: &mut [Job]) -> Result<(), LedgerError> {
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(driver)?;
    let mut transaction = Transaction::default();
    for job in batch {
        let records = std::mem::take(&mut job.records);
        job.answer = transaction.take(connection, job.books, job.first, records);
    }
    transaction.write(connection)?;
    connection.execute_batch("COMMIT").map_err(driver)
}

/// What the requests of one commit add.
#[derive(Default)]
struct Transaction {
    logs: BTreeMap<BooksKey, Addition>,
    /// Where the records of this commit are in `logs`.
    ids: BTreeMap<RecordId, (BooksKey, usize)>,
}

struct Addition {
    id: i64,
    first: u64,
    records: Vec<UsageRecord>,
}

impl Addition {
    fn size(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

impl Transaction {
    fn take(
        &mut self,
        connection: &Connection,
        books: BooksKey,
        first: Option<u64>,
        records: Vec<UsageRecord>,
    ) -> Answer {
        let size = self.log(connection, books)?.size();
        if let Some(expected) = first {
            let in_order = records.iter().zip(expected..).all(|(r, seq)| r.seq == seq);
            if expected != size || !in_order || self.any_there(connection, &records)? {
                return Err(LedgerError::Moved { expected, size });
            }
        }
        let mut stored = Vec::with_capacity(records.len());
        for mut record in records {
            if let Some(there) = self.there(connection, &record.id)? {
                stored.push(there);
                continue;
            }
            let log = self.log(connection, books)?;
            record.seq = log.size();
            let place = log.records.len();
            log.records.push(record.clone());
            self.ids.insert(record.id.clone(), (books, place));
            stored.push(record);
        }
        Ok(stored)
    }

    fn any_there(
        &self,
        connection: &Connection,
        records: &[UsageRecord],
    ) -> Result<bool, LedgerError> {
        for record in records {
            if self.there(connection, &record.id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The record of that id: among those of this commit, or on disk.
    fn there(
        &self,
        connection: &Connection,
        id: &RecordId,
    ) -> Result<Option<UsageRecord>, LedgerError> {
        let new = self
            .ids
            .get(id)
            .and_then(|(books, place)| self.logs.get(books)?.records.get(*place));
        match new {
            Some(record) => Ok(Some(record.clone())),
            None => find_record(connection, id),
        }
    }

    fn log(
        &mut self,
        connection: &Connection,
        books: BooksKey,
    ) -> Result<&mut Addition, LedgerError> {
        match self.logs.entry(books) {
            Entry::Occupied(log) => Ok(log.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(open(connection, books)?)),
        }
    }

    fn write(&self, connection: &Connection) -> Result<(), LedgerError> {
        for log in self.logs.values().filter(|log| !log.records.is_empty()) {
            for segment in log.records.chunks(SEGMENT) {
                let lines: Vec<Vec<u8>> = segment.iter().map(UsageRecord::canonical).collect();
                let data = lines.join(&b'\n');
                let insert = "INSERT INTO segments (books, first, data) VALUES (?1, ?2, ?3)";
                connection
                    .prepare_cached(insert)
                    .and_then(|mut insert| insert.execute(params![log.id, segment[0].seq, data]))
                    .map_err(driver)?;
            }
            let mut insert = connection
                .prepare_cached("INSERT INTO records (id, books, position) VALUES (?1, ?2, ?3)")
                .map_err(driver)?;
            for record in &log.records {
                insert
                    .execute(params![record.id.as_str(), log.id, record.seq])
                    .map_err(driver)?;
            }
            connection
                .prepare_cached("UPDATE books SET size = ?2 WHERE id = ?1")
                .and_then(|mut update| update.execute(params![log.id, log.size()]))
                .map_err(driver)?;
        }
        Ok(())
    }
}

fn open(connection: &Connection, books: BooksKey) -> Result<Addition, LedgerError> {
    let name = books.to_string();
    let mut select = connection
        .prepare_cached("SELECT id, size FROM books WHERE name = ?1")
        .map_err(driver)?;
    let found = select
        .query_row(params![name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(driver)?;
    let (id, first) = match found {
        Some(found) => found,
        None => {
            connection
                .prepare_cached("INSERT INTO books (name, size) VALUES (?1, 0)")
                .and_then(|mut insert| insert.execute(params![name]))
                .map_err(driver)?;
            (connection.last_insert_rowid(), 0)
        }
    };
    Ok(Addition {
        id,
        first,
        records: Vec::new(),
    })
}
