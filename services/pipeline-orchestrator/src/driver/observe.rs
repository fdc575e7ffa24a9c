//! What the books need to know of attempts: when they were submitted and when they ended, as we saw it, and who
//! submitted them.

use jiff::Timestamp;
use oc_store::OutboxEvent;
use oc_trust::event::{AttemptEvent, AttemptState, BooksKey, Event as _};
use oc_workflow::run::{Attempt, AttemptRef, Outcome, Run, attempt_id, fragment_id};

use super::{Driver, WRITE_PAUSE};
use crate::present::ms;
use crate::submission::pseudonym;

impl Driver {
    /// What has become known of attempts since `before`, for the books.
    pub(super) async fn observations(&self, before: &Run, now: Timestamp) -> Vec<OutboxEvent> {
        let mut told = Vec::new();
        for seen in observed(before, self.run_state(), now) {
            let user = self.seen.value.spec.user.clone();
            let grant = seen.grant_id.grant().map(|grant| grant.to_string());
            let event = AttemptEvent {
                pseudonym: self.pseudonym(&user, &grant.unwrap_or_default()).await,
                user: Some(user),
                ..seen
            };
            told.push(OutboxEvent::new(
                AttemptEvent::TYPE,
                event.subject(),
                event.data(),
            ));
        }
        told
    }

    /// Waits for the store where it must: the books are compared with this.
    async fn pseudonym(&self, user: &str, grant: &str) -> Option<oc_kernel::Name> {
        loop {
            match pseudonym(&self.context, user, grant).await {
                Ok(name) => return name.parse().ok(),
                Err(failure) => {
                    let run = self.run_state().id();
                    tracing::error!(%run, text = failure.text, "a pseudonym cannot be stored: the run waits");
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
            }
        }
    }
}

/// What has become known of attempts, without names.
fn observed(before: &Run, after: &Run, now: Timestamp) -> Vec<AttemptEvent> {
    let mut events = Vec::new();
    for (index, fragment) in after.fragments().iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        for attempt in &fragment.attempts {
            let at = AttemptRef {
                fragment: index,
                attempt: attempt.number,
            };
            let known = before.attempt(at);
            // Told before it is submitted: the site may be quicker with its record than with its answer.
            let held = |attempt: &Attempt| {
                attempt.hold.reservation().is_some() || attempt.submitted_at.is_some()
            };
            let over = |attempt: &Attempt| attempt.outcome.is_some();
            let newly_held = held(attempt) && !known.is_some_and(held);
            let newly_over = over(attempt) && !known.is_some_and(over);
            let event = |state, outcome| AttemptEvent {
                grant_id: BooksKey::of(attempt.place.grant),
                run_id: after.id(),
                fragment_id: fragment_id(after.id(), index),
                attempt_id: attempt_id(after.id(), at),
                user: None,
                pseudonym: None,
                state,
                at_ms: ms(now),
                outcome,
                bytes_out: None,
            };
            if newly_held {
                events.push(event(AttemptState::Submitted, None));
            }
            if newly_over && held(attempt) {
                let outcome = match attempt.outcome {
                    Some(Outcome::Succeeded) => oc_trust::Outcome::Succeeded,
                    Some(Outcome::Failed) => oc_trust::Outcome::Failed,
                    Some(Outcome::Cancelled) => oc_trust::Outcome::Cancelled,
                    Some(Outcome::Lost) | None => oc_trust::Outcome::Lost,
                };
                events.push(event(AttemptState::Ended, Some(outcome)));
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use oc_kernel::{Clock as _, GrantId, OrgId, SystemClock};
    use oc_workflow::plan::Access;
    use oc_workflow::run::{Cause, End, Event, code};

    use super::*;
    use crate::orchestrator::tests::document_with;

    #[test]
    fn the_books_hear_of_an_attempt_before_it_is_submitted_and_once_of_its_end() {
        let grant = GrantId::new();
        let now = SystemClock.now();
        let later = |seconds| now + SignedDuration::from_secs(seconds);
        let ends = later(3_600);
        let mut run = document_with(Access::Granted { grant, ends }).run;
        let at = AttemptRef {
            fragment: 0,
            attempt: 1,
        };
        let by = OrgId::from_digest([1; 32]);
        let stopped = Cause::new(code::CANCELLED, "stopped", by, now);
        let events = [
            Event::Tick,
            Event::CapacityReserved {
                at,
                reservation: "resv-1".to_owned(),
                until: later(30),
            },
            Event::Submitted {
                at,
                lease: "lease-1".to_owned(),
                life: SignedDuration::from_secs(15),
            },
            Event::Cancel {
                by,
                text: "enough".to_owned(),
            },
            Event::Ended {
                at,
                end: End::Cancelled(stopped),
            },
            Event::CapacityReleased { at },
        ];
        let mut told = Vec::new();
        for (second, event) in (0..).zip(events) {
            let before = run.clone();
            run.apply(event, later(second));
            let seen = observed(&before, &run, later(second));
            told.extend(seen.into_iter().map(|seen| (second, seen)));
        }
        let states: Vec<_> = told
            .iter()
            .map(|(second, seen)| (*second, seen.state, seen.outcome))
            .collect();
        let cancelled = Some(oc_trust::Outcome::Cancelled);
        assert_eq!(
            states,
            [
                (1, AttemptState::Submitted, None),
                (4, AttemptState::Ended, cancelled)
            ]
        );
        for (second, seen) in told {
            assert_eq!(seen.grant_id, BooksKey::Grant(grant));
            assert_eq!(seen.at_ms, ms(later(second)));
            // As accounting reads it.
            let read: AttemptEvent = serde_json::from_value(seen.data()).unwrap();
            assert_eq!(read, seen);
        }
    }
}
