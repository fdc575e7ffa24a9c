//! A run that a test drives by hand.

use jiff::{SignedDuration, Timestamp};
use oc_kernel::OrgId;
use oc_workflow::run::{
    Action, Applied, AttemptRef, AttemptResult, Cause, End, Event, FragmentState, Run,
};
use serde_json::json;

use crate::world::{World, now, org};

/// A run and the time it is told.
pub(crate) struct Driven {
    pub(crate) run: Run,
    pub(crate) now: Timestamp,
}

impl Driven {
    pub(crate) fn new(world: &World) -> Self {
        let mut driven = Self {
            run: world.run(),
            now: now(),
        };
        driven.tell(Event::Tick);
        driven
    }

    pub(crate) fn tell(&mut self, event: Event) -> Applied {
        self.run.apply(event, self.now)
    }

    pub(crate) fn wait(&mut self, seconds: i64) -> Applied {
        self.now += SignedDuration::from_secs(seconds);
        self.tell(Event::Tick)
    }

    pub(crate) fn actions(&self) -> Vec<Action> {
        self.run.outstanding(self.now)
    }

    pub(crate) fn states(&self) -> Vec<FragmentState> {
        self.run
            .fragments()
            .iter()
            .map(|fragment| fragment.state)
            .collect()
    }

    pub(crate) fn reserve_data(&mut self) {
        let until = self.now + SignedDuration::from_secs(120);
        for action in self.actions() {
            if let Action::ReserveData { input, serial } = action {
                let reservation = format!("data-{input}");
                self.tell(Event::DataReserved {
                    input,
                    serial,
                    reservation,
                    until,
                });
            }
        }
    }

    pub(crate) fn renew_data(&mut self) {
        self.tell(Event::DataReserved {
            input: "images".into(),
            serial: 1,
            reservation: "data-images".into(),
            until: self.now + SignedDuration::from_secs(120),
        });
    }

    pub(crate) fn hold(&mut self, at: AttemptRef) {
        let until = self.now + SignedDuration::from_secs(30);
        self.tell(Event::CapacityReserved {
            at,
            reservation: "hold".into(),
            until,
        });
    }

    pub(crate) fn submit(&mut self, at: AttemptRef) {
        self.hold(at);
        let life = SignedDuration::from_secs(15);
        self.tell(Event::Submitted {
            at,
            lease: "lease".into(),
            life,
        });
    }

    pub(crate) fn succeed(&mut self, at: AttemptRef) -> Applied {
        let result = AttemptResult {
            outputs: json!({}),
            objects: vec![],
        };
        self.tell(Event::Ended {
            at,
            end: End::Succeeded(result),
        })
    }

    /// A run of the story whose only fragment has been submitted.
    pub(crate) fn submitted() -> Self {
        let mut driven = Self::new(&World::story());
        driven.reserve_data();
        driven.submit(FIRST);
        driven
    }

    pub(crate) fn give_back(&mut self) {
        for action in self.actions() {
            match action {
                Action::ReleaseCapacity { at, .. } => self.tell(Event::CapacityReleased { at }),
                Action::ReleaseData { input, serial, .. } => {
                    self.tell(Event::DataReleased { input, serial })
                }
                _ => continue,
            };
        }
    }

    pub(crate) fn settle(&mut self) {
        for action in self.actions() {
            if let Action::SettleBooks { grant } = action {
                self.tell(Event::Settled {
                    grant,
                    dispute: None,
                });
            }
        }
    }
}

pub(crate) const FIRST: AttemptRef = AttemptRef {
    fragment: 0,
    attempt: 1,
};
pub(crate) const SECOND: AttemptRef = AttemptRef {
    fragment: 0,
    attempt: 2,
};

pub(crate) fn south() -> OrgId {
    org(2)
}

pub(crate) fn cause(word: &str) -> Cause {
    Cause::new(word, format!("because {word}"), south(), now())
}
