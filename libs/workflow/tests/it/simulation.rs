//! Whole runs against sites under loss, delay, repetition, reordering, partitions and crashes of the driver.
//! What must hold is checked against the sites' own ledgers, not against what the run believes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use oc_kernel::OrgId;
use oc_workflow::run::{Action, Event, Run, RunState, code};
use proptest::prelude::*;

use crate::sites::{Luck, Sites};
use crate::world::{World, now, org};

/// How much goes wrong, each in percent.
#[derive(Debug, Clone, Copy)]
struct Weather {
    loss: u64,
    repeat: u64,
    crash: u64,
    partition: u64,
    full: u64,
    fail: u64,
    cancel: u64,
    /// How quickly tools get on.
    pace: u64,
}

const FAIR: Weather = Weather {
    loss: 0,
    repeat: 0,
    crash: 0,
    partition: 0,
    full: 0,
    fail: 0,
    cancel: 0,
    pace: 40,
};

enum Message {
    Call(Action),
    Reply(Event),
}

/// A partition: first only answers are lost, so that sites hear us while we do not hear them; then all.
struct Cut {
    /// Who is cut off; everybody when none is named.
    site: Option<OrgId>,
    deaf_until: Timestamp,
    until: Timestamp,
}

impl Cut {
    fn holds_back(&self, message: &Message, site: OrgId, now: Timestamp) -> bool {
        let passes = now < self.deaf_until && matches!(message, Message::Call(_));
        let concerned = self.site.is_none_or(|cut| cut == site);
        concerned && now < self.until && !passes
    }
}

struct Simulation {
    run: Run,
    /// The run as the store has it.
    stored: Run,
    sites: Sites,
    now: Timestamp,
    flying: Vec<(Timestamp, OrgId, Message)>,
    /// Calls under way and when they are given up.
    calls: BTreeMap<Action, Timestamp>,
    cut: Cut,
    chance: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let run = World::three_sites().run();
        Self {
            stored: run.clone(),
            run,
            sites: Sites::default(),
            now: now(),
            flying: Vec::new(),
            calls: BTreeMap::new(),
            cut: Cut {
                site: None,
                deaf_until: now(),
                until: now(),
            },
            chance: seed,
        }
    }

    /// The next number of SplitMix64.
    fn next(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    fn millis(&mut self, most: u64) -> SignedDuration {
        let millis = self.next() % most.max(1);
        SignedDuration::from_millis(i64::try_from(millis).unwrap())
    }

    fn tell(&mut self, event: Event) -> Result<(), TestCaseError> {
        let applied = self.run.apply(event.clone(), self.now);
        let once = self.run.clone();
        let again = self.run.apply(event, self.now);
        prop_assert!(!again.durable, "no_effect_twice: {again:?}");
        prop_assert_eq!(&self.run, &once);
        if applied.durable {
            self.stored = once;
        }
        if self.run.state().is_final() {
            prop_assert!(!self.run.holds_anything());
            prop_assert!(self.run.outstanding(self.now).is_empty());
        }
        Ok(())
    }

    fn step(&mut self, weather: Weather) -> Result<(), TestCaseError> {
        let step = self.millis(900);
        self.now += step;
        if self.cut.until <= self.now && self.percent(weather.partition) {
            let deaf_until = self.now + self.millis(16_000);
            let site = u8::try_from(self.next() % 4).unwrap();
            self.cut = Cut {
                site: (site > 0).then(|| org(site)),
                deaf_until,
                until: deaf_until + SignedDuration::from_secs(5) + self.millis(40_000),
            };
        }
        if self.percent(weather.crash) {
            self.run = self.stored.clone();
            self.calls.clear();
            let dark = self.millis(40_000);
            self.now += dark;
            self.tell(Event::Resumed)?;
        }
        if self.percent(weather.cancel) {
            let text = "stopped".into();
            self.tell(Event::Cancel { by: org(1), text })?;
        }
        self.sites.pass(self.now);
        let luck = self.luck(weather);
        self.sites.work(luck);
        self.deliver(weather)?;
        self.give_up_calls()?;
        self.tell(Event::Tick)?;
        self.send(weather);
        let doubled = self.sites.doubled();
        prop_assert!(doubled.is_empty(), "two attempts run of {doubled:?}");
        Ok(())
    }

    fn luck(&mut self, weather: Weather) -> Luck {
        Luck {
            full: self.percent(weather.full),
            advance: self.percent(weather.pace),
            fail: self.percent(weather.fail),
            fail_for_ever: self.percent(30),
        }
    }

    fn deliver(&mut self, weather: Weather) -> Result<(), TestCaseError> {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.flying = later;
        for (_, site, message) in due {
            match message {
                Message::Call(action) => {
                    let luck = self.luck(weather);
                    for reply in self.sites.answer(&action, self.now, luck) {
                        self.fly(Message::Reply(reply), site, weather, 3_000);
                    }
                }
                Message::Reply(event) => {
                    let repeated = self.percent(weather.repeat);
                    if repeated {
                        let at = self.now + self.millis(20_000);
                        self.flying.push((at, site, Message::Reply(event.clone())));
                    }
                    self.tell(event)?;
                }
            }
        }
        Ok(())
    }

    fn fly(&mut self, message: Message, site: OrgId, weather: Weather, most: u64) {
        let cut = self.cut.holds_back(&message, site, self.now);
        let lost = self.percent(weather.loss) || cut;
        let delay = self.millis(most);
        if !lost {
            self.flying.push((self.now + delay, site, message));
        }
    }

    fn give_up_calls(&mut self) -> Result<(), TestCaseError> {
        let over: Vec<Action> = self
            .calls
            .iter()
            .filter(|(_, until)| **until <= self.now)
            .map(|(action, _)| action.clone())
            .collect();
        for action in over {
            self.calls.remove(&action);
            let cause =
                oc_workflow::run::Cause::new(code::UNREACHABLE, "no answer", org(2), self.now);
            self.tell(Event::Trouble {
                action,
                cause,
                lasting: false,
            })?;
        }
        Ok(())
    }

    fn send(&mut self, weather: Weather) {
        let wanted = self.run.outstanding(self.now);
        self.calls.retain(|action, _| wanted.contains(action));
        for action in wanted {
            if self.calls.contains_key(&action) {
                continue;
            }
            // A call is given up after at most 5 s, and reaches its site before that or never.
            let until = self.now + SignedDuration::from_millis(4_900);
            self.calls.insert(action.clone(), until);
            let site = self.site_of(&action);
            self.fly(Message::Call(action), site, weather, 1_500);
        }
    }

    fn site_of(&self, action: &Action) -> OrgId {
        match action {
            Action::ReserveData { input, .. }
            | Action::RenewData { input, .. }
            | Action::ReleaseData { input, .. } => {
                let mut data = self.run.data().iter();
                data.find(|data| data.input == *input).unwrap().provider
            }
            action => match action.attempt() {
                Some(at) => self.run.attempt(at).unwrap().place.org,
                None => self.run.org(),
            },
        }
    }

    /// Steps until the run is over; the number of steps bounds the simulated time.
    fn finish(&mut self, weather: Weather, steps: usize) -> Result<(), TestCaseError> {
        for _ in 0..steps {
            if self.run.state().is_final() {
                return Ok(());
            }
            self.step(weather)?;
        }
        prop_assert!(false, "no_silence: still {:?}", self.run.state());
        Ok(())
    }
}

