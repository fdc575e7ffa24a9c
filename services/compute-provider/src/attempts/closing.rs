//! The end of an attempt: its last events, its usage for the books, and its capacity back. Everything is
//! computed once and written down first; after a crash in the middle the rest follows from that.

use std::collections::BTreeMap;

use oc_kernel::{Classify as _, Kind, LeaseId, Name, ObjectKey};
use oc_store::{OutboxEvent, Query, StoreError};
use oc_trust::event::{BooksKey, Event as _, UsageEvent};
use serde_json::Value;

use crate::documents::{
    Attempt, Closing, OutputFile, Recorded, RecordedEvent, WrittenObject, attempt_key,
};
use crate::domain::attempt::AttemptKey;
use crate::domain::grant::ms;
use crate::domain::ledger::{Command, Ended, EndedState, JobState, Lease, Settle, StopCause};
use crate::domain::metering::{Held, Usage, meter, outcome};
use crate::domain::runtime::End;
use crate::error::Error;
use crate::provider::Provider;

/// Bytes of a result, which goes home in one message of at most 4 MiB and lies in one document, where its quotes are
/// escaped once more.
const RESULT: usize = 3 << 20;
/// Bytes of an object in a result beside its key: owner, digest, length, and what names them.
const OBJECT: usize = 200;
/// Why an attempt failed whose runner says that it was stopped, and nobody stopped it.
const UNASKED: &str = "its runner stopped unasked; the log of the provider's node says more";
/// Why an attempt failed of whose end nothing is known.
const LOST: &str =
    "the provider could not keep the report of its end; the log of the provider's node says more";

/// What an attempt has announced, by name.
type Outputs = BTreeMap<String, OutputFile>;

impl Provider {
    /// Settles a lease of which nothing runs any more.
    pub(super) async fn close_attempt(
        &self,
        offer: &Name,
        lease: LeaseId,
        entry: &Lease,
    ) -> Result<(), Error> {
        let key = entry.attempt;
        let document = attempt_key(&key.org, &key.attempt);
        let attempt = match self.shelf.attempts.get(&document).await? {
            Some(seen) => seen.value,
            // Nothing is known of it but the lease: there is nothing to tell and nothing to bill.
            None => {
                let settle = Settle {
                    lease,
                    state: EndedState::Failed,
                    core_ms: 0,
                };
                self.ledgers.apply(offer, Command::Settle(settle)).await?;
                return Ok(());
            }
        };
        let outputs = self.outputs_of(&key).await?;
        let mut closing = match attempt.closing.clone() {
            Some(closing) => closing,
            None => self.decide_end(&attempt, &outputs, entry).await?,
        };
        let last = last_events(&attempt, &outputs, &closing);
        match self.logs.close(&key, closing.number, last).await {
            // What the store refuses now it refuses for ever.
            Err(error) if error.kind() == Kind::Invalid && closing.fault.is_none() => {
                closing = self.close_as_fault(closing, &error).await?;
                let last = last_events(&attempt, &outputs, &closing);
                self.logs.close(&key, closing.number, last).await?;
            }
            closed => closed?,
        }
        let state = closing.ended.state;
        let settle = Settle {
            lease,
            state,
            core_ms: closing.usage.core_ms(),
        };
        let events = match closing.ended.started_at {
            Some(_) => vec![usage_event(&attempt, &closing)],
            // What never began has used nothing.
            None => Vec::new(),
        };
        self.ledgers
            .settle(offer, Command::Settle(settle), events)
            .await?;
        if let Some(grant) = attempt.grant {
            self.close_egress(&grant.to_string(), &attempt).await?;
        }
        self.leases.end(&lease);
        self.live.forget(&key);
        let booked = outcome(state).as_str();
        self.metrics.attempts.with_label_values(&[booked]).inc();
        tracing::info!(attempt = %key.attempt, outcome = booked, "attempt is over");
        if let Err(error) = self.runtime.sweep(&key).await {
            tracing::warn!(attempt = %key.attempt, %error, "its folders go later");
        }
        Ok(())
    }

    /// What an attempt has announced, by name.
    async fn outputs_of(&self, attempt: &AttemptKey) -> Result<Outputs, Error> {
        let below = attempt_key(&attempt.org, &attempt.attempt);
        let below = Query::prefix(format!("{below}/"));
        let all = self.shelf.outputs.all(&below).await?.into_iter();
        let all = all.map(|seen| (seen.value.name.to_string(), seen.value));
        Ok(all.collect())
    }

