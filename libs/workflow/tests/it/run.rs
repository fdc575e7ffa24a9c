//! The run's own story, event by event.

use oc_workflow::run::{
    Action, AttemptRef, Change, End, Event, FragmentState, Hold, Phase, Run, RunState, code,
};

use crate::driven::{Driven, FIRST, SECOND, cause, south};
use crate::world::{World, later, org};

#[test]
fn a_run_goes_from_plan_to_results_and_holds_nothing_afterwards() {
    let mut driven = Driven::new(&World::story());
    assert_eq!(driven.run.state(), RunState::Reserving);
    assert_eq!(
        driven.actions(),
        [Action::ReserveData {
            input: "images".into(),
            serial: 1
        }]
    );
    driven.reserve_data();
    assert_eq!(driven.run.state(), RunState::Running);
    assert_eq!(driven.actions(), [Action::ReserveCapacity { at: FIRST }]);
    driven.hold(FIRST);
    assert_eq!(
        driven.actions(),
        [Action::Submit {
            at: FIRST,
            reservation: "hold".into()
        }]
    );
    driven.submit(FIRST);
    assert_eq!(driven.actions(), [Action::Watch { at: FIRST }]);
    for (phase, state) in [
        (Phase::Staging, FragmentState::Staging),
        (Phase::Running, FragmentState::Running),
        (Phase::Storing, FragmentState::Storing),
    ] {
        driven.tell(Event::Progress { at: FIRST, phase });
        assert_eq!(driven.states(), [state]);
    }
    driven.succeed(FIRST);
    assert_eq!(driven.run.state(), RunState::Publishing);
    assert!(driven.actions().contains(&Action::Publish));
    driven.tell(Event::Published);
    assert_eq!(driven.run.state(), RunState::Releasing);
    driven.give_back();
    assert!(!driven.run.holds_anything());
    assert!(matches!(driven.actions()[..], [Action::SettleBooks { .. }]));
    driven.settle();
    assert_eq!(driven.run.state(), RunState::Succeeded);
    assert_eq!(driven.run.cause().text, "the results are published");
    assert_eq!((driven.actions(), driven.run.wake_at()), (vec![], None));
}

#[test]
fn every_transition_tells_its_cause_and_who_brought_it_about() {
    let mut driven = Driven::new(&World::story());
    driven.reserve_data();
    let seen = driven.tell(Event::CapacityReserved {
        at: FIRST,
        reservation: "hold".into(),
        until: later(30),
    });
    assert!(seen.durable);
    let transition = &seen.transitions[0];
    let state = FragmentState::Reserving;
    assert_eq!(transition.change, Change::Fragment { index: 0, state });
    assert_eq!(transition.cause.text, "South holds capacity for it");
    assert_eq!(transition.cause.by, south());
}

#[test]
fn a_fragment_starts_when_all_it_reads_from_is_done() {
    let mut driven = Driven::new(&World::three_sites());
    driven.reserve_data();
    assert_eq!(driven.states()[2], FragmentState::Waiting);
    let at = |fragment| AttemptRef {
        fragment,
        attempt: 1,
    };
    driven.submit(at(0));
    driven.submit(at(1));
    driven.succeed(at(1));
    assert_eq!(driven.states()[2], FragmentState::Waiting);
    let wait = driven.run.fragment_wait(2).unwrap();
    assert_eq!(wait.what, "the outputs of optical");
    driven.succeed(at(0));
    assert!(
        driven
            .actions()
            .contains(&Action::ReserveCapacity { at: at(2) })
    );
}

#[test]
fn a_renewal_that_is_due_need_not_be_stored() {
    let mut driven = Driven::submitted();
    assert!(!driven.wait(5).durable);
    let renewal = Action::RenewLease {
        at: FIRST,
        lease: "lease".into(),
    };
    assert!(driven.actions().contains(&renewal));
    assert!(!driven.tell(Event::Renewed { at: FIRST }).durable);
    assert!(!driven.actions().contains(&renewal));
}

