//! One action of a run, carried out: tried until it is answered, and each failure told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{GrantId, LogRoom, Money, OrgId, RunId, Taken};
use oc_proto::federation::v1 as fed;
use oc_workflow::run::{Action, AttemptRef, Cause, End, Event, attempt_id, code, fragment_id};
use tokio::sync::mpsc;

use super::failure::CallFailure;
use super::follow;
use super::publish;
use super::wall::wall_seconds;
use crate::context::Context;
use crate::documents::{Charge, Published, RunDocument};
use crate::submission::submission;

/// The pause after the first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Giving back waits at the site until what runs is stopped.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);

/// Something for the run to take in.
#[derive(Debug)]
pub(crate) enum Told {
    /// An event alone.
    Event(Event),
    /// Data were reserved: the items, then the event.
    Reserved {
        input: String,
        items: Vec<fed::ReservedItem>,
        event: Event,
    },
    /// Events of an attempt for people, and how many of the attempt's events are taken down with them.
    Lines {
        attempt: String,
        taken: u64,
        events: Vec<oc_proto::pipeline::v1::WatchRunResponse>,
    },
    /// The books of a grant are settled, or disputed, and what they charge for the run.
    Settled {
        grant: GrantId,
        dispute: Option<String>,
        charge: Option<Charge>,
    },
    /// What came out.
    Published(Published),
}

/// What the tasks of one run share while the process lives.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The challenge to answer with the next renewal.
    challenges: Mutex<BTreeMap<AttemptRef, u64>>,
    /// Events of attempts that are taken down.
    taken: Mutex<BTreeMap<String, u64>>,
    /// Room for the logs of attempts.
    logs: Mutex<BTreeMap<String, LogRoom>>,
}

/// Most bytes of log taken down of one attempt, whatever its site lets through: twice what a site keeps unless set
/// otherwise.
const LOG: u64 = 8 << 20;

impl Shared {
    fn challenge(&self, at: AttemptRef) -> Option<u64> {
        let challenges = self
            .challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        challenges.get(&at).copied()
    }

    fn set_challenge(&self, at: AttemptRef, challenge: u64) {
        let mut challenges = self
            .challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        challenges.insert(at, challenge);
    }

    /// What becomes of a line of an attempt's log.
    pub(super) fn log(&self, attempt: &str, text: &str) -> Taken {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let room = logs.entry(attempt.to_owned());
        room.or_insert(LogRoom::new(LOG)).take(text)
    }

    pub(crate) fn taken(&self, attempt: &str) -> u64 {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(attempt).copied().unwrap_or_default()
    }

    pub(crate) fn set_taken(&self, attempt: &str, number: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let known = taken.entry(attempt.to_owned()).or_default();
        *known = number.max(*known);
    }
}

/// An action with all it needs.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) context: Arc<Context>,
    /// The run as it was when the action was wanted.
    pub(crate) document: Arc<RunDocument>,
    pub(crate) action: Action,
    pub(crate) tell: mpsc::Sender<Told>,
    pub(crate) shared: Arc<Shared>,
}

