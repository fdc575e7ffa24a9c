//! Takes down what an attempt tells: into its log, within the limits on what may be kept and may leave.

use std::time::Duration;

use oc_kernel::{Classify as _, GrantId, Kind, LogRoom, Taken};
use tokio::sync::mpsc;

use crate::documents::{Attempt, Recorded, RecordedEvent, attempt_key};
use crate::domain::attempt::AttemptKey;
use crate::domain::egress::{Egress, EgressLimits};
use crate::domain::runtime::{AttemptEvent, AttemptReport, End, Event, LogLine};
use crate::error::Error;
use crate::provider::Provider;

/// Events written at once: lines of 8 KiB, six bytes of JSON for each of theirs at worst, still make a document that a
/// store takes.
const BATCH: usize = 128;
/// How often a write is tried while the store is in trouble.
const TRIES: u32 = 10;
/// The pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(300);

impl Provider {
    /// Takes down the events of one attempt until its runner has nothing more to say.
    pub(super) async fn take_down(
        self,
        attempt: Attempt,
        mut events: mpsc::Receiver<AttemptEvent>,
    ) {
        let key = attempt.key;
        let mut room = LogRoom::new(self.settings.log_bytes);
        let mut batch = Vec::with_capacity(BATCH);
        let mut report = None;
        while report.is_none() && events.recv_many(&mut batch, BATCH).await > 0 {
            let mut records = Vec::with_capacity(batch.len());
            for AttemptEvent { at, event } in batch.drain(..) {
                let event = match event {
                    Event::Phase(phase) => {
                        self.live.enter(&key, phase);
                        RecordedEvent::Phase(phase)
                    }
                    Event::Step(step) => RecordedEvent::Step(step),
                    Event::Log(line) => match room.take(&line.text) {
                        Taken::Kept => RecordedEvent::Log(line),
                        Taken::Cut => RecordedEvent::Log(notice(
                            "the log is cut here: it has reached its limit".to_owned(),
                        )),
                        Taken::Dropped => continue,
                    },
                    Event::Ended(end) => {
                        report = Some(end);
                        break;
                    }
                };
                records.push(Recorded { at, event });
            }
            let records = self.let_leave(&attempt, records, &mut room).await;
            if records.is_empty() {
                continue;
            }
            if let Err(error) = self
                .persist(|| self.logs.append(&key, records.clone()))
                .await
            {
                tracing::error!(attempt = %key.attempt, %error, "events are lost: the store fails");
            }
        }
        if let Some(report) = report {
            self.keep_end(&key, report).await;
        }
        self.live.stop(&key);
        self.wake_supervisor.notify_one();
    }

    /// Keeps a report, or that it cannot be kept.
    async fn keep_end(&self, key: &AttemptKey, report: AttemptReport) {
        let keep = |report: AttemptReport| async move {
            self.persist(|| self.keep_report(key, report.clone())).await
        };
        let used = report.used;
        let mut kept = keep(report).await;
        if let Err(error) = &kept
            && error.kind() == Kind::Invalid
        {
            let end = End::Failed {
                step: String::new(),
                message: format!("the provider cannot keep what its runner reported: {error}"),
                exit_code: None,
                code: String::new(),
            };
            kept = keep(AttemptReport { end, used }).await;
        }
        if let Err(error) = kept {
            tracing::error!(attempt = %key.attempt, %error, "a report is lost: the store fails");
        }
    }

    async fn keep_report(&self, key: &AttemptKey, report: AttemptReport) -> Result<(), Error> {
        let document = attempt_key(&key.org, &key.attempt);
        let kept = self
            .shelf
            .attempts
            .update(&document, |attempt| -> Result<_, Error> {
                attempt.report.get_or_insert_with(|| report.clone());
                Ok(Vec::new())
            });
        kept.await.map(|_| ())
    }

    /// Tries a write again while the store is in trouble; one that is against its rules is not.
    async fn persist<T, F>(&self, write: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tried = 1;
        loop {
            match write().await {
                Err(error) if tried < TRIES && error.kind() != Kind::Invalid => {
                    tracing::warn!(%error, tried, "a write is tried again");
                    tried += 1;
                    tokio::time::sleep(TRY_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Counts the lines of a partner's attempt as leaving; without the lines where they may not.
    async fn let_leave(
        &self,
        attempt: &Attempt,
        mut records: Vec<Recorded>,
        room: &mut LogRoom,
    ) -> Vec<Recorded> {
        let (Some(grant), Some(limits)) = (attempt.grant, attempt.egress) else {
            return records;
        };
        let bytes: u64 = records
            .iter()
            .filter_map(|record| match &record.event {
                RecordedEvent::Log(line) => Some(line.text.len() as u64),
                _ => None,
            })
            .sum();
        if bytes == 0 {
            return records;
        }
        let Err(error) = self
            .take_egress(grant, Some(&attempt.key), bytes, &limits)
            .await
        else {
            return records;
        };
        let at = self.clock.now();
        records.retain(|record| !matches!(record.event, RecordedEvent::Log(_)));
        if room.close() {
            let event = RecordedEvent::Log(notice(format!("the log is cut here: {error}")));
            records.push(Recorded { at, event });
        }
        records
    }

    /// Counts bytes before they leave under a grant.
    pub(crate) async fn take_egress(
        &self,
        grant: GrantId,
        attempt: Option<&AttemptKey>,
        bytes: u64,
        limits: &EgressLimits,
    ) -> Result<(), Error> {
        let attempt = attempt.map(|key| key.attempt);
        let first = || Egress::new(grant);
        let key = grant.to_string();
        let counted =
            self.shelf
                .egress
                .update_or_create(&key, first, |egress| -> Result<_, Error> {
                    egress.take(attempt, bytes, limits)?;
                    Ok(Vec::new())
                });
        counted.await.map(|_| ())
    }
}

fn notice(text: String) -> LogLine {
    LogLine {
        step: String::new(),
        stderr: true,
        text,
    }
}
