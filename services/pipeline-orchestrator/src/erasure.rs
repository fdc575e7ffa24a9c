//! Deletes who somebody was once their account is gone: the pseudonyms under grants, which then tell nobody anything,
//! and the name in what is kept of their runs.

use std::time::Duration;

use oc_bus::{Answer, Bus, BusError, CloudEvent, Consumer, Subscription, follow};
use oc_store::{Expect, Query, StoreError};
use oc_trust::event::{Event as _, UserEvent, UserState};
use tokio_util::sync::CancellationToken;

use crate::documents::Shelf;

/// How long an event waits after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it waits while a run of that person is on its way.
const WHILE_RUNNING: Duration = Duration::from_secs(60);

/// Subscribes to what becomes of accounts.
///
/// # Errors
/// The bus's.
pub(crate) async fn subscribe(bus: &dyn Bus) -> Result<Box<dyn Consumer>, BusError> {
    let wanted = Subscription::durable("pipeline-orchestrator-users", &[UserEvent::TYPE])?;
    bus.subscribe(wanted).await
}

/// Runs until told to stop.
pub(crate) async fn run(
    shelf: Shelf,
    users: Box<dyn Consumer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let handle = |event| answer(shelf.clone(), event);
    Ok(follow(users, stop, handle).await?)
}

async fn answer(shelf: Shelf, event: CloudEvent) -> Answer {
    let forgotten = match UserEvent::read(event.data.as_ref()) {
        Ok(UserEvent {
            user,
            state: UserState::Removed,
        }) => forget(&shelf, &user).await,
        Err(error) => {
            tracing::error!(id = event.id, %error, "an event about a user cannot be read");
            Ok(true)
        }
    };
    match forgotten {
        Ok(true) => Answer::Done,
        Ok(false) => Answer::Later(WHILE_RUNNING),
        Err(error) => {
            tracing::warn!(%error, "a removed user's pseudonyms cannot be deleted yet");
            Answer::Later(AGAIN)
        }
    }
}

/// Whose a run is whose user was removed.
const NOBODY: &str = "removed user";

/// Deletes a user's pseudonyms and takes the user out of their runs; not while a run of theirs is on its way, whose
/// attempts would get new ones.
pub(crate) async fn forget(shelf: &Shelf, user: &str) -> Result<bool, StoreError> {
    let runs = shelf.runs.all(&Query::equals("user", user)).await?;
    if runs.iter().any(|seen| !seen.value.run.state().is_final()) {
        return Ok(false);
    }
    for mut seen in runs {
        // Not one name for all, which would tell whose several runs were.
        seen.value.spec.user = format!("removed-{}", seen.value.run.id());
        NOBODY.clone_into(&mut seen.value.spec.user_name);
        shelf.runs.replace(&seen, Vec::new()).await?;
    }
    let own = Query::prefix(format!("{user}/"));
    for operation in shelf.operations.all(&own).await? {
        shelf
            .operations
            .delete(&operation.key, Expect::Any, Vec::new())
            .await?;
    }
    for pseudonym in shelf.pseudonyms.all(&own).await? {
        shelf
            .pseudonyms
            .delete(&pseudonym.key, Expect::Any, Vec::new())
            .await?;
    }
    Ok(true)
}
