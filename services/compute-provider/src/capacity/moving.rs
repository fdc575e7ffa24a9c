//! Settled entries of a ledger go into documents of their own: copied first, then taken out, so that a
//! crash between the two leaves an entry in both places, where both say the same.

use futures::future::try_join_all;
use oc_kernel::Name;
use oc_store::{Expect, StoreError, Versioned};

use super::Ledgers;
use crate::documents::{KeptAnswer, Shelf, answer_key, attempt_key};
use crate::domain::attempt::OperationKey;
use crate::domain::ledger::{Answer, Command, Ended, Ledger};
use crate::error::Error;

impl Ledgers {
    /// Moves settled entries out, once there are more than `above`.
    pub(crate) async fn move_settled(&self, offer: &Name, above: usize) -> Result<(), Error> {
        let Some(seen) = self.shelf.ledgers.get(offer.as_str()).await? else {
            return Ok(());
        };
        let ledger = seen.value;
        if ledger.answers().count() + ledger.ended().len() <= above {
            return Ok(());
        }
        let moved = copy(&self.shelf, &ledger).await?;
        self.apply(offer, moved).await?;
        Ok(())
    }
}

/// Moves settled entries out of a ledger that is full of them, before anything else happens to it.
pub(super) async fn move_out(
    shelf: &Shelf,
    mut seen: Versioned<Ledger>,
) -> Result<Versioned<Ledger>, StoreError> {
    let moved = copy(shelf, &seen.value).await?;
    // Taking entries out is never refused, and time does not matter to it.
    let _ = seen.value.apply(moved, jiff::Timestamp::MIN);
    Ok(seen)
}

/// Copies all settled entries; the command that takes them out.
async fn copy(shelf: &Shelf, ledger: &Ledger) -> Result<Command, StoreError> {
    let answers: Vec<(&OperationKey, &Answer)> = ledger.answers().collect();
    try_join_all(
        answers
            .iter()
            .map(|(key, answer)| keep_answer(shelf, key, answer)),
    )
    .await?;
    try_join_all(ledger.ended().iter().map(|ended| keep_end(shelf, ended))).await?;
    Ok(Command::Moved {
        answers: answers.into_iter().map(|(key, _)| key.clone()).collect(),
        ended: ledger.ended().iter().map(|ended| ended.lease).collect(),
    })
}

async fn keep_answer(shelf: &Shelf, key: &OperationKey, answer: &Answer) -> Result<(), StoreError> {
    let kept = KeptAnswer {
        grant: answer.under.grant(),
        answer: answer.clone(),
    };
    shelf
        .answers
        .put(&answer_key(key), &kept, Expect::Any, Vec::new())
        .await?;
    Ok(())
}

async fn keep_end(shelf: &Shelf, ended: &Ended) -> Result<(), StoreError> {
    let key = attempt_key(&ended.attempt.org, &ended.attempt.attempt);
    let ended_ms = ended.ended_at.as_millisecond();
    let noted = shelf
        .attempts
        .update(&key, |attempt| -> Result<_, StoreError> {
            attempt.ended_ms = Some(ended_ms);
            Ok(Vec::new())
        });
    match noted.await {
        // An attempt whose documents were removed meanwhile needs no note.
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