    /// Computes how the attempt ended and what it used, and writes that down.
    async fn decide_end(
        &self,
        attempt: &Attempt,
        outputs: &Outputs,
        entry: &Lease,
    ) -> Result<Closing, Error> {
        let now = self.clock.now();
        let (started_at, stopped) = match entry.job.state {
            JobState::Queued => (None, None),
            JobState::Running { since } => (Some(since), None),
            JobState::Stopping { cause, started, .. } => (started, Some(cause)),
        };
        let number = self.logs.next_number(&attempt.key).await?;
        let began = started_at.unwrap_or(now);
        let (wall_ms, ended_at) = match self.live.held_ms(&attempt.key) {
            Some(held) => (held, now),
            // Another process held the cores and died with them: its last word is the last that is sure.
            None => {
                let last = self
                    .logs
                    .read(&attempt.key, number.saturating_sub(2))
                    .await?;
                let last = last
                    .last()
                    .map_or(began, |(_, record)| record.at)
                    .max(began);
                (ms(last).saturating_sub(ms(began)), last)
            }
        };
        let wall_ms = if started_at.is_some() { wall_ms } else { 0 };
        let held = Held {
            resources: attempt.demand.resources,
            started_at: began,
            ended_at,
            wall_ms,
        };
        let abroad = attempt.output.owner != self.me().await?;
        let stored = outputs.values().filter(|output| output.stored && abroad);
        let bytes_out = stored.map(|output| output.length).sum();
        let measured = attempt
            .report
            .as_ref()
            .map(|report| report.used)
            .unwrap_or_default();
        let closing = Closing {
            usage: meter(&held, &measured, bytes_out),
            ended: Ended {
                lease: attempt.lease,
                attempt: attempt.key,
                under: attempt.under,
                submitted_at: entry.submitted_at,
                started_at,
                ended_at,
                state: end_of(attempt, outputs, stopped).state,
                core_ms: 0,
            },
            number,
            fault: None,
        };
        let document = attempt_key(&attempt.key.org, &attempt.key.attempt);
        let noted = self
            .shelf
            .attempts
            .update(&document, |attempt| -> Result<_, Error> {
                attempt.closing.get_or_insert_with(|| closing.clone());
                Ok(Vec::new())
            });
        let noted = noted.await?.value.closing;
        Ok(noted.unwrap_or(closing))
    }

    /// Writes down that an attempt has failed, because its end as it was cannot be told.
    async fn close_as_fault(&self, closing: Closing, error: &Error) -> Result<Closing, Error> {
        let key = closing.ended.attempt;
        tracing::error!(attempt = %key.attempt, %error, "an end cannot be told as it was");
        let mut failed = closing;
        failed.ended.state = EndedState::Failed;
        failed.fault = Some(format!("the provider cannot keep how it ended: {error}"));
        let document = attempt_key(&key.org, &key.attempt);
        let noted = self
            .shelf
            .attempts
            .update(&document, |attempt| -> Result<_, Error> {
                attempt.closing = Some(failed.clone());
                Ok(Vec::new())
            });
        noted.await?;
        Ok(failed)
    }

