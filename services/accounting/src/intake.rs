//! Events of other services that the books are made of. An event that makes no sense is logged and left behind;
//! one that cannot be handled yet comes again.

use std::time::Duration;

use oc_bus::{Answer, CloudEvent, Consumer, follow};
use oc_kernel::{Classify as _, Kind};
use oc_trust::event::{AttemptEvent, Event, GrantEvent, UsageEvent, UserEvent, UserState};
use tokio_util::sync::CancellationToken;

use crate::domain::{Accounting, AccountingError};
use crate::metrics::AccountingMetrics;

/// The types that [`run`] handles.
pub(crate) const TYPES: [&str; 4] = [
    UsageEvent::TYPE,
    GrantEvent::TYPE,
    AttemptEvent::TYPE,
    UserEvent::TYPE,
];

/// How long an event waits that cannot be handled yet.
const AGAIN: Duration = Duration::from_millis(500);

/// Handles events until told to stop.
pub(crate) async fn run(
    accounting: Accounting,
    events: Box<dyn Consumer>,
    metrics: AccountingMetrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let handle = |event| answer(accounting.clone(), metrics.clone(), event);
    Ok(follow(events, stop, handle).await?)
}

async fn answer(accounting: Accounting, metrics: AccountingMetrics, event: CloudEvent) -> Answer {
    let (kind, id) = (&event.kind, &event.id);
    match handle(&accounting, &event).await {
        Ok(()) => {
            metrics.event("taken");
            Answer::Done
        }
        Err(error) if comes_again(&error) => {
            metrics.event("put-off");
            let error = &error as &dyn std::error::Error;
            tracing::warn!(kind, id, error, "event waits");
            Answer::Later(AGAIN)
        }
        Err(error) => {
            metrics.event("left-behind");
            let error = &error as &dyn std::error::Error;
            tracing::error!(kind, id, error, "event makes no entry in the books");
            Answer::Done
        }
    }
}

/// A grant's event may be behind the usage under it; a full or unreachable part recovers.
fn comes_again(error: &AccountingError) -> bool {
    let unknown = matches!(error, AccountingError::UnknownGrant(_));
    unknown || error.kind().retryable() || error.kind() == Kind::Internal
}

async fn handle(accounting: &Accounting, event: &CloudEvent) -> Result<(), AccountingError> {
    match event.kind.as_str() {
        UsageEvent::TYPE => {
            accounting.record(&read(event)?).await?;
        }
        GrantEvent::TYPE => accounting.note_grant(&read(event)?).await?,
        AttemptEvent::TYPE => accounting.observe(&read(event)?).await?,
        UserEvent::TYPE => {
            let UserEvent { user, state } = read(event)?;
            match state {
                UserState::Removed => accounting.forget_person(&user).await?,
            }
        }
        _ => {}
    }
    Ok(())
}

fn read<T: Event>(event: &CloudEvent) -> Result<T, AccountingError> {
    T::read(event.data.as_ref()).map_err(|error| AccountingError::Draft(error.to_string()))
}
