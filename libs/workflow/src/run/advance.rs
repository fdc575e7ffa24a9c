//! What follows from the state and the time alone: timers, fences, and the next thing to start.

use super::cause::code;
use super::policy::after;
use super::turn::Turn;
use super::{Attempt, DataHold, FragmentState, Hold, Outcome, RunState};
use crate::words;

impl Turn<'_> {
    /// Goes on until nothing follows any more. Every pass but the last changes something, and a
    /// state is never entered twice at one moment without an attempt being used up, so it ends.
    pub(super) fn advance(&mut self) {
        loop {
            let before = self.changes();
            for at in 0..self.run.fragments.len() {
                self.attempt_timers(at);
                self.lapsed_capacity(at);
            }
            self.data_timers();
            self.next();
            if self.changes() == before {
                return;
            }
        }
    }

    fn attempt_timers(&mut self, at: usize) {
        let Some(attempt) = self.run.fragments[at].live() else {
            return;
        };
        let fence = attempt.fence;
        if let Some(stop) = attempt.stop.clone() {
            if fence.is_some_and(|fence| fence <= self.now) {
                self.end_attempt(at, Outcome::Lost);
                self.after_attempt(at, stop);
            }
            return;
        }
        if !self.lease_is_lost(at) {
            self.deadline(at);
        }
    }

    /// Says so when a site falls silent, and gives the attempt up when its lease may have ended.
    fn lease_is_lost(&mut self, at: usize) -> bool {
        let fragment = &self.run.fragments[at];
        let Some((place, lease)) = fragment
            .live()
            .and_then(|attempt| Some((&attempt.place, attempt.lease.as_ref()?)))
        else {
            return false;
        };
        let (name, org) = (&place.name, place.org);
        let silence = words::between(lease.heard_at, self.now);
        if after(lease.heard_at, lease.life) <= self.now {
            let text = format!("{name} has not answered for {silence}, so its lease is lost");
            let cause = self.cause_by(org, code::LEASE_LOST, text);
            self.stop_attempt(at, FragmentState::Lost, cause);
            return true;
        }
        let silent = after(lease.heard_at, self.run.policy.silence) <= self.now;
        if silent && fragment.cause.code != code::UNREACHABLE {
            let text = format!("{name} has not answered for {silence}");
            let (state, cause) = (fragment.state, self.cause_by(org, code::UNREACHABLE, text));
            self.set_fragment(at, state, cause);
        }
        false
    }

    /// Stops an attempt whose present state has lasted too long.
    fn deadline(&mut self, at: usize) {
        let Some(wait) = self.run.fragment_wait(at) else {
            return;
        };
        if wait.until.is_none_or(|until| until > self.now) {
            return;
        }
        let fragment = &self.run.fragments[at];
        let waited = words::between(wait.since, self.now);
        let text = format!("waited {waited} for {}", wait.what);
        let org = fragment.place().org;
        let cause = match fragment.state {
            // What the site last said of the reason is worth more than that it took long.
            FragmentState::Reserving if fragment.cause.remedy() != super::Remedy::None => {
                let mut cause = fragment.cause.clone();
                cause.text = format!("{text}: {}", cause.text);
                cause
            }
            FragmentState::Reserving => self.cause_by(org, code::UNREACHABLE, text),
            FragmentState::Submitted => self.cause_by(org, code::HOLD_LAPSED, text),
            _ => self.cause_by(org, code::TIMED_OUT, text),
        };
        self.stop_attempt(at, FragmentState::Stopping, cause);
    }

    fn lapsed_capacity(&mut self, at: usize) {
        let now = self.now;
        let lapsed = |attempt: &Attempt| {
            attempt.hold != Hold::Released && attempt.lapses.is_some_and(|lapses| lapses <= now)
        };
        let attempts = self.run.fragments[at].attempts.iter_mut();
        let mut count = 0;
        for attempt in attempts.filter(|attempt| lapsed(attempt)) {
            attempt.hold = Hold::Released;
            count += 1;
        }
        if count > 0 {
            self.changed();
        }
    }

    fn next(&mut self) {
        if self.run.state.is_final() {
            return;
        }
        if self.run.ending.is_some() {
            self.finish_releasing();
            return;
        }
        match self.run.state {
            RunState::Planned => {
                let text = "its data are being reserved";
                let cause = self.cause(code::RESERVING, text);
                self.set_run(RunState::Reserving, cause);
            }
            RunState::Reserving => {
                if !self.run.data.iter().any(DataHold::is_missing) {
                    let cause = self.cause(code::RESERVED, "all its data are reserved");
                    self.set_run(RunState::Running, cause);
                }
            }
            RunState::Running => self.next_fragments(),
            RunState::Publishing => self.next_publishing(),
            RunState::Releasing | RunState::Succeeded | RunState::Failed | RunState::Cancelled => {}
        }
    }

    fn next_fragments(&mut self) {
        let fragments = self.run.fragments.iter().enumerate();
        let mut failed = fragments.filter(|(_, f)| f.state == FragmentState::Failed);
        if let Some((at, fragment)) = failed.next() {
            let mut cause = fragment.cause.clone();
            let steps = &self.run.plan.fragments[at].steps;
            let steps = words::list(steps.iter().map(String::as_str), 3);
            cause.text = format!("{steps}: {}", cause.text);
            self.end_run(RunState::Failed, cause);
            return;
        }
        for at in 0..self.run.fragments.len() {
            self.make_ready(at);
            self.start(at);
        }
        let mut fragments = self.run.fragments.iter();
        if fragments.all(|fragment| fragment.state == FragmentState::Succeeded) {
            let cause = self.cause(code::SUCCEEDED, "all fragments are done");
            self.set_run(RunState::Publishing, cause);
        }
    }

    fn make_ready(&mut self, at: usize) {
        if self.run.fragments[at].state != FragmentState::Waiting {
            return;
        }
        let mut upstream = self.run.plan.fragments[at].upstream.iter();
        let done = |from: &u32| {
            let fragment = self.run.fragments.get(*from as usize);
            fragment.is_some_and(|fragment| fragment.state == FragmentState::Succeeded)
        };
        if upstream.all(done) {
            let cause = self.cause(code::READY, "all that it reads is there");
            self.set_fragment(at, FragmentState::Ready, cause);
        }
    }

    /// Begins the next attempt of a fragment that is ready.
    fn start(&mut self, at: usize) {
        let fragments = &self.run.fragments;
        if fragments[at].state != FragmentState::Ready {
            return;
        }
        let active = fragments
            .iter()
            .filter(|fragment| fragment.state.is_active());
        if active.count() >= self.run.policy.parallel as usize {
            return;
        }
        let mut wanted = self.run.data.iter().filter(|data| data.is_missing());
        if wanted.any(|data| self.run.reads(at, &data.input)) {
            return;
        }
        let now = self.now;
        let fragment = &mut self.run.fragments[at];
        let place = fragment.next.clone();
        let text = format!("asks {} for capacity", place.name);
        fragment.attempts.push(Attempt {
            number: super::turn::index(fragment.attempts.len()).saturating_add(1),
            place,
            hold: Hold::Wanted,
            lease: None,
            asked_at: now,
            submitted_at: None,
            ended_at: None,
            outcome: None,
            lost_by_site: false,
            unsure: false,
            stop: None,
            why: None,
            fence: None,
            lapses: None,
            result: None,
        });
        let cause = self.cause(code::RESERVING, text);
        self.set_fragment(at, FragmentState::Reserving, cause);
    }

    fn next_publishing(&mut self) {
        if self.run.published {
            let cause = self.cause(code::PUBLISHED, "the results are published");
            self.end_run(RunState::Succeeded, cause);
            return;
        }
        let deadline = after(self.run.since, self.run.policy.publish);
        if deadline <= self.now {
            let mut cause = self.run.cause.clone();
            cause.text = format!("the results could not be published: {}", cause.text);
            if cause.code == code::SUCCEEDED {
                cause = self.cause(
                    code::TIMED_OUT,
                    "the results could not be published in time",
                );
            }
            self.end_run(RunState::Failed, cause);
        }
    }

    /// Ends the run once nothing is held and the books are closed or left to their keepers.
    fn finish_releasing(&mut self) {
        if self.run.holds_anything() {
            return;
        }
        let open = self.run.books.iter().any(|books| !books.closed);
        if open {
            let Some(since) = self.run.books_since else {
                self.run.books_since = Some(self.now);
                self.changed();
                return;
            };
            if after(since, self.run.policy.books) > self.now {
                return;
            }
            for books in &mut self.run.books {
                books.closed = true;
            }
        }
        let Some(ending) = self.run.ending.clone() else {
            return;
        };
        let mut cause = ending.cause;
        for books in &self.run.books {
            if let Some(why) = &books.open {
                let grant = books.grant;
                cause.text = format!("{}; the books of {grant} are open: {why}", cause.text);
                if cause.advice.is_empty() {
                    cause.advice = format!("see with `opencloud usage books {grant}` what is open");
                }
            }
        }
        self.run.ended_at = Some(self.now);
        self.set_run(ending.state, cause);
    }
}
