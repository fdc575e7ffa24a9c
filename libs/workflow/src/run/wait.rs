//! What is waited for, since when, and until when: one table for the timers and for people.

use jiff::Timestamp;

use super::cause::code;
use super::policy::after;
use super::{Attempt, Fragment, FragmentState, Hold, Run, RunState};
use crate::words;

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What, in words.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; nothing where it depends on waits of other parts that have an end.
    pub until: Option<Timestamp>,
    /// What happens then, in words; empty without an end.
    pub then: &'static str,
}

impl Run {
    /// What a fragment waits for; nothing once it is over.
    pub fn fragment_wait(&self, index: usize) -> Option<Wait> {
        let fragment = self.fragments.get(index)?;
        let (what, until, then) = match fragment.state {
            FragmentState::Waiting => (self.unfinished_upstream(index), None, ""),
            FragmentState::Ready => (self.missing_for(index), None, ""),
            FragmentState::Succeeded | FragmentState::Failed | FragmentState::Cancelled => {
                return None;
            }
            _ => return self.attempt_wait(index, fragment, fragment.live()?),
        };
        Some(Wait {
            what,
            since: fragment.since,
            until,
            then,
        })
    }

    fn attempt_wait(&self, index: usize, fragment: &Fragment, attempt: &Attempt) -> Option<Wait> {
        const AGAIN: &str = "it is stopped and, if another attempt is left, tried again";
        let name = &attempt.place.name;
        let policy = &self.policy;
        let mut since = fragment.since;
        let (what, until, then) = match fragment.state {
            FragmentState::Reserving => match &attempt.hold {
                Hold::Held { until, .. } => (format!("{name} to take it"), *until, AGAIN),
                Hold::Wanted | Hold::Released => {
                    let until = after(attempt.asked_at, policy.capacity);
                    (
                        format!("capacity at {name}"),
                        until,
                        "it is tried elsewhere or fails",
                    )
                }
            },
            FragmentState::Stopping | FragmentState::Lost => {
                since = attempt.stop.as_ref().map_or(since, |stop| stop.at);
                let what = format!("{name} to say that attempt {} is over", attempt.number);
                (
                    what,
                    attempt.fence?,
                    "its lease has surely ended and the run goes on",
                )
            }
            _ if fragment.cause.code == code::UNREACHABLE => {
                let lease = attempt.lease.as_ref()?;
                since = lease.heard_at;
                let until = after(lease.heard_at, lease.life);
                (
                    format!("a word from {name}"),
                    until,
                    "its lease ends; after that it is tried again",
                )
            }
            FragmentState::Submitted => {
                let until = after(attempt.submitted_at?, policy.start);
                (format!("{name} to begin"), until, AGAIN)
            }
            _ => {
                let seconds = self.plan.fragments[index].wall_seconds;
                let wall = i64::try_from(seconds).unwrap_or(i64::MAX);
                let wall = jiff::SignedDuration::from_secs(wall);
                let until = after(after(attempt.submitted_at?, wall), policy.margin);
                (
                    format!("{name} to finish"),
                    until,
                    "it is stopped and fails",
                )
            }
        };
        Some(Wait {
            what,
            since,
            until: Some(until),
            then,
        })
    }

    fn unfinished_upstream(&self, index: usize) -> String {
        let upstream = self.plan.fragments[index].upstream.iter();
        let open = upstream.filter(|from| {
            let fragment = self.fragments.get(**from as usize);
            fragment.is_some_and(|fragment| fragment.state != FragmentState::Succeeded)
        });
        let steps: Vec<&str> = open
            .filter_map(|from| self.plan.fragments.get(*from as usize))
            .flat_map(|plan| plan.steps.iter().map(String::as_str))
            .collect();
        match steps.is_empty() {
            true => "the run to begin".to_owned(),
            false => format!("the outputs of {}", words::list(steps, 6)),
        }
    }

    /// What a fragment that could start lacks: reserved data, or one of the run's slots.
    fn missing_for(&self, index: usize) -> String {
        let missing = self.data.iter().filter(|data| data.is_missing());
        let mut missing = missing.filter(|data| self.reads(index, &data.input));
        match missing.next() {
            Some(data) => format!("input `{}` to be reserved at {}", data.input, data.name),
            None => format!("one of {} fragments to end", self.policy.parallel),
        }
    }

    /// What the run as a whole waits for; nothing once it is over, or while its fragments run.
    pub fn run_wait(&self) -> Option<Wait> {
        let (what, until, then) = match self.state {
            RunState::Planned | RunState::Reserving => {
                let mut wanted = self.data.iter().filter(|data| data.is_missing());
                let data = wanted.next()?;
                let until = after(data.since, self.policy.reserve_data);
                let what = format!("{} to reserve input `{}`", data.name, data.input);
                (what, until, "the run ends and gives everything back")
            }
            RunState::Publishing => {
                let until = after(self.since, self.policy.publish);
                (
                    "the results to be published".to_owned(),
                    until,
                    "the run fails",
                )
            }
            RunState::Releasing => self.release_wait()?,
            RunState::Running | RunState::Succeeded | RunState::Failed | RunState::Cancelled => {
                return None;
            }
        };
        Some(Wait {
            what,
            since: self.since,
            until: Some(until),
            then,
        })
    }

    fn release_wait(&self) -> Option<(String, Timestamp, &'static str)> {
        if let Some(since) = self.books_since {
            let open = self.books.iter().filter(|books| !books.closed);
            let grants: Vec<String> = open.map(|books| books.grant.to_string()).collect();
            let grants = words::list(grants.iter().map(String::as_str), 3);
            let until = after(since, self.policy.books);
            return Some((
                format!("the books of {grants} to be countersigned"),
                until,
                "the run ends and the books are settled later",
            ));
        }
        let attempts = self
            .fragments
            .iter()
            .flat_map(|fragment| &fragment.attempts);
        let running = attempts.clone().filter(|attempt| attempt.outcome.is_none());
        let running = running.filter_map(|attempt| Some((&attempt.place.name, attempt.fence?)));
        let held = attempts.filter(|attempt| attempt.hold != Hold::Released);
        let held = held.filter_map(|attempt| Some((&attempt.place.name, attempt.lapses?)));
        let data = self.data.iter().filter(|data| data.hold != Hold::Released);
        let data = data.filter_map(|data| Some((&data.name, data.lapses?)));
        let (name, until) = running
            .chain(held)
            .chain(data)
            .max_by_key(|(_, until)| *until)?;
        let what = format!("{name} to give back what it holds for the run");
        Some((what, until, "it has lapsed by itself"))
    }
}
