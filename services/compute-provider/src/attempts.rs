//! Attempts of fragments: holding capacity for them, starting, watching and ending them, and what they tell.

mod closing;
mod control;
mod hold;
mod lease_book;
mod live;
mod logs;
mod pump;
mod submit;
mod supervisor;
mod watch;

pub(crate) use hold::{Consumer, NewHold};
pub(crate) use lease_book::LeaseBook;
pub(crate) use live::Live;
pub(crate) use logs::Logs;
pub(crate) use submit::NewAttempt;
pub(crate) use supervisor::generation;

use oc_kernel::{AttemptId, OrgId};
use oc_store::Versioned;

use crate::documents::{Attempt, attempt_key};
use crate::domain::ledger::{EndedState, JobState, StopCause};
use crate::domain::runtime::Phase;
use crate::error::Error;
use crate::provider::Provider;

/// Where an attempt stands, as its consumer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Admitted, not started.
    Submitted,
    /// In this part of its work.
    At(Phase),
    /// Over.
    Ended(EndedState),
}

impl Provider {
    /// An attempt of this organisation.
    pub(crate) async fn attempt(
        &self,
        org: &OrgId,
        attempt: &AttemptId,
    ) -> Result<Versioned<Attempt>, Error> {
        let found = self.shelf.attempts.get(&attempt_key(org, attempt)).await?;
        found.ok_or_else(|| Error::unknown("attempt", attempt))
    }

    /// Where an attempt stands now.
    pub(crate) async fn standing(&self, attempt: &Attempt) -> Result<Standing, Error> {
        if let Some(closing) = &attempt.closing {
            return Ok(Standing::Ended(closing.ended.state));
        }
        let ledger = self.ledgers.read(&attempt.offer).await?;
        Ok(
            match ledger.lease(&attempt.lease).map(|lease| lease.job.state) {
                Some(JobState::Queued) => Standing::Submitted,
                Some(JobState::Running { .. }) => {
                    Standing::At(self.live.phase(&attempt.key).unwrap_or(Phase::Staging))
                }
                Some(JobState::Stopping { cause, .. }) => {
                    Standing::Ended(EndedState::Stopped(cause))
                }
                None => Standing::Ended(EndedState::Stopped(StopCause::NodeRestarted)),
            },
        )
    }
}