#[test]
fn a_run_can_be_cancelled_at_any_point_and_then_holds_nothing() {
    let points: [fn() -> Driven; 5] = [
        || Driven::new(&World::story()),
        || {
            let mut driven = Driven::new(&World::story());
            driven.reserve_data();
            driven
        },
        || {
            let mut driven = Driven::new(&World::story());
            driven.reserve_data();
            driven.hold(FIRST);
            driven
        },
        Driven::submitted,
        || {
            let mut driven = Driven::submitted();
            driven.succeed(FIRST);
            driven
        },
    ];
    for point in points {
        let mut driven = point();
        driven.tell(Event::Cancel {
            by: org(1),
            text: "stopped by ada".into(),
        });
        assert_eq!(driven.run.state(), RunState::Releasing);
        driven.tell(Event::Ended {
            at: FIRST,
            end: End::Cancelled(cause(code::CANCELLED)),
        });
        driven.give_back();
        driven.settle();
        assert_eq!(
            driven.run.state(),
            RunState::Cancelled,
            "{:?}",
            driven.actions()
        );
        assert_eq!(driven.run.cause().text, "stopped by ada");
        assert!(!driven.run.holds_anything());
        let again = driven.tell(Event::Cancel {
            by: org(1),
            text: "again".into(),
        });
        assert!(!again.durable);
    }
}

#[test]
fn a_failed_run_is_started_again_with_what_is_missing_only() {
    let mut driven = Driven::new(&World::three_sites());
    driven.reserve_data();
    let at = |fragment, attempt| AttemptRef { fragment, attempt };
    driven.submit(at(0, 1));
    driven.submit(at(1, 1));
    driven.succeed(at(0, 1));
    driven.tell(Event::Ended {
        at: at(1, 1),
        end: End::Failed(cause(code::TOOL_FAILED)),
    });
    driven.give_back();
    driven.settle();
    assert_eq!(driven.run.state(), RunState::Failed);
    let retry = Event::Retry {
        by: org(1),
        text: "again, by ada".into(),
    };
    assert!(driven.tell(retry.clone()).durable);
    assert!(!driven.tell(retry).durable);
    assert_eq!(driven.run.state(), RunState::Reserving);
    assert_eq!(
        driven.states(),
        [
            FragmentState::Succeeded,
            FragmentState::Waiting,
            FragmentState::Waiting
        ]
    );
    // Only what the unfinished fragments read is reserved again, under a new name.
    assert_eq!(
        driven.actions(),
        [Action::ReserveData {
            input: "radar".into(),
            serial: 2
        }]
    );
    driven.reserve_data();
    assert!(
        driven
            .actions()
            .contains(&Action::ReserveCapacity { at: at(1, 2) })
    );
}

#[test]
fn after_a_restart_leases_and_fences_are_counted_anew() {
    let mut driven = Driven::submitted();
    driven.tell(Event::Progress {
        at: FIRST,
        phase: Phase::Running,
    });
    let stored = serde_json::to_string(&driven.run).unwrap();
    let mut back: Run = serde_json::from_str(&stored).unwrap();
    assert_eq!(back, driven.run);
    // A minute of darkness: the site may or may not have kept the lease; it is asked first.
    let wake = later(60);
    back.apply(Event::Resumed, wake);
    assert_eq!(back.fragments()[0].state, FragmentState::Running);
    assert!(
        back.outstanding(wake)
            .contains(&Action::Watch { at: FIRST })
    );
    // What was being stopped may have been renewed just before the crash.
    driven.tell(Event::Cancel {
        by: org(1),
        text: "stop".into(),
    });
    driven.run.apply(Event::Resumed, later(60));
    let attempt = &driven.run.fragments()[0].attempts[0];
    assert_eq!(attempt.fence, Some(later(60 + 5 + 15 + 2)));
}

#[test]
fn late_and_foreign_news_change_nothing() {
    let mut driven = Driven::submitted();
    driven.tell(Event::Progress {
        at: FIRST,
        phase: Phase::Running,
    });
    let before = driven.run.clone();
    for event in [
        Event::Progress {
            at: FIRST,
            phase: Phase::Staging,
        },
        Event::Progress {
            at: SECOND,
            phase: Phase::Storing,
        },
        Event::Ended {
            at: SECOND,
            end: End::Failed(cause(code::TOOL_FAILED)),
        },
        Event::CapacityReleased { at: FIRST },
        Event::CapacityReserved {
            at: FIRST,
            reservation: "other".into(),
            until: later(99),
        },
        Event::DataReleased {
            input: "images".into(),
            serial: 1,
        },
        Event::DataReserved {
            input: "other".into(),
            serial: 1,
            reservation: "x".into(),
            until: later(999),
        },
        Event::Renewed {
            at: AttemptRef {
                fragment: 9,
                attempt: 1,
            },
        },
        Event::Published,
        Event::Retry {
            by: org(1),
            text: String::new(),
        },
    ] {
        assert!(!driven.tell(event).durable);
    }
    assert_eq!(driven.run, before);
    assert!(matches!(
        driven.run.fragments()[0].attempts[0].hold,
        Hold::Held { .. }
    ));
}
