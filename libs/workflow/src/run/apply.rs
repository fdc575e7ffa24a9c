//! Events worked into a run. What is late, repeated or about something else changes nothing.

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{GrantId, OrgId};

use super::cause::{Cause, code};
use super::turn::Turn;
use super::{Action, AttemptRef, End, Event, FragmentState, Hold, Lease, Outcome, Phase, RunState};

impl Turn<'_> {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::DataReserved {
                input,
                serial,
                reservation,
                until,
            } => self.data_reserved(&input, serial, reservation, until),
            Event::CapacityReserved {
                at,
                reservation,
                until,
            } => self.capacity_reserved(at, reservation, until),
            Event::Submitted { at, lease, life } => self.submitted(at, lease, life),
            Event::Renewed { at } => self.heard(at),
            Event::Progress { at, phase } => self.progress(at, phase),
            Event::Ended { at, end } => self.ended(at, end),
            Event::CapacityReleased { at } => self.capacity_released(at),
            Event::DataReleased { input, serial } => self.data_released(&input, serial),
            Event::Published => self.published(),
            Event::Settled { grant, dispute } => self.settled(grant, dispute),
            Event::Trouble {
                action,
                cause,
                lasting,
            } => self.trouble(action, cause, lasting),
            Event::Cancel { by, text } => {
                let cause = self.cause_by(by, code::CANCELLED, text);
                self.end_run(RunState::Cancelled, cause);
            }
            Event::Retry { by, text } => self.retry(by, text),
            Event::Resumed => self.resumed(),
            Event::Tick => {}
        }
    }

    fn capacity_reserved(&mut self, at: AttemptRef, reservation: String, until: Timestamp) {
        let number = at.fragment as usize;
        let Some(fragment) = self.run.fragments.get_mut(number) else {
            return;
        };
        let mut attempts = fragment.attempts.iter_mut();
        let Some(attempt) = attempts.find(|attempt| attempt.number == at.attempt) else {
            return;
        };
        if attempt.hold != Hold::Wanted {
            return;
        }
        attempt.hold = Hold::Held { reservation, until };
        let (name, by) = (attempt.place.name.clone(), attempt.place.org);
        self.changed();
        if self.live(at).is_some() {
            let cause = self.cause_by(by, code::RESERVED, format!("{name} holds capacity for it"));
            self.set_fragment(number, FragmentState::Reserving, cause);
        }
    }

    fn submitted(&mut self, at: AttemptRef, lease: String, life: SignedDuration) {
        let now = self.now;
        let Some(number) = self.live(at) else {
            return;
        };
        let Some(attempt) = self.run.fragments[number].live_mut() else {
            return;
        };
        if attempt.lease.is_some() || attempt.hold == Hold::Wanted {
            return;
        }
        attempt.lease = Some(Lease {
            id: lease,
            life,
            heard_at: now,
        });
        attempt.submitted_at = Some(now);
        let (place, stopping) = (attempt.place.clone(), attempt.stop.is_some());
        if let Some(grant) = place.grant {
            self.used(grant);
        }
        self.changed();
        if !stopping {
            let cause = self.cause_by(place.org, code::SUBMITTED, format!("{} has it", place.name));
            self.set_fragment(number, FragmentState::Submitted, cause);
        }
    }

    fn used(&mut self, grant: GrantId) {
        let books = &mut self.run.books;
        match books.iter_mut().find(|books| books.grant == grant) {
            Some(books) => books.closed = false,
            None => books.push(super::Books {
                grant,
                closed: false,
                open: None,
            }),
        }
    }

    /// A sign of life. It need not be stored: a run that is read again is told that it was resumed.
    fn heard(&mut self, at: AttemptRef) {
        let now = self.now;
        let Some(number) = self.live(at) else {
            return;
        };
        let fragment = &mut self.run.fragments[number];
        let silent = fragment.cause.code == code::UNREACHABLE;
        let state = fragment.state;
        let Some(attempt) = fragment.live_mut() else {
            return;
        };
        let Some(lease) = attempt.lease.as_mut() else {
            return;
        };
        lease.heard_at = lease.heard_at.max(now);
        let (name, by) = (attempt.place.name.clone(), attempt.place.org);
        if silent && attempt.stop.is_none() {
            let cause = self.cause_by(by, code::REACHED, format!("{name} answers again"));
            self.set_fragment(number, state, cause);
        }
    }

    fn progress(&mut self, at: AttemptRef, phase: Phase) {
        let Some(number) = self.live(at) else {
            return;
        };
        let fragment = &self.run.fragments[number];
        let Some(attempt) = fragment.live().filter(|attempt| attempt.stop.is_none()) else {
            return;
        };
        if attempt.lease.is_none() {
            return;
        }
        let name = &attempt.place.name;
        let (state, text) = match phase {
            Phase::Staging => (FragmentState::Staging, format!("{name} fetches its inputs")),
            Phase::Running => (FragmentState::Running, format!("its tools run at {name}")),
            Phase::Storing => (FragmentState::Storing, format!("{name} stores its outputs")),
        };
        // States of a running attempt follow one another; an older one is late news.
        if state <= fragment.state {
            return;
        }
        let cause = self.cause_by(attempt.place.org, code::PROGRESS, text);
        self.set_fragment(number, state, cause);
    }

    fn ended(&mut self, at: AttemptRef, end: End) {
        let Some(number) = self.live(at) else {
            return;
        };
        let fragment = &mut self.run.fragments[number];
        let Some(attempt) = fragment.live_mut() else {
            return;
        };
        let place = attempt.place.clone();
        let stop = attempt.stop.clone();
        let (outcome, why) = match end {
            End::Succeeded(result) => {
                attempt.result = Some(result);
                self.end_attempt(number, Outcome::Succeeded);
                let text = format!("done at {}", place.name);
                let cause = self.cause_by(place.org, code::SUCCEEDED, text);
                self.set_fragment(number, FragmentState::Succeeded, cause);
                return;
            }
            End::Failed(cause) => (Outcome::Failed, cause),
            End::Cancelled(cause) => (Outcome::Cancelled, cause),
            End::Lost(cause) => {
                let free = [code::NODE_RESTARTED, code::BY_PROVIDER];
                attempt.lost_by_site = free.contains(&cause.code.as_str());
                (Outcome::Lost, cause)
            }
        };
        self.end_attempt(number, outcome);
        // Where we stopped it ourselves, our reason says more than the site's.
        self.after_attempt(number, stop.unwrap_or(why));
    }

    fn capacity_released(&mut self, at: AttemptRef) {
        let Some(fragment) = self.run.fragments.get_mut(at.fragment as usize) else {
            return;
        };
        let over = |attempt: &&mut super::Attempt| {
            attempt.number == at.attempt && attempt.outcome.is_some()
        };
        let Some(attempt) = fragment.attempts.iter_mut().find(over) else {
            return;
        };
        if attempt.hold != Hold::Released {
            attempt.hold = Hold::Released;
            self.changed();
        }
    }

    fn published(&mut self) {
        if self.run.state == RunState::Publishing && !self.run.published {
            self.run.published = true;
            self.changed();
        }
    }

    fn settled(&mut self, grant: GrantId, dispute: Option<String>) {
        if self.run.state != RunState::Releasing {
            return;
        }
        let mut books = self.run.books.iter_mut();
        let Some(books) = books.find(|books| books.grant == grant && !books.closed) else {
            return;
        };
        books.closed = true;
        books.open = dispute;
        self.changed();
    }

    fn trouble(&mut self, action: Action, cause: Cause, lasting: bool) {
        match action {
            Action::ReserveData { input, serial } => {
                self.data_trouble(&input, serial, cause, lasting)
            }
            Action::RenewData { input, serial, .. } => {
                self.renewal_trouble(&input, serial, cause, lasting)
            }
            Action::ReserveCapacity { at } => self.capacity_trouble(at, cause, lasting),
            Action::Submit { at, .. } => self.submit_trouble(at, cause, lasting),
            Action::RenewLease { at, .. } => {
                let live = self.live(at).filter(|_| lasting);
                if let Some(number) = live.filter(|number| !self.is_stopping(*number)) {
                    // The attempt may have ended well: its site is asked before it is given up.
                    self.stop_attempt(number, FragmentState::Stopping, cause);
                }
            }
            Action::Publish => {
                if self.run.state == RunState::Publishing {
                    match lasting {
                        true => self.end_run(RunState::Failed, cause),
                        false => self.set_run(RunState::Publishing, cause),
                    }
                }
            }
            Action::SettleBooks { grant } => {
                let mut books = self.run.books.iter_mut();
                if let Some(books) = books.find(|books| books.grant == grant && !books.closed) {
                    let news = books.open.as_ref() != Some(&cause.text) || lasting;
                    books.open = Some(cause.text);
                    books.closed = lasting;
                    if news {
                        self.changed();
                    }
                }
            }
            // These go on until they succeed or what they are about has lapsed.
            Action::Watch { .. }
            | Action::Cancel { .. }
            | Action::ReleaseCapacity { .. }
            | Action::ReleaseData { .. } => {}
        }
    }

    fn is_stopping(&self, number: usize) -> bool {
        let live = self.run.fragments[number].live();
        live.is_some_and(|attempt| attempt.stop.is_some())
    }

    fn capacity_trouble(&mut self, at: AttemptRef, cause: Cause, lasting: bool) {
        let Some(number) = self.live(at) else {
            return;
        };
        let Some(attempt) = self.run.fragments[number].live_mut() else {
            return;
        };
        if attempt.hold != Hold::Wanted {
            return;
        }
        if lasting {
            // A refusal is an answer: the site holds nothing.
            attempt.hold = Hold::Released;
            self.end_attempt(number, Outcome::Failed);
            self.after_attempt(number, cause);
        } else {
            self.set_fragment(number, FragmentState::Reserving, cause);
        }
    }

    fn submit_trouble(&mut self, at: AttemptRef, cause: Cause, lasting: bool) {
        let Some(number) = self.live(at) else {
            return;
        };
        let Some(attempt) = self.run.fragments[number].live_mut() else {
            return;
        };
        if attempt.lease.is_some() || attempt.stop.is_some() {
            return;
        }
        if !lasting {
            attempt.unsure = true;
            self.set_fragment(number, FragmentState::Reserving, cause);
        } else if attempt.unsure {
            // An earlier try may have got through before its answer was lost.
            self.stop_attempt(number, FragmentState::Stopping, cause);
        } else {
            self.end_attempt(number, Outcome::Failed);
            self.after_attempt(number, cause);
        }
    }

    fn retry(&mut self, by: OrgId, text: String) {
        let again = matches!(self.run.state, RunState::Failed | RunState::Cancelled);
        if !again {
            return;
        }
        self.run.ending = None;
        self.run.ended_at = None;
        self.run.books_since = None;
        let cause = self.cause_by(by, code::RETRIED, text);
        for at in 0..self.run.fragments.len() {
            let fragment = &mut self.run.fragments[at];
            if fragment.state == FragmentState::Succeeded {
                continue;
            }
            fragment.earlier = fragment.attempts.len();
            fragment.next = self.run.plan.fragments[at].site.clone();
            self.set_fragment(at, FragmentState::Waiting, cause.clone());
        }
        self.reserve_again();
        self.set_run(RunState::Planned, cause);
    }

    /// What was heard since the run was last stored is lost, and the clock may have been set
    /// meanwhile: leases get the benefit of the doubt, fences are counted anew, and a submission may
    /// have been on its way. None of it needs to be stored: it is done again after the next start.
    fn resumed(&mut self) {
        let (now, policy) = (self.now, self.run.policy.clone());
        for fragment in &mut self.run.fragments {
            let Some(attempt) = fragment.live_mut() else {
                continue;
            };
            let life = attempt.lease.as_ref().map(|lease| lease.life);
            if let Some(lease) = attempt.lease.as_mut() {
                lease.heard_at = now;
            }
            if attempt.fence.is_some() {
                attempt.fence = Some(policy.fence(now, life));
            }
            attempt.unsure = attempt.lease.is_none();
        }
    }
}
