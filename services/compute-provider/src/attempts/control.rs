//! Keeping, cancelling and giving back what an attempt has.

use std::time::Duration;

use oc_kernel::{AttemptId, Digest, LeaseId, Name, OrgId, ReservationId};
use oc_store::{Expect, Query};

use super::Standing;
use super::hold::Consumer;
use crate::documents::{Attempt, attempt_key};
use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::lease::{Challenge, LeaseError};
use crate::domain::ledger::{Command, LedgerError, StopCause};
use crate::error::Error;
use crate::provider::Provider;

/// How long giving back waits for what still runs.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

impl Provider {
    /// Keeps a lease; where the attempt stands, and the challenge for the next time.
    pub(crate) async fn renew_lease(
        &self,
        consumer: &Consumer,
        lease: LeaseId,
        challenge: Challenge,
    ) -> Result<(Standing, Challenge), Error> {
        let attempt = self.attempt_of(&consumer.org, &lease).await?;
        let standing = self.standing(&attempt).await?;
        if let Standing::Ended(_) = standing {
            return Ok((standing, Challenge(0)));
        }
        match self.leases.renew(&lease, challenge, self.monotonic()) {
            Some(Ok(next)) => Ok((standing, next)),
            Some(Err(error)) => {
                if matches!(error, LeaseError::Lost(_)) {
                    self.wake_supervisor.notify_one();
                }
                Err(error.into())
            }
            None => Err(LedgerError::NoLease { lease }.into()),
        }
    }

    /// The attempt that has a lease here, for its own consumer.
    async fn attempt_of(&self, org: &OrgId, lease: &LeaseId) -> Result<Attempt, Error> {
        for ledger in self.ledgers.all().await? {
            let running = ledger.lease(lease).map(|found| found.attempt);
            let ended = ledger
                .ended()
                .iter()
                .find(|it| it.lease == *lease)
                .map(|it| it.attempt);
            if let Some(key) = running.or(ended).filter(|key| key.org == *org) {
                return Ok(self.attempt(org, &key.attempt).await?.value);
            }
        }
        Err(LedgerError::NoLease { lease: *lease }.into())
    }

    /// Stops an attempt; stopping it again is no error.
    pub(crate) async fn cancel(
        &self,
        consumer: &Consumer,
        attempt: &AttemptId,
        reason: &str,
    ) -> Result<Standing, Error> {
        let attempt = self.attempt(&consumer.org, attempt).await?.value;
        // The ledger of a withdrawn offer goes with the last that ran in it: how that ended is told all the same.
        if attempt.ended_ms.is_some() {
            return self.standing(&attempt).await;
        }
        tracing::info!(attempt = %attempt.key.attempt, reason, "attempt is cancelled");
        let stop = Command::Stop {
            lease: attempt.lease,
            cause: StopCause::Released,
        };
        self.ledgers.apply(&attempt.offer, stop).await?;
        self.wake_supervisor.notify_one();
        self.standing(&attempt).await
    }

    /// Gives a hold back, and everything an attempt has here. What still runs is stopped first; doing it again
    /// is no error.
    pub(crate) async fn release(
        &self,
        consumer: &Consumer,
        reservation: Option<ReservationId>,
        attempt: Option<AttemptId>,
    ) -> Result<(), Error> {
        let operation: Name = "release".parse()?;
        // There is one way to release: every repetition has the same body.
        let body = Digest::of(b"release");
        for ledger in self.ledgers.all().await? {
            let mine = |key: &AttemptKey| key.org == consumer.org;
            let held = ledger.holds().filter(|(id, hold)| {
                let named = Some(**id) == reservation || Some(hold.attempt.attempt) == attempt;
                mine(&hold.attempt) && named
            });
            let running = ledger.leases().filter(|(_, lease)| {
                mine(&lease.attempt) && Some(lease.attempt.attempt) == attempt
            });
            let keys: Vec<AttemptKey> = held
                .map(|(_, hold)| hold.attempt)
                .chain(running.map(|(_, lease)| lease.attempt))
                .collect();
            for attempt in keys {
                let key = OperationKey {
                    attempt,
                    operation: operation.clone(),
                };
                self.ledgers
                    .apply(ledger.offer(), Command::Release { key, body })
                    .await?;
            }
        }
        self.wake_supervisor.notify_one();
        match attempt {
            Some(attempt) => self.release_attempt(consumer, &attempt).await,
            None => Ok(()),
        }
    }

    /// Waits until an attempt is settled, and removes what it has left. Under a grant its traces stay until the
    /// grant ends, because its answers must; its files, events and job go.
    async fn release_attempt(&self, consumer: &Consumer, id: &AttemptId) -> Result<(), Error> {
        let Some(seen) = self
            .shelf
            .attempts
            .get(&attempt_key(&consumer.org, id))
            .await?
        else {
            return Ok(());
        };
        let attempt = seen.value;
        if attempt.ended_ms.is_some() {
            return self.remove_traces(&attempt.key).await;
        }
        let mut written = self.logs.follow(&attempt.key);
        let settled = async {
            loop {
                written.borrow_and_update();
                let ledger = self.ledgers.read(&attempt.offer).await?;
                if ledger.lease(&attempt.lease).is_none() {
                    return Ok::<_, Error>(());
                }
                // The closing events come just before the lease is settled.
                let news = written.changed();
                let pause = tokio::time::sleep(Duration::from_millis(100));
                tokio::select! {
                    _ = news => {}
                    () = pause => {}
                }
            }
        };
        tokio::time::timeout(LONGEST_WAIT, settled)
            .await
            .map_err(|_| {
                Error::Unavailable(format!("attempt {id} is still being stopped: try again"))
            })??;
        self.ledgers.move_settled(&attempt.offer, 0).await?;
        self.remove_traces(&attempt.key).await
    }

    /// Removes an ended attempt's folders, events and job; the note that it was here stays.
    pub(crate) async fn remove_traces(&self, attempt: &AttemptKey) -> Result<(), Error> {
        self.runtime.sweep(attempt).await?;
        let key = attempt_key(&attempt.org, &attempt.attempt);
        for chunk in self
            .shelf
            .events
            .all(&Query::prefix(format!("{key}/")))
            .await?
        {
            self.shelf
                .events
                .delete(&chunk.key, Expect::Any, Vec::new())
                .await?;
        }
        let outputs = Query::prefix(format!("{key}/"));
        for output in self.shelf.outputs.all(&outputs).await? {
            self.shelf
                .outputs
                .delete(&output.key, Expect::Any, Vec::new())
                .await?;
        }
        self.shelf
            .payloads
            .delete(&key, Expect::Any, Vec::new())
            .await?;
        self.logs.forget(attempt);
        Ok(())
    }
}
