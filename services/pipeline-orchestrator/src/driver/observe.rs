//! What the books need to know of attempts: when they were submitted and when they ended, as we saw it, and who
//! submitted them.

use std::time::Duration;

use jiff::Timestamp;
use oc_store::OutboxEvent;
use oc_trust::event::{AttemptEvent, AttemptState, BooksKey, Event as _};
use oc_workflow::run::{Attempt, AttemptRef, Outcome, Run, attempt_id, fragment_id};

use super::{Driver, WRITE_PAUSE};
use crate::documents::RunDocument;
use crate::ports::Objects;
use crate::present::ms;
use crate::submission::{prefix_of, pseudonym};

/// Longest wait for our storage to say what has arrived.
const STORAGE_WAIT: Duration = Duration::from_secs(5);

impl Driver {
    /// What has become known of attempts since `before`, for the books.
    pub(super) async fn observations(&self, before: &Run, now: Timestamp) -> Vec<OutboxEvent> {
        let mut told = Vec::new();
        for seen in observed(before, self.run_state(), now) {
            let user = self.seen.value.spec.user.clone();
            let grant = seen.grant_id.grant().map(|grant| grant.to_string());
            let document = &self.seen.value;
            let event = AttemptEvent {
                bytes_out: arrived(&*self.context.objects, document, &seen).await,
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

/// How many bytes of a partner's attempt have arrived in storage of ours. None where that cannot be said: its outputs
/// went elsewhere, it may have been stopped between two of them, or our storage does not answer.
async fn arrived(
    objects: &dyn Objects,
    document: &RunDocument,
    seen: &AttemptEvent,
) -> Option<u64> {
    let output = &document.spec.output;
    let ours = output.storage.owner == document.run.org() && seen.grant_id != BooksKey::Own;
    if !ours || seen.outcome != Some(oc_trust::Outcome::Succeeded) {
        return None;
    }
    let offer = output.storage.listing.as_str().strip_prefix("storage.")?;
    let prefix = prefix_of(output, seen.run_id, seen.fragment_id, seen.attempt_id).ok()?;
    let prefix = format!("{prefix}/");
    let asked = objects.bytes_below(offer, &prefix);
    match tokio::time::timeout(STORAGE_WAIT, asked).await {
        Ok(Ok(bytes)) => Some(bytes),
        Ok(Err(error)) => {
            tracing::warn!(attempt = %seen.attempt_id, %error, "nobody says what has arrived");
            None
        }
        Err(_) => {
            tracing::warn!(attempt = %seen.attempt_id, "our storage does not say what has arrived");
            None
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
                // Of an attempt that fell silent we saw no end: its site may have seen any.
                let outcome = attempt.outcome.and_then(|outcome| match outcome {
                    Outcome::Succeeded => Some(oc_trust::Outcome::Succeeded),
                    Outcome::Failed => Some(oc_trust::Outcome::Failed),
                    Outcome::Cancelled => Some(oc_trust::Outcome::Cancelled),
                    Outcome::Lost => attempt.lost_by_site.then_some(oc_trust::Outcome::Lost),
                });
                events.push(event(AttemptState::Ended, outcome));
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jiff::SignedDuration;
    use oc_kernel::{Clock as _, GrantId, OrgId, RunId, SystemClock};
    use oc_proto::types::v1::ObjectRef;
    use oc_service::CallError;
    use oc_workflow::plan::Access;
    use oc_workflow::run::{Cause, End, Event, code};

    use super::*;
    use crate::orchestrator::tests::document_with;

    /// Storage of ours in which 4,711 bytes lie below one prefix.
    struct Storage(String);

    #[async_trait]
    impl Objects for Storage {
        async fn find(
            &self,
            _: &str,
            _: &str,
            _: Option<&str>,
        ) -> Result<Option<ObjectRef>, CallError> {
            Ok(None)
        }

        async fn bytes_below(&self, offer: &str, prefix: &str) -> Result<u64, CallError> {
            assert_eq!(offer, "results");
            Ok(if prefix == self.0 { 4_711 } else { 0 })
        }

        async fn room(&self) -> Result<std::collections::BTreeMap<String, u64>, CallError> {
            Ok(Default::default())
        }

        async fn give_to(&self, _: RunId, _: &str) -> Result<(), CallError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_books_hear_what_arrived_of_a_partners_attempt_that_succeeded() {
        let grant = GrantId::new();
        let ends = SystemClock.now() + SignedDuration::from_hours(1);
        let mut document = document_with(Access::Granted { grant, ends });
        let at = AttemptRef {
            fragment: 0,
            attempt: 1,
        };
        let run = document.run.id();
        let ended = AttemptEvent {
            grant_id: BooksKey::Grant(grant),
            run_id: run,
            fragment_id: fragment_id(run, 0),
            attempt_id: attempt_id(run, at),
            user: None,
            pseudonym: None,
            state: AttemptState::Ended,
            at_ms: 1,
            outcome: Some(oc_trust::Outcome::Succeeded),
            bytes_out: None,
        };
        let below = format!("runs/{run}/{}/{}/", ended.fragment_id, ended.attempt_id);
        let storage = Storage(below);
        assert_eq!(arrived(&storage, &document, &ended).await, Some(4_711));
        let failed = AttemptEvent {
            outcome: Some(oc_trust::Outcome::Failed),
            ..ended.clone()
        };
        assert_eq!(arrived(&storage, &document, &failed).await, None);
        let own = AttemptEvent {
            grant_id: BooksKey::Own,
            ..ended.clone()
        };
        assert_eq!(arrived(&storage, &document, &own).await, None);
        document.spec.output.storage.owner = OrgId::from_digest([2; 32]);
        assert_eq!(arrived(&storage, &document, &ended).await, None);
    }

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

    /// How the books hear that an attempt ended which its site said to be lost, for a cause of that word.
    fn heard_of_a_loss(word: &str) -> Option<oc_trust::Outcome> {
        let now = SystemClock.now();
        let ends = now + SignedDuration::from_hours(1);
        let grant = GrantId::new();
        let mut run = document_with(Access::Granted { grant, ends }).run;
        let at = AttemptRef {
            fragment: 0,
            attempt: 1,
        };
        let cause = Cause::new(word, "lost", OrgId::from_digest([1; 32]), now);
        let events = [
            Event::Tick,
            Event::CapacityReserved {
                at,
                reservation: "resv-1".to_owned(),
                until: ends,
            },
            Event::Submitted {
                at,
                lease: "lease-1".to_owned(),
                life: SignedDuration::from_secs(15),
            },
            Event::Ended {
                at,
                end: End::Lost(cause),
            },
        ];
        let mut heard = Vec::new();
        for event in events {
            let before = run.clone();
            run.apply(event, now);
            heard = observed(&before, &run, now);
        }
        let [ended] = heard.as_slice() else {
            panic!("{heard:?}")
        };
        assert_eq!(ended.state, AttemptState::Ended);
        ended.outcome
    }

    #[test]
    fn the_books_hear_of_a_loss_only_where_the_site_said_that_it_is_its_own() {
        let lost = Some(oc_trust::Outcome::Lost);
        assert_eq!(heard_of_a_loss(code::NODE_RESTARTED), lost);
        assert_eq!(heard_of_a_loss(code::BY_PROVIDER), lost);
        assert_eq!(heard_of_a_loss(code::LEASE_LOST), None);
    }
}
