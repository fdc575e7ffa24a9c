//! One event being worked in: the run, the time, and what came of it so far.

use jiff::Timestamp;
use oc_kernel::OrgId;

use super::cause::{Cause, Remedy, code};
use super::{
    Applied, Attempt, AttemptRef, Change, Ending, FragmentState, Hold, Outcome, Run, RunState,
    Transition,
};
use crate::plan::{Alternative, Place};

pub(super) struct Turn<'a> {
    pub(super) run: &'a mut Run,
    pub(super) now: Timestamp,
    changes: usize,
    transitions: Vec<Transition>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(run: &'a mut Run, now: Timestamp) -> Self {
        Self {
            run,
            now,
            changes: 0,
            transitions: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Applied {
        Applied {
            durable: self.changes > 0,
            transitions: self.transitions,
        }
    }

    /// How many changes there were so far.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// Notes a change that nobody needs to see.
    pub(super) fn changed(&mut self) {
        self.changes += 1;
    }

    /// A cause of our own, now.
    pub(super) fn cause(&self, code: &str, text: impl Into<String>) -> Cause {
        Cause::new(code, text, self.run.org, self.now)
    }

    /// A cause of another organisation, now.
    pub(super) fn cause_by(&self, by: OrgId, code: &str, text: impl Into<String>) -> Cause {
        Cause::new(code, text, by, self.now)
    }

    pub(super) fn set_run(&mut self, state: RunState, cause: Cause) {
        if self.run.state == state && self.run.cause.says_the_same(&cause) {
            return;
        }
        if self.run.state != state {
            self.run.since = self.now;
        }
        let cause = Cause {
            at: self.now,
            ..cause
        };
        self.run.state = state;
        self.run.cause = cause.clone();
        self.changed();
        self.transitions.push(Transition {
            change: Change::Run(state),
            cause,
        });
    }

    pub(super) fn set_fragment(&mut self, at: usize, state: FragmentState, cause: Cause) {
        let fragment = &mut self.run.fragments[at];
        if fragment.state == state && fragment.cause.says_the_same(&cause) {
            return;
        }
        if fragment.state != state {
            fragment.since = self.now;
        }
        let cause = Cause {
            at: self.now,
            ..cause
        };
        fragment.state = state;
        fragment.cause = cause.clone();
        self.changed();
        self.transitions.push(Transition {
            change: Change::Fragment {
                index: index(at),
                state,
            },
            cause,
        });
    }

    /// The fragment whose live attempt is the one that is meant.
    pub(super) fn live(&self, at: AttemptRef) -> Option<usize> {
        let number = at.fragment as usize;
        let live = self.run.fragments.get(number)?.live()?;
        (live.number == at.attempt).then_some(number)
    }

    /// Decides how the run will end and begins to stop what is under way. The first decision stands.
    pub(super) fn end_run(&mut self, state: RunState, cause: Cause) {
        if self.run.ending.is_some() || self.run.state.is_final() {
            return;
        }
        self.run.ending = Some(Ending {
            state,
            cause: cause.clone(),
        });
        let text = match state {
            RunState::Cancelled => "the run was cancelled",
            _ => "another part of the run failed",
        };
        let why = match state {
            RunState::Cancelled => self.cause_by(cause.by, code::CANCELLED, text),
            _ => self.cause_by(cause.by, code::RUN_ENDING, text),
        };
        for at in 0..self.run.fragments.len() {
            self.stop_fragment(at, why.clone());
        }
        let lapses = self.run.policy.data_lapses(self.now);
        for data in &mut self.run.data {
            if data.hold != Hold::Released {
                data.lapses = Some(lapses);
            }
        }
        self.set_run(RunState::Releasing, cause);
    }

    /// Stops a fragment because the run ends.
    fn stop_fragment(&mut self, at: usize, why: Cause) {
        let fragment = &self.run.fragments[at];
        match fragment.state {
            state if state.is_final() => {}
            FragmentState::Waiting | FragmentState::Ready => {
                self.set_fragment(at, FragmentState::Cancelled, why);
            }
            // Its end is being waited for already; what follows is decided then.
            FragmentState::Stopping | FragmentState::Lost => {}
            _ => self.stop_attempt(at, FragmentState::Stopping, why),
        }
    }

    /// Stops the live attempt of a fragment: at once where the site cannot have begun it, else by
    /// waiting for the site's word or for the end of its lease's life.
    pub(super) fn stop_attempt(&mut self, at: usize, state: FragmentState, why: Cause) {
        let Some(attempt) = self.run.fragments[at].live_mut() else {
            return;
        };
        if attempt.hold == Hold::Wanted {
            self.end_attempt(at, Outcome::Cancelled);
            self.after_attempt(at, why);
            return;
        }
        attempt.stop = Some(why.clone());
        let life = attempt.lease.as_ref().map(|lease| lease.life);
        attempt.fence = Some(self.run.policy.fence(self.now, life));
        self.set_fragment(at, state, why);
    }

    /// Ends the live attempt; what it held is to be given back.
    pub(super) fn end_attempt(&mut self, at: usize, outcome: Outcome) {
        let now = self.now;
        let lapses = self.run.policy.hold_lapses(now);
        if let Some(attempt) = self.run.fragments[at].live_mut() {
            attempt.outcome = Some(outcome);
            attempt.ended_at = Some(now);
            attempt.fence = None;
            if attempt.hold != Hold::Released {
                attempt.lapses = Some(lapses);
            }
        }
        self.changed();
    }

    /// What follows when the last attempt of a fragment ended without a result.
    pub(super) fn after_attempt(&mut self, at: usize, why: Cause) {
        if let Some(attempt) = self.run.fragments[at].attempts.last_mut() {
            attempt.why = Some(why.clone());
        }
        if let Some(ending) = &self.run.ending {
            let (code, text) = match ending.state {
                RunState::Cancelled => (code::CANCELLED, "the run was cancelled"),
                _ => (code::RUN_ENDING, "another part of the run failed"),
            };
            let cause = self.cause_by(ending.cause.by, code, text);
            self.set_fragment(at, FragmentState::Cancelled, cause);
            return;
        }
        match self.next_place(at, why.remedy()) {
            Some(place) => {
                let moves = self.run.fragments[at].place() != &place;
                let name = &place.name;
                let text = match moves {
                    true => format!("{}; trying at {name} instead", why.text),
                    false => format!("{}; trying again at {name}", why.text),
                };
                self.run.fragments[at].next = place;
                let cause = Cause { text, ..why };
                self.set_fragment(at, FragmentState::Ready, cause);
            }
            None => {
                let why = self.too_dear(at, &why).unwrap_or(why);
                self.set_fragment(at, FragmentState::Failed, why);
            }
        }
    }

    /// The cause where another place could be tried and is not, because nobody agreed to its price.
    fn too_dear(&self, at: usize, why: &Cause) -> Option<Cause> {
        let plan = &self.run.plan.fragments[at];
        let elsewhere = matches!(why.remedy(), Remedy::Elsewhere | Remedy::ElsewhereOrAgain);
        if !elsewhere || self.is_used_up(at) {
            return None;
        }
        let dear = self.untried(at).find(|other| !plan.covers(other))?;
        let (name, currency) = (&dear.site.name, &dear.currency);
        let most = dear.most.unwrap_or_default();
        let agreed = match plan.currency.as_str() {
            "" => "nothing".to_owned(),
            currency => format!("at most {} {currency}", plan.most),
        };
        let text = format!(
            "{}; not tried at {name} instead: it would cost at most {most} {currency} there, and {agreed} was agreed to",
            why.text
        );
        Some(self.cause(code::TOO_DEAR, text))
    }

    /// Where the next attempt goes; nowhere when none is left or it would be in vain.
    fn next_place(&self, at: usize, remedy: Remedy) -> Option<Place> {
        if self.is_used_up(at) {
            return None;
        }
        let here = || {
            self.run.fragments[at]
                .attempts
                .last()
                .map(|attempt| attempt.place.clone())
        };
        let elsewhere = || {
            let plan = &self.run.plan.fragments[at];
            let mut agreed = self.untried(at).filter(|other| plan.covers(other));
            agreed.next().map(|other| other.site.clone())
        };
        match remedy {
            Remedy::None => None,
            Remedy::Again => here(),
            Remedy::Elsewhere => elsewhere(),
            Remedy::ElsewhereOrAgain => elsewhere().or_else(here),
        }
    }

    /// True when a fragment has no attempt left.
    fn is_used_up(&self, at: usize) -> bool {
        self.run.fragments[at].this_round().len() >= self.run.policy.attempts as usize
    }

    /// The other sites that could take a fragment and have not been tried.
    fn untried(&self, at: usize) -> impl Iterator<Item = &Alternative> {
        let tried: &[Attempt] = self.run.fragments[at].this_round();
        let alternatives = self.run.plan.fragments[at].alternatives.iter();
        alternatives.filter(|other| other.usable && tried.iter().all(|old| old.place != other.site))
    }
}

pub(super) fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
