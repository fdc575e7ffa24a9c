//! Sites and data providers as they really behave: they keep ledgers, kill at the end of a lease, answer a
//! repeated call like the first, and know nothing of what the run believes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use oc_workflow::run::{Action, AttemptRef, AttemptResult, Cause, End, Event, Phase, code};
use serde_json::json;

use crate::world::org;

const HOLD: SignedDuration = SignedDuration::from_secs(30);
const LEASE: SignedDuration = SignedDuration::from_secs(15);
const DATA: SignedDuration = SignedDuration::from_secs(120);

/// What a site has of one attempt.
#[derive(Debug, Default)]
struct SiteAttempt {
    hold: Option<Timestamp>,
    lease: Option<Timestamp>,
    phase: Option<Phase>,
    end: Option<Finish>,
    /// Released or cancelled: nothing may begin any more.
    barred: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    Succeeded,
    Failed,
    Cancelled,
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Sites {
    attempts: BTreeMap<AttemptRef, SiteAttempt>,
    data: BTreeMap<(String, u32), Timestamp>,
    released: Vec<(String, u32)>,
    pub(crate) published: u32,
}

/// What chance decides at a site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Luck {
    pub(crate) full: bool,
    pub(crate) advance: bool,
    pub(crate) fail: bool,
    pub(crate) fail_for_ever: bool,
}

