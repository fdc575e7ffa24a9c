//! Events of other services that the books are made of. An event that makes no sense is logged and left behind;
//! one that cannot be handled yet comes again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_bus::{CloudEvent, Consumer, Delivery};
use oc_kernel::{AttemptId, Classify as _, FragmentId, GrantId, Kind, Name, RunId};
use oc_trust::Outcome;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::domain::{Accounting, AccountingError, AttemptSeen, BooksKey, Draft, GrantTerms};
use crate::metrics::AccountingMetrics;

/// compute-provider: an attempt ended, and this is what it used.
const USAGE: &str = "oc.compute.usage.v1";
/// compute-provider: a grant of ours began, changed or ended.
const GRANT: &str = "oc.compute.grant.v1";
/// pipeline-orchestrator: what we saw of an attempt of ours.
const ATTEMPT: &str = "oc.pipeline.attempt.v1";

/// The types that [`run`] handles.
pub(crate) const TYPES: [&str; 3] = [USAGE, GRANT, ATTEMPT];

/// How long an event waits that cannot be handled yet.
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
struct UsageEvent {
    grant_id: String,
    run_id: RunId,
    fragment_id: FragmentId,
    attempt_id: AttemptId,
    pseudonym: Name,
    workflow: String,
    started_ms: u64,
    ended_ms: u64,
    wall_ms: u64,
    cpu_ms: u64,
    peak_memory_bytes: u64,
    bytes_in: u64,
    bytes_out: u64,
    #[serde(default)]
    storage_byte_seconds: u64,
    cores: u32,
    outcome: Outcome,
}

#[derive(Debug, Deserialize)]
struct GrantEvent {
    grant_id: GrantId,
    state: String,
    /// Base64 of the envelope; empty before the grant is signed.
    #[serde(default)]
    envelope: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AttemptState {
    Submitted,
    Ended,
}

#[derive(Debug, Deserialize)]
struct AttemptEvent {
    grant_id: String,
    run_id: RunId,
    fragment_id: FragmentId,
    attempt_id: AttemptId,
    state: AttemptState,
    at_ms: u64,
    #[serde(default)]
    pseudonym: Option<Name>,
    #[serde(default)]
    outcome: Option<Outcome>,
    #[serde(default)]
    bytes_out: Option<u64>,
}

/// Handles events until told to stop.
pub(crate) async fn run(
    accounting: Accounting,
    mut events: Box<dyn Consumer>,
    metrics: AccountingMetrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            delivery = events.next() => delivery,
        };
        let Some(delivery) = delivery else {
            anyhow::ensure!(stop.is_cancelled(), "the subscription to events has ended");
            return Ok(());
        };
        answer(&accounting, &metrics, delivery).await;
    }
}

async fn answer(accounting: &Accounting, metrics: &AccountingMetrics, delivery: Delivery) {
    let (kind, id) = (delivery.event.kind.clone(), delivery.event.id.clone());
    let answered = match handle(accounting, &delivery.event).await {
        Ok(()) => {
            metrics.event("taken");
            delivery.ack().await
        }
        Err(error) if comes_again(&error) => {
            metrics.event("put-off");
            tracing::warn!(
                kind,
                id,
                error = &error as &dyn std::error::Error,
                "event waits"
            );
            delivery.nak(AGAIN).await
        }
        Err(error) => {
            metrics.event("left-behind");
            tracing::error!(
                kind,
                id,
                error = &error as &dyn std::error::Error,
                "event makes no entry in the books"
            );
            delivery.ack().await
        }
    };
    if let Err(error) = answered {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(kind, id, error, "event will come again");
    }
}

/// A grant's event may be behind the usage under it; a full or unreachable part recovers.
fn comes_again(error: &AccountingError) -> bool {
    let unknown = matches!(error, AccountingError::UnknownGrant(_));
    unknown || error.kind().retryable() || error.kind() == Kind::Internal
}

async fn handle(accounting: &Accounting, event: &CloudEvent) -> Result<(), AccountingError> {
    match event.kind.as_str() {
        USAGE => {
            accounting.record(&draft(read(event)?)?).await?;
        }
        GRANT => {
            if let Some(terms) = terms(read(event)?)? {
                accounting.note_grant(&terms).await?;
            }
        }
        ATTEMPT => {
            if let Some(seen) = seen(read(event)?)? {
                accounting.observe(&seen).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(event: &CloudEvent) -> Result<T, AccountingError> {
    let data = event.data.clone().unwrap_or_default();
    serde_json::from_value(data).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> AccountingError {
    AccountingError::Draft(error.to_string())
}

fn draft(event: UsageEvent) -> Result<Draft, AccountingError> {
    Ok(Draft {
        books: event.grant_id.parse().map_err(unusable)?,
        run: event.run_id,
        fragment: event.fragment_id,
        attempt: event.attempt_id,
        pseudonym: event.pseudonym,
        workflow: event.workflow,
        started_ms: event.started_ms,
        ended_ms: event.ended_ms,
        wall_ms: event.wall_ms,
        cpu_ms: event.cpu_ms,
        peak_memory_bytes: event.peak_memory_bytes,
        bytes_in: event.bytes_in,
        bytes_out: event.bytes_out,
        storage_byte_seconds: event.storage_byte_seconds,
        cores: event.cores,
        outcome: event.outcome,
    })
}

fn terms(event: GrantEvent) -> Result<Option<GrantTerms>, AccountingError> {
    if event.envelope.is_empty() {
        return Ok(None);
    }
    let envelope = STANDARD.decode(event.envelope).map_err(unusable)?;
    Ok(Some(GrantTerms {
        grant: event.grant_id,
        state: event.state,
        envelope: String::from_utf8(envelope).map_err(unusable)?,
    }))
}

/// None for our own work on our own machines, which has no other side.
fn seen(event: AttemptEvent) -> Result<Option<AttemptSeen>, AccountingError> {
    let grant = match event.grant_id.as_str() {
        "" => return Ok(None),
        text => match text.parse().map_err(unusable)? {
            BooksKey::Own => return Ok(None),
            BooksKey::Grant(grant) => grant,
        },
    };
    Ok(Some(AttemptSeen {
        grant,
        run: event.run_id,
        fragment: event.fragment_id,
        attempt: event.attempt_id,
        pseudonym: event.pseudonym,
        at_ms: event.at_ms,
        ended: match event.state {
            AttemptState::Submitted => None,
            AttemptState::Ended => Some(event.outcome.unwrap_or(Outcome::Lost)),
        },
        bytes_out: event.bytes_out,
    }))
}