impl Task {
    /// Tries until the action is done, or would fail for ever.
    pub(crate) async fn perform(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.once().await {
                Ok(events) => {
                    for event in events {
                        self.tell(event).await;
                    }
                    return;
                }
                Err(failure) => failure,
            };
            let lasting = failure.lasting;
            self.tell(Told::Event(self.trouble(failure))).await;
            if lasting {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(super) async fn tell(&self, told: Told) {
        // Nobody listens any more when the run was dropped; then nothing is to be told.
        let _ = self.tell.send(told).await;
    }

    fn trouble(&self, failure: CallFailure) -> Event {
        let cause = self.cause(failure.code, failure.text);
        Event::Trouble {
            action: self.action.clone(),
            cause,
            lasting: failure.lasting,
        }
    }

    pub(super) fn cause(&self, code: &str, text: String) -> Cause {
        Cause::new(code, text, self.other(), self.context.clock.now())
    }

    /// Whom the action asks.
    pub(super) fn other(&self) -> OrgId {
        let run = &self.document.run;
        let site = self.action.attempt().and_then(|at| run.attempt(at));
        let provider = match &self.action {
            Action::ReserveData { input, .. }
            | Action::RenewData { input, .. }
            | Action::ReleaseData { input, .. } => run
                .data()
                .iter()
                .find(|data| data.input == *input)
                .map(|data| data.provider),
            _ => None,
        };
        site.map(|attempt| attempt.place.org)
            .or(provider)
            .unwrap_or(run.org())
    }

    async fn once(&self) -> Result<Vec<Told>, CallFailure> {
        match &self.action {
            Action::ReserveData { input, serial } => {
                self.limited(self.reserve_data(input, *serial)).await
            }
            Action::RenewData {
                input,
                serial,
                reservation,
            } => {
                self.limited(self.renew_data(input, *serial, reservation))
                    .await
            }
            Action::ReleaseData {
                input,
                serial,
                reservation,
            } => {
                self.limited(self.release_data(input, *serial, reservation.as_deref()))
                    .await
            }
            Action::ReserveCapacity { at } => self.limited(self.reserve_capacity(*at)).await,
            Action::Submit { at, reservation } => self.limited(self.submit(*at, reservation)).await,
            Action::Watch { at } => follow::watch(self, *at).await,
            Action::RenewLease { at, lease } => self.limited(self.renew_lease(*at, lease)).await,
            Action::Cancel { at } => self.cancel(*at).await,
            Action::ReleaseCapacity { at, reservation } => {
                self.release_capacity(*at, reservation.as_deref()).await
            }
            Action::Publish => publish::publish(self).await,
            Action::SettleBooks { grant } => self.settle(*grant).await,
        }
    }

    /// A call that may take as long as the run's policy counts with, and no longer.
    pub(super) async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, CallFailure>>,
    ) -> Result<T, CallFailure> {
        let limit = self.document.run.policy().call.unsigned_abs();
        within(limit, call).await
    }

    pub(super) fn run(&self) -> RunId {
        self.document.run.id()
    }

    async fn reserve_capacity(&self, at: AttemptRef) -> Result<Vec<Told>, CallFailure> {
        let (site, run) = (self.other(), self.run());
        let plan = &self.document.run.plan().fragments[at.fragment as usize];
        let attempt = self.document.run.attempt(at);
        let place = &attempt
            .ok_or_else(|| CallFailure::defect("the attempt is gone"))?
            .place;
        let wall_seconds = wall_seconds(&self.context, run, at, place, plan).await?;
        let ask = fed::ReserveCapacityRequest {
            listing_id: place.listing.to_string(),
            grant_id: place
                .grant
                .map(|grant| grant.to_string())
                .unwrap_or_default(),
            run_id: run.to_string(),
            fragment_id: fragment_id(run, at.fragment).to_string(),
            attempt_id: attempt_id(run, at).to_string(),
            operation_id: "reserve".to_owned(),
            cores: plan.resources.cores,
            memory_bytes: plan.resources.memory_bytes,
            wall_seconds,
        };
        let held = self
            .context
            .federation
            .reserve_capacity(site, &run.to_string(), ask)
            .await?;
        Ok(vec![Told::Event(Event::CapacityReserved {
            at,
            reservation: held.reservation_id,
            until: moment(held.expires_at_ms),
        })])
    }

    async fn submit(&self, at: AttemptRef, reservation: &str) -> Result<Vec<Told>, CallFailure> {
        let (lease, life) = self.send_submission(at, reservation).await?;
        Ok(vec![Told::Event(Event::Submitted { at, lease, life })])
    }

    async fn send_submission(
        &self,
        at: AttemptRef,
        reservation: &str,
    ) -> Result<(String, SignedDuration), CallFailure> {
        let ask = submission(&self.context, &self.document, at, reservation).await?;
        let run = self.run().to_string();
        let answer = self
            .context
            .federation
            .submit(self.other(), &run, ask)
            .await?;
        self.shared.set_challenge(at, answer.challenge);
        let life = i64::try_from(answer.lease_ms).unwrap_or(i64::MAX);
        Ok((answer.lease_id, SignedDuration::from_millis(life)))
    }

    async fn renew_lease(&self, at: AttemptRef, lease: &str) -> Result<Vec<Told>, CallFailure> {
        let challenge = match self.shared.challenge(at) {
            Some(challenge) => challenge,
            None => {
                // Lost with the process: the same submission gets the same lease and a new challenge.
                let attempt = self.document.run.attempt(at);
                let reservation = attempt.and_then(|attempt| attempt.hold.reservation());
                self.send_submission(at, reservation.unwrap_or_default())
                    .await?;
                self.shared.challenge(at).unwrap_or_default()
            }
        };
        let ask = fed::RenewLeaseRequest {
            lease_id: lease.to_owned(),
            challenge,
        };
        let run = self.run().to_string();
        let answer = self
            .context
            .federation
            .renew_lease(self.other(), &run, ask)
            .await?;
        self.shared.set_challenge(at, answer.challenge);
        Ok(vec![Told::Event(Event::Renewed { at })])
    }

    /// Stops an attempt, and learns from its events how it ended.
    async fn cancel(&self, at: AttemptRef) -> Result<Vec<Told>, CallFailure> {
        let run = self.run();
        let attempt = self.document.run.attempt(at);
        let stop = attempt.and_then(|attempt| attempt.stop.as_ref());
        let ask = fed::CancelAttemptRequest {
            attempt_id: attempt_id(run, at).to_string(),
            reason: stop.map(|stop| stop.text.clone()).unwrap_or_default(),
        };
        let call = async {
            Ok(self
                .context
                .federation
                .cancel(self.other(), &run.to_string(), ask)
                .await)
        };
        match self.limited(call).await? {
            Ok(_) => follow::to_the_end(self, at).await,
            Err(error) if error.kind == oc_kernel::Kind::NotFound => {
                // It never began. Without its hold it cannot begin later either.
                let reservation = attempt.and_then(|attempt| attempt.hold.reservation());
                self.release_capacity(at, reservation).await?;
                let text = "it was stopped before it began".to_owned();
                let end = End::Cancelled(self.cause(code::CANCELLED, text));
                Ok(vec![Told::Event(Event::Ended { at, end })])
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn release_capacity(
        &self,
        at: AttemptRef,
        reservation: Option<&str>,
    ) -> Result<Vec<Told>, CallFailure> {
        let run = self.run();
        let ask = fed::ReleaseCapacityRequest {
            reservation_id: reservation.unwrap_or_default().to_owned(),
            attempt_id: attempt_id(run, at).to_string(),
        };
        let call = async {
            let (federation, run) = (&self.context.federation, run.to_string());
            Ok(federation.release_capacity(self.other(), &run, ask).await?)
        };
        let released = vec![Told::Event(Event::CapacityReleased { at })];
        match within(RELEASE_LIMIT, call).await {
            Err(failure) if !failure.lasting => Err(failure),
            // Who may not ask any more, because the grant has ended, has nothing there any more.
            Ok(()) | Err(_) => Ok(released),
        }
    }

    async fn settle(&self, grant: GrantId) -> Result<Vec<Told>, CallFailure> {
        let run = self.run().to_string();
        let settled = self.context.books.settle(&grant.to_string(), &run).await?;
        let dispute = settled.disputes.first().map(|dispute| dispute.text.clone());
        if dispute.is_none() && !settled.countersigned {
            let text = "records of this run are still on their way".to_owned();
            return Err(CallFailure {
                code: code::UNREACHABLE,
                text,
                lasting: false,
            });
        }
        let charge = settled.charge_micros.map(|micros| Charge {
            currency: settled.currency,
            charge: Money(micros),
        });
        Ok(vec![Told::Settled {
            grant,
            dispute,
            charge,
        }])
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, CallFailure>>,
) -> Result<T, CallFailure> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(CallFailure {
            code: code::UNREACHABLE,
            text: format!("no answer within {} s", limit.as_secs()),
            lasting: false,
        })
    })
}

pub(super) fn moment(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_tells_empty_lines_without_end_is_cut_off_once() {
        let shared = Shared::default();
        let lines = LOG / LogRoom::LINE;
        let taken: Vec<Taken> = (0..lines + 3).map(|_| shared.log("a", "")).collect();
        let count = |wanted| taken.iter().filter(|taken| **taken == wanted).count() as u64;
        assert_eq!(
            (count(Taken::Kept), count(Taken::Cut), count(Taken::Dropped)),
            (lines, 1, 2)
        );
        assert_eq!(shared.log("b", "another attempt"), Taken::Kept);
    }
}