impl Sites {
    /// Lets time pass: leases and holds end by themselves.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        for attempt in self.attempts.values_mut() {
            if attempt.lease.is_some_and(|renewed| renewed + LEASE <= now) {
                attempt.lease = None;
                attempt.end.get_or_insert(Finish::Lost);
            }
            if attempt.hold.is_some_and(|until| until <= now) {
                attempt.hold = None;
            }
        }
        self.data.retain(|_, until| *until > now);
    }

    /// Lets running attempts get on.
    pub(crate) fn work(&mut self, luck: Luck) {
        for attempt in self.attempts.values_mut() {
            if attempt.lease.is_none() || !luck.advance {
                continue;
            }
            attempt.phase = match attempt.phase {
                None => Some(Phase::Staging),
                Some(Phase::Staging) => Some(Phase::Running),
                Some(Phase::Running) => Some(Phase::Storing),
                Some(Phase::Storing) => {
                    attempt.lease = None;
                    attempt.end = Some(match luck.fail {
                        true => Finish::Failed,
                        false => Finish::Succeeded,
                    });
                    continue;
                }
            };
        }
    }

    /// Fragments with more than one running attempt.
    pub(crate) fn doubled(&self) -> Vec<u32> {
        let mut running: BTreeMap<u32, u32> = BTreeMap::new();
        for (at, attempt) in &self.attempts {
            if attempt.lease.is_some() {
                *running.entry(at.fragment).or_default() += 1;
            }
        }
        let doubled = running.into_iter().filter(|(_, count)| *count > 1);
        doubled.map(|(fragment, _)| fragment).collect()
    }

    /// What is still held, in words.
    pub(crate) fn held(&self) -> Vec<String> {
        let attempts = self.attempts.iter();
        let attempts = attempts.filter(|(_, a)| a.hold.is_some() || a.lease.is_some());
        let data = self.data.keys().map(|key| format!("{key:?}"));
        attempts
            .map(|(at, _)| format!("{at:?}"))
            .chain(data)
            .collect()
    }

    /// Answers a call, as its owner would.
    pub(crate) fn answer(&mut self, action: &Action, now: Timestamp, luck: Luck) -> Vec<Event> {
        self.pass(now);
        match action {
            Action::ReserveData { input, serial } => {
                let key = (input.clone(), *serial);
                if self.released.contains(&key) {
                    return vec![trouble(action, code::REFUSED, true)];
                }
                let until = *self.data.entry(key).or_insert(now + DATA);
                vec![reserved(input, *serial, until)]
            }
            Action::RenewData { input, serial, .. } => {
                match self.data.get_mut(&(input.clone(), *serial)) {
                    Some(until) => {
                        *until = now + DATA;
                        vec![reserved(input, *serial, *until)]
                    }
                    None => vec![trouble(action, code::HOLD_LAPSED, true)],
                }
            }
            Action::ReleaseData { input, serial, .. } => {
                let key = (input.clone(), *serial);
                self.data.remove(&key);
                self.released.push(key);
                vec![Event::DataReleased {
                    input: input.clone(),
                    serial: *serial,
                }]
            }
            Action::Publish => {
                self.published += 1;
                vec![Event::Published]
            }
            Action::SettleBooks { grant } => {
                vec![Event::Settled {
                    grant: *grant,
                    dispute: None,
                }]
            }
            Action::ReserveCapacity { at }
            | Action::Submit { at, .. }
            | Action::Watch { at }
            | Action::RenewLease { at, .. }
            | Action::Cancel { at }
            | Action::ReleaseCapacity { at, .. } => self.about_attempt(action, *at, now, luck),
        }
    }

    fn about_attempt(
        &mut self,
        action: &Action,
        at: AttemptRef,
        now: Timestamp,
        luck: Luck,
    ) -> Vec<Event> {
        let attempt = self.attempts.entry(at).or_default();
        match action {
            Action::ReserveCapacity { .. } => {
                if attempt.barred || attempt.end.is_some() {
                    return vec![trouble(action, code::REFUSED, true)];
                }
                if luck.full && attempt.hold.is_none() {
                    return vec![trouble(action, code::FULL, false)];
                }
                let until = *attempt.hold.get_or_insert(now + HOLD);
                vec![Event::CapacityReserved {
                    at,
                    reservation: format!("{at:?}"),
                    until,
                }]
            }
            Action::Submit { .. } => {
                let fresh = attempt.lease.is_none() && attempt.end.is_none();
                if attempt.barred || (fresh && attempt.hold.is_none()) {
                    return vec![trouble(action, code::HOLD_LAPSED, true)];
                }
                if fresh {
                    attempt.hold = None;
                    attempt.lease = Some(now);
                }
                vec![Event::Submitted {
                    at,
                    lease: format!("{at:?}"),
                    life: LEASE,
                }]
            }
            Action::Watch { .. } => match (attempt.end, attempt.phase) {
                (Some(end), _) => vec![ended(at, end, luck)],
                (None, Some(phase)) => vec![Event::Progress { at, phase }],
                (None, None) => vec![],
            },
            Action::RenewLease { .. } => match attempt.lease.as_mut() {
                Some(renewed) => {
                    *renewed = now;
                    vec![Event::Renewed { at }]
                }
                None => vec![trouble(action, code::LEASE_LOST, true)],
            },
            Action::Cancel { .. } => {
                attempt.barred = true;
                attempt.hold = None;
                attempt.lease = None;
                let end = *attempt.end.get_or_insert(Finish::Cancelled);
                vec![ended(at, end, luck)]
            }
            _ => {
                attempt.barred = true;
                attempt.hold = None;
                vec![Event::CapacityReleased { at }]
            }
        }
    }
}

fn reserved(input: &str, serial: u32, until: Timestamp) -> Event {
    Event::DataReserved {
        input: input.to_owned(),
        serial,
        reservation: format!("{input}-{serial}"),
        until,
    }
}

fn ended(at: AttemptRef, end: Finish, luck: Luck) -> Event {
    let cause = |word| Cause::new(word, "as the site says", org(2), Timestamp::UNIX_EPOCH);
    let end = match end {
        Finish::Succeeded => End::Succeeded(AttemptResult {
            outputs: json!({ "from": at.attempt }),
            objects: vec![],
        }),
        Finish::Failed if luck.fail_for_ever => End::Failed(cause(code::TOOL_FAILED)),
        Finish::Failed => End::Failed(cause(code::CHECKSUM)),
        Finish::Cancelled => End::Cancelled(cause(code::CANCELLED)),
        Finish::Lost => End::Lost(cause(code::LEASE_LOST)),
    };
    Event::Ended { at, end }
}

fn trouble(action: &Action, word: &str, lasting: bool) -> Event {
    Event::Trouble {
        action: action.clone(),
        cause: Cause::new(word, "as the site says", org(2), Timestamp::UNIX_EPOCH),
        lasting,
    }
}