    async fn close_egress(&self, grant: &str, attempt: &Attempt) -> Result<(), Error> {
        let closed = self
            .shelf
            .egress
            .update(grant, |egress| -> Result<_, StoreError> {
                egress.close(&attempt.key.attempt);
                Ok(Vec::new())
            });
        match closed.await {
            // Nothing has ever left under this grant.
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An end, with what is told about it.
struct Told {
    state: EndedState,
    text: String,
    /// What kind of failure it was; empty for one of the tool's own.
    code: String,
    made: Option<(String, Vec<WrittenObject>)>,
}

/// How an attempt has ended, from its report unless it was stopped.
fn end_of(attempt: &Attempt, outputs: &Outputs, stopped: Option<StopCause>) -> Told {
    let told = |state, text| Told {
        state,
        text,
        code: String::new(),
        made: None,
    };
    let by = |cause: StopCause| told(EndedState::Stopped(cause), cause.to_string());
    if let Some(cause) = stopped {
        return by(cause);
    }
    match attempt.report.as_ref().map(|report| &report.end) {
        Some(End::Succeeded { outputs: named }) => match place_outputs(named, attempt, outputs) {
            Ok(made) => Told {
                state: EndedState::Succeeded,
                text: String::new(),
                code: String::new(),
                made: Some(made),
            },
            Err(fault) => told(EndedState::Failed, fault),
        },
        Some(End::Failed {
            step,
            message,
            code,
            ..
        }) => {
            let text = match step.as_str() {
                "" => message.clone(),
                step => format!("step `{step}`: {message}"),
            };
            Told {
                code: code.clone(),
                ..told(EndedState::Failed, text)
            }
        }
        // A restart of this node is written into the ledger as the cause; a runner's word is no proof of one.
        Some(End::Stopped) => told(EndedState::Failed, UNASKED.to_owned()),
        None => told(EndedState::Failed, LOST.to_owned()),
    }
}

/// The events that end an attempt's log.
fn last_events(attempt: &Attempt, outputs: &Outputs, closing: &Closing) -> Vec<Recorded> {
    let at = closing.ended.ended_at;
    if let Some(fault) = &closing.fault {
        let (state, text) = (EndedState::Failed, fault.clone());
        let code = String::new();
        let event = RecordedEvent::Ended { state, text, code };
        return vec![Recorded { at, event }];
    }
    let stopped = match closing.ended.state {
        EndedState::Stopped(cause) => Some(cause),
        EndedState::Succeeded | EndedState::Failed => None,
    };
    let Told {
        state,
        text,
        code,
        made,
    } = end_of(attempt, outputs, stopped);
    let usage = closing.usage;
    let result = made.map(|(outputs, objects)| RecordedEvent::Result {
        outputs,
        usage,
        objects,
    });
    let ended = RecordedEvent::Ended { state, text, code };
    result
        .into_iter()
        .chain([ended])
        .map(|event| Recorded { at, event })
        .collect()
}

/// Replaces the names of outputs by where they lie; the objects that are named.
fn place_outputs(
    named: &str,
    attempt: &Attempt,
    outputs: &Outputs,
) -> Result<(String, Vec<WrittenObject>), String> {
    let mut value: Value = serde_json::from_str(named)
        .map_err(|error| format!("the runner's outputs are no JSON: {error}"))?;
    // One file may be several outputs.
    let mut objects = BTreeMap::new();
    place(&mut value, attempt, outputs, &mut objects)?;
    let placed = value.to_string();
    let listed = objects.keys().map(|key| key.as_str().len() + OBJECT);
    let length = placed.len() + listed.sum::<usize>();
    if length > RESULT {
        return Err(format!(
            "the output object is too large: with where each of its files lies it has {length} bytes, and may have \
             {RESULT}; name fewer files, or start the run with a shorter prefix"
        ));
    }
    Ok((placed, objects.into_values().collect()))
}

fn place(
    value: &mut Value,
    attempt: &Attempt,
    outputs: &Outputs,
    objects: &mut BTreeMap<ObjectKey, WrittenObject>,
) -> Result<(), String> {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| place(item, attempt, outputs, objects)),
        Value::Object(fields) => {
            let named = fields.get("location").and_then(Value::as_str);
            if let Some(name) = named.and_then(|location| location.strip_prefix("output:")) {
                let object = written(name, attempt, outputs)?;
                let location = format!("oc:{}/objects/{}", object.owner, object.key);
                fields.insert("location".to_owned(), location.into());
                fields.insert(
                    "checksum".to_owned(),
                    format!("sha256${}", object.sha256).into(),
                );
                fields.insert("size".to_owned(), object.length.into());
                objects.insert(object.key.clone(), object);
            }
            fields
                .values_mut()
                .try_for_each(|field| place(field, attempt, outputs, objects))
        }
        _ => Ok(()),
    }
}

fn written(name: &str, attempt: &Attempt, outputs: &Outputs) -> Result<WrittenObject, String> {
    let stored = outputs.get(name).filter(|output| output.stored);
    let missing = || format!("the runner names output `{name}`, which was never stored");
    let output = stored.ok_or_else(missing)?;
    Ok(WrittenObject {
        owner: attempt.output.owner,
        key: attempt
            .output
            .prefix
            .join(name)
            .map_err(|error| error.to_string())?,
        length: output.length,
        sha256: output.sha256,
    })
}

/// What the books need of an attempt.
fn usage_event(attempt: &Attempt, closing: &Closing) -> OutboxEvent {
    let usage: &Usage = &closing.usage;
    let event = UsageEvent {
        grant_id: BooksKey::of(attempt.grant),
        run_id: attempt.key.run,
        fragment_id: attempt.key.fragment,
        attempt_id: attempt.key.attempt,
        pseudonym: attempt.pseudonym.clone(),
        workflow: attempt.workflow.clone(),
        started_ms: usage.started_ms,
        ended_ms: usage.ended_ms,
        wall_ms: usage.wall_ms,
        cpu_ms: usage.cpu_ms,
        peak_memory_bytes: usage.peak_memory_bytes,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
        storage_byte_seconds: 0,
        cores: usage.cores,
        outcome: outcome(closing.ended.state),
    };
    OutboxEvent::new(UsageEvent::TYPE, event.subject(), event.data())
}
