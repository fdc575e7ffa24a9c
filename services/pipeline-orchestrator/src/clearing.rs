//! Has removed what a run has left in storage and no manifest will name, wherever that storage is.
//!
//! What is to be cleared is written down before a run has anything, so that nothing is forgotten in a crash; the owner
//! of the storage does as it is told again. Of a run that failed the outputs of fragments that succeeded stay: another
//! try goes on from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use oc_kernel::{AttemptId, RunId};
use oc_service::CallError;
use oc_store::{Expect, Query, StoreError};
use oc_workflow::run::{AttemptRef, attempt_id};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::documents::{Clearing, ClearingState, RunDocument, Shelf};

/// How often it is looked whether a run is over.
const PAUSE: Duration = Duration::from_secs(3);
/// How long after a failure the owner of a storage is asked again; it doubles.
const FIRST_AGAIN: Duration = Duration::from_secs(10);
const LONGEST_AGAIN: Duration = Duration::from_secs(15 * 60);
/// Attempts that one call names.
const AT_ONCE: usize = 100;
/// How long a run may take from here until it is stored, in seconds.
const UNBORN: i64 = 3_600;

/// Writes down that a run is to be cleared once it is over; before it has anything.
pub(crate) async fn expect(context: &Context, run: RunId) -> Result<(), StoreError> {
    let due = Clearing {
        state: ClearingState::Due,
        since: context.clock.now(),
    };
    let key = run.to_string();
    let put = context
        .shelf
        .clearings
        .put(&key, &due, Expect::Any, Vec::new());
    put.await.map(drop)
}

/// Runs until told to stop.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut later = BTreeMap::new();
    loop {
        if let Err(error) = look(&context, &mut later).await {
            tracing::warn!(%error, "outputs are cleared at the next look");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// When a run is looked at again, and how long it is waited after that.
type Later = BTreeMap<String, (Instant, Duration)>;

async fn look(context: &Context, later: &mut Later) -> Result<(), StoreError> {
    let due = context
        .shelf
        .clearings
        .all(&Query::equals("state", "due"))
        .await?;
    later.retain(|run, _| due.iter().any(|seen| seen.key == *run));
    for seen in due {
        if later
            .get(&seen.key)
            .is_some_and(|(at, _)| *at > Instant::now())
        {
            continue;
        }
        let Some(document) = context.shelf.runs.get(&seen.key).await? else {
            if context
                .clock
                .now()
                .duration_since(seen.value.since)
                .as_secs()
                > UNBORN
            {
                done(&context.shelf, &seen.key, &seen.value).await?;
            }
            continue;
        };
        let document = document.value;
        if !document.run.state().is_final() {
            continue;
        }
        match clear(context, &document).await {
            Ok(()) => done(&context.shelf, &seen.key, &seen.value).await?,
            Err(error) if error.kind.retryable() => {
                tracing::debug!(run = seen.key, %error, "its outputs are cleared later");
                let pause = later
                    .get(&seen.key)
                    .map_or(FIRST_AGAIN, |(_, pause)| *pause);
                let next = (Instant::now() + pause, (pause * 2).min(LONGEST_AGAIN));
                later.insert(seen.key, next);
            }
            Err(error) => {
                tracing::warn!(run = seen.key, %error, "its outputs are left to who keeps them");
                done(&context.shelf, &seen.key, &seen.value).await?;
            }
        }
    }
    Ok(())
}

/// Has removed what does not count.
async fn clear(context: &Context, document: &RunDocument) -> Result<(), CallError> {
    let storage = &document.spec.output.storage;
    for some in without_count(document).chunks(AT_ONCE) {
        while context
            .outputs
            .remove(document.run.id(), storage, some)
            .await?
        {}
    }
    Ok(())
}

/// The attempts of a run that may have left something and do not count.
fn without_count(document: &RunDocument) -> Vec<AttemptId> {
    let run = &document.run;
    let mut without = Vec::new();
    for (index, fragment) in (0..).zip(run.fragments()) {
        let counts = fragment.counting().map(|attempt| attempt.number);
        let tried = fragment.attempts.iter().map(|attempt| attempt.number);
        without.extend(
            tried
                .filter(|number| Some(*number) != counts)
                .map(|attempt| {
                    let at = AttemptRef {
                        fragment: index,
                        attempt,
                    };
                    attempt_id(run.id(), at)
                }),
        );
    }
    without
}

/// Notes that nothing is left to do, unless the run was started again in the meantime.
async fn done(shelf: &Shelf, run: &str, seen: &Clearing) -> Result<(), StoreError> {
    let noted = shelf.clearings.update(run, |now| -> Result<_, StoreError> {
        if now.since == seen.since {
            now.state = ClearingState::Done;
        }
        Ok(Vec::new())
    });
    noted.await.map(drop)
}

#[cfg(test)]
mod tests;
