//! The data of a run: reserved before anything runs, renewed meanwhile, given back at the end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::OrgId;
use serde::{Deserialize, Serialize};

use super::cause::{Cause, code};
use super::policy::after;
use super::turn::Turn;
use super::{FragmentState, Hold, RunState};
use crate::words;

/// Data reserved for one input of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataHold {
    /// The workflow's input.
    pub input: String,
    /// Who holds the data.
    pub provider: OrgId,
    /// What people call the holder.
    pub name: String,
    /// Raised with each new reservation; names the operation at the provider.
    pub serial: u32,
    /// The reservation.
    pub hold: Hold,
    /// The last that went wrong with it.
    pub trouble: Option<Cause>,
    /// When it was asked for or last renewed.
    pub since: Timestamp,
    /// When it has lapsed even if the provider never answers; set once it is to be released.
    pub lapses: Option<Timestamp>,
}

impl DataHold {
    pub(super) fn new(
        input: &str,
        provider: OrgId,
        name: &str,
        serial: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            input: input.to_owned(),
            provider,
            name: name.to_owned(),
            serial,
            hold: Hold::Wanted,
            trouble: None,
            since: now,
            lapses: None,
        }
    }

    /// True while it is asked for and not there.
    pub fn is_missing(&self) -> bool {
        self.hold == Hold::Wanted && self.lapses.is_none()
    }
}

impl Turn<'_> {
    fn data(&mut self, input: &str, serial: u32) -> Option<&mut DataHold> {
        let mut data = self.run.data.iter_mut();
        data.find(|data| data.input == input && data.serial == serial)
    }

    pub(super) fn data_reserved(
        &mut self,
        input: &str,
        serial: u32,
        reservation: String,
        until: Timestamp,
    ) {
        let now = self.now;
        let Some(data) = self.data(input, serial) else {
            return;
        };
        let news = match &data.hold {
            Hold::Wanted => true,
            Hold::Held { until: old, .. } => until > *old,
            Hold::Released => false,
        };
        if !news {
            return;
        }
        data.hold = Hold::Held { reservation, until };
        data.trouble = None;
        data.since = now;
        self.changed();
    }

    pub(super) fn data_released(&mut self, input: &str, serial: u32) {
        let Some(data) = self.data(input, serial) else {
            return;
        };
        if data.lapses.is_some() && data.hold != Hold::Released {
            data.hold = Hold::Released;
            self.changed();
        }
    }

    pub(super) fn data_trouble(&mut self, input: &str, serial: u32, cause: Cause, lasting: bool) {
        if self.run.ending.is_some() {
            return;
        }
        let Some(data) = self.data(input, serial) else {
            return;
        };
        if data.hold != Hold::Wanted {
            return;
        }
        let known = data.trouble.as_ref();
        let news = known.is_none_or(|known| !known.says_the_same(&cause));
        let text = format!(
            "input `{input}` cannot be reserved at {}: {}",
            data.name, cause.text
        );
        data.trouble = Some(cause.clone());
        if lasting {
            data.hold = Hold::Released;
            self.end_run(RunState::Failed, Cause { text, ..cause });
        } else if news {
            self.changed();
            let state = self.run.state;
            self.set_run(state, Cause { text, ..cause });
        }
    }

    /// A reservation that cannot be renewed is asked for anew, as another one.
    pub(super) fn renewal_trouble(
        &mut self,
        input: &str,
        serial: u32,
        cause: Cause,
        lasting: bool,
    ) {
        if !lasting {
            return;
        }
        let mut data = self.run.data.iter();
        let same = |data: &DataHold| {
            data.input == input
                && data.serial == serial
                && data.lapses.is_none()
                && data.hold != Hold::Released
        };
        if let Some(at) = data.position(same) {
            self.run.data[at].trouble = Some(cause);
            self.reserve_anew(at);
        }
    }

    pub(super) fn data_timers(&mut self) {
        let now = self.now;
        self.forget_replaced_data();
        for at in 0..self.run.data.len() {
            let data = &mut self.run.data[at];
            if data.hold == Hold::Released {
                continue;
            }
            if data.lapses.is_some() {
                if data.lapses.is_some_and(|lapses| lapses <= now) {
                    data.hold = Hold::Released;
                    self.changed();
                }
                continue;
            }
            let late = after(data.since, self.run.policy.reserve_data) <= now;
            match &data.hold {
                Hold::Held { until, .. } if *until <= now => self.reserve_anew(at),
                Hold::Wanted if late => self.data_are_late(at),
                Hold::Held { .. } | Hold::Wanted | Hold::Released => {}
            }
        }
    }

    /// Drops reservations that are over and have a successor.
    fn forget_replaced_data(&mut self) {
        let newest: BTreeMap<String, u32> = self
            .run
            .data
            .iter()
            .map(|data| (data.input.clone(), data.serial))
            .collect();
        let replaced = |data: &DataHold| {
            data.hold == Hold::Released && newest.get(&data.input) != Some(&data.serial)
        };
        self.run.data.retain(|data| !replaced(data));
    }

    /// Gives a reservation up that cannot be kept and asks for another one.
    fn reserve_anew(&mut self, at: usize) {
        let lapses = self.run.policy.data_lapses(self.now);
        let old = &mut self.run.data[at];
        old.lapses = Some(lapses);
        let serial = old.serial + 1;
        let mut new = DataHold::new(&old.input, old.provider, &old.name, serial, self.now);
        new.trouble = old.trouble.clone();
        self.run.data.push(new);
        self.changed();
    }

    fn data_are_late(&mut self, at: usize) {
        let now = self.now;
        let input = self.run.data[at].input.clone();
        if !self.is_awaited(&input) {
            self.run.data[at].since = now;
            self.changed();
            return;
        }
        let data = &self.run.data[at];
        let (name, waited) = (&data.name, words::between(data.since, now));
        let text = format!("waited {waited} for {name} to reserve input `{input}`");
        let cause = match data.trouble.clone() {
            Some(trouble) => Cause {
                text: format!("{text}: {}", trouble.text),
                ..trouble
            },
            None => self.cause_by(data.provider, code::UNREACHABLE, text),
        };
        self.end_run(RunState::Failed, cause);
    }

    /// True while a fragment that has not fetched its inputs reads this one.
    fn is_awaited(&self, input: &str) -> bool {
        let fragments = self.run.fragments.iter().enumerate();
        let mut early = fragments.filter(|(_, fragment)| fragment.state <= FragmentState::Staging);
        early.any(|(at, _)| self.run.reads(at, input))
    }

    /// New reservations for what is still to be read; the old ones are all given back.
    pub(super) fn reserve_again(&mut self) {
        let mut newest: BTreeMap<String, DataHold> = BTreeMap::new();
        for old in std::mem::take(&mut self.run.data) {
            let serial = old.serial + 1;
            let new = DataHold::new(&old.input, old.provider, &old.name, serial, self.now);
            newest.insert(old.input, new);
        }
        let needed = newest
            .into_values()
            .filter(|data| self.is_needed(&data.input));
        self.run.data = needed.collect();
    }

    /// True while a fragment that is not done reads the input.
    fn is_needed(&self, input: &str) -> bool {
        let fragments = self.run.fragments.iter().enumerate();
        let mut open = fragments.filter(|(_, fragment)| fragment.state != FragmentState::Succeeded);
        open.any(|(at, _)| self.run.reads(at, input))
    }
}