#[test]
fn in_fair_weather_a_run_succeeds_and_publishes_once() {
    let mut simulation = Simulation::new(1);
    simulation.finish(FAIR, 400).unwrap();
    assert_eq!(simulation.run.state(), RunState::Succeeded);
    assert_eq!(simulation.sites.published, 1);
    assert_eq!(simulation.sites.held(), Vec::<String>::new());
}

fn weather() -> impl Strategy<Value = Weather> {
    let network = (0_u64..20, 0_u64..40, 0_u64..10);
    (network, 0_u64..4, 0_u64..60, 0_u64..40, 0_u64..2, 1_u64..20).prop_map(
        |((loss, repeat, partition), crash, full, fail, cancel, pace)| Weather {
            loss,
            repeat,
            crash,
            partition,
            full,
            fail,
            cancel,
            pace,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn in_any_weather_no_attempt_runs_twice_and_a_run_that_is_over_holds_nothing(
        seed in any::<u64>(),
        weather in weather(),
    ) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..300 {
            simulation.step(weather)?;
        }
        simulation.finish(FAIR, 4_000)?;
        // What still flies may arrive after the end, and must not bring anything back.
        for _ in 0..40 {
            simulation.step(FAIR)?;
        }
        prop_assert_eq!(simulation.sites.held(), Vec::<String>::new());
    }

    #[test]
    fn a_run_can_be_started_again_after_any_end(seed in any::<u64>(), weather in weather()) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..100 {
            simulation.step(weather)?;
        }
        simulation.finish(FAIR, 4_000)?;
        if simulation.run.state() != RunState::Succeeded {
            simulation.cut.until = simulation.now;
            simulation.tell(Event::Retry { by: org(1), text: "again".into() })?;
            simulation.finish(FAIR, 4_000)?;
        }
        prop_assert_eq!(simulation.run.state(), RunState::Succeeded);
        prop_assert_eq!(simulation.sites.held(), Vec::<String>::new());
    }
}

proptest! {
    // Each night is thousands of steps long.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_run_whose_partners_stay_away_ends_by_itself(seed in any::<u64>(), dark in 0_usize..60) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..dark {
            simulation.step(FAIR)?;
        }
        let night = Weather { loss: 100, ..FAIR };
        simulation.finish(night, 8_000)?;
        let over = simulation.run.ended_at().unwrap();
        let held = simulation.sites.held();
        prop_assert!(held.is_empty(), "at {over}: {held:?}");
    }
}
