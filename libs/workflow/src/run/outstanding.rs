//! What should be under way, and when to look again. Both follow from the state alone.

use jiff::Timestamp;

use super::policy::after;
use super::turn::index;
use super::{Action, Attempt, AttemptRef, DataHold, Hold, Run, RunState};

/// A hold or lease is renewed when a third of its life is over.
const RENEWALS_IN_A_LIFE: i32 = 3;

impl Run {
    /// Every action that should be under way at `now`. One that is no longer among them should be
    /// dropped; one that is already under way should go on.
    pub fn outstanding(&self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state.is_final() {
            return actions;
        }
        for data in &self.data {
            actions.extend(self.data_action(data, now));
        }
        for (at, fragment) in self.fragments.iter().enumerate() {
            for attempt in &fragment.attempts {
                let at = AttemptRef {
                    fragment: index(at),
                    attempt: attempt.number,
                };
                self.attempt_actions(at, attempt, now, &mut actions);
            }
        }
        if self.state == RunState::Publishing && !self.published {
            actions.push(Action::Publish);
        }
        if self.books_since.is_some() {
            let open = self.books.iter().filter(|books| !books.closed);
            actions.extend(open.map(|books| Action::SettleBooks { grant: books.grant }));
        }
        actions
    }

    fn data_action(&self, data: &DataHold, now: Timestamp) -> Option<Action> {
        let input = data.input.clone();
        let serial = data.serial;
        let release = data.lapses.is_some();
        match &data.hold {
            Hold::Released => None,
            hold if release => Some(Action::ReleaseData {
                input,
                serial,
                reservation: hold.reservation().map(str::to_owned),
            }),
            Hold::Wanted if self.state == RunState::Planned => None,
            Hold::Wanted => Some(Action::ReserveData { input, serial }),
            Hold::Held { reservation, .. } if self.data_renewal(data) <= now => {
                Some(Action::RenewData {
                    input,
                    serial,
                    reservation: reservation.clone(),
                })
            }
            Hold::Held { .. } => None,
        }
    }

    fn data_renewal(&self, data: &DataHold) -> Timestamp {
        after(data.since, self.policy.data_hold / RENEWALS_IN_A_LIFE)
    }

    fn attempt_actions(
        &self,
        at: AttemptRef,
        attempt: &Attempt,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        if attempt.outcome.is_some() {
            if attempt.hold != Hold::Released {
                let reservation = attempt.hold.reservation().map(str::to_owned);
                actions.push(Action::ReleaseCapacity { at, reservation });
            }
            return;
        }
        if attempt.stop.is_some() {
            actions.push(Action::Cancel { at });
            return;
        }
        match (&attempt.lease, &attempt.hold) {
            (Some(lease), _) => {
                actions.push(Action::Watch { at });
                let renewal = after(lease.heard_at, lease.life / RENEWALS_IN_A_LIFE);
                if renewal <= now {
                    let lease = lease.id.clone();
                    actions.push(Action::RenewLease { at, lease });
                }
            }
            (None, Hold::Held { reservation, .. }) => actions.push(Action::Submit {
                at,
                reservation: reservation.clone(),
            }),
            (None, Hold::Wanted) => actions.push(Action::ReserveCapacity { at }),
            (None, Hold::Released) => {}
        }
    }

    /// When the run next changes by itself or wants something new, at the latest.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.state.is_final() {
            return None;
        }
        let fragments = (0..self.fragments.len()).filter_map(|at| self.fragment_wait(at)?.until);
        let attempts = self
            .fragments
            .iter()
            .flat_map(|fragment| &fragment.attempts);
        let leases = attempts.clone().filter(|attempt| attempt.outcome.is_none());
        let leases = leases.filter_map(|attempt| attempt.lease.as_ref());
        let leases = leases.flat_map(|lease| {
            [
                after(lease.heard_at, lease.life / RENEWALS_IN_A_LIFE),
                after(lease.heard_at, self.policy.silence),
                after(lease.heard_at, lease.life),
            ]
        });
        let held = attempts.filter(|attempt| attempt.hold != Hold::Released);
        let held = held.filter_map(|attempt| attempt.lapses);
        let data = self.data.iter().filter(|data| data.hold != Hold::Released);
        let data = data.flat_map(|data| {
            let until = match &data.hold {
                Hold::Held { until, .. } => [self.data_renewal(data), *until],
                Hold::Wanted | Hold::Released => [after(data.since, self.policy.reserve_data); 2],
            };
            until.into_iter().chain(data.lapses)
        });
        let run = self.run_wait().and_then(|wait| wait.until);
        fragments
            .chain(leases)
            .chain(held)
            .chain(data)
            .chain(run)
            .min()
    }
}
