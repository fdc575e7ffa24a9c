//! What follows from the end of a grant we gave: its work stops at once, and then nothing of it is left here
//! but the books.

use oc_kernel::GrantId;
use oc_store::{Expect, Query};

use super::event;
use crate::documents::attempt_key;
use crate::domain::grant::{Grant, GrantState};
use crate::domain::ledger::StopCause;
use crate::error::Error;
use crate::provider::Provider;

impl Provider {
    /// Stops what runs under a grant that is over or has changed. Whatever was made for an older generation
    /// opens nothing from here on.
    pub(crate) async fn cut_off(&self, grant: &Grant) -> Result<(), Error> {
        let cause = match grant.state {
            GrantState::Ended | GrantState::Expired => StopCause::GrantEnded,
            _ => StopCause::GrantRaised,
        };
        let stopped = self
            .ledgers
            .raise(grant.id, grant.generation, cause)
            .await?;
        tracing::info!(grant = %grant.id, state = %grant.state, stopped, "grant is over");
        self.wake_supervisor.notify_one();
        self.wake_keeper.notify_one();
        Ok(())
    }

    /// Removes what a grant that is over has left; false while something of it still runs.
    pub(super) async fn sweep_grant(&self, document_key: &str) -> Result<bool, Error> {
        let grant = self.shelf.grants.require(document_key).await?.value.grant;
        let id = grant.id;
        let cause = StopCause::GrantEnded;
        self.ledgers.raise(id, grant.generation, cause).await?;
        for ledger in self.ledgers.all().await? {
            if ledger.leases().any(|(_, lease)| lease.under.is(&id)) {
                self.wake_supervisor.notify_one();
                return Ok(false);
            }
            self.ledgers.move_settled(ledger.offer(), 0).await?;
        }
        self.remove_objects_of(&id).await?;
        self.remove_attempts_of(&id).await?;
        if !self.ledgers.forget(id).await? {
            return Ok(false);
        }
        for kept in self
            .shelf
            .answers
            .all(&Query::equals("grant", id.to_string()))
            .await?
        {
            self.shelf
                .answers
                .delete(&kept.key, Expect::Any, Vec::new())
                .await?;
        }
        self.shelf
            .egress
            .delete(&id.to_string(), Expect::Any, Vec::new())
            .await?;
        let swept = self
            .shelf
            .grants
            .update(document_key, |document| -> Result<_, Error> {
                document.grant.swept = true;
                Ok(vec![event(&document.grant)])
            });
        swept.await?;
        Ok(true)
    }

    async fn remove_attempts_of(&self, grant: &GrantId) -> Result<(), Error> {
        for seen in self
            .shelf
            .attempts
            .all(&Query::equals("grant", grant.to_string()))
            .await?
        {
            self.remove_attempt(&seen.value.key).await?;
        }
        Ok(())
    }

    /// Removes everything an ended attempt has left: its folders, events, job and document.
    pub(crate) async fn remove_attempt(
        &self,
        attempt: &crate::domain::attempt::AttemptKey,
    ) -> Result<(), Error> {
        self.remove_traces(attempt).await?;
        let key = attempt_key(&attempt.org, &attempt.attempt);
        self.shelf
            .attempts
            .delete(&key, Expect::Any, Vec::new())
            .await?;
        Ok(())
    }
}
