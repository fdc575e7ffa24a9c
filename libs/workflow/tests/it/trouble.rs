//! What a run does when something does not go as planned.

use oc_workflow::run::{
    Action, AttemptRef, End, Event, FragmentState, Outcome, Phase, RunState, code,
};

use crate::driven::{Driven, FIRST, SECOND, cause};
use crate::world::{World, later};

#[test]
fn data_that_cannot_be_reserved_ends_the_run_before_anything_runs() {
    let mut driven = Driven::new(&World::story());
    let action = driven.actions().remove(0);
    driven.tell(Event::Trouble {
        action,
        cause: cause(code::DATA_GONE),
        lasting: true,
    });
    assert_eq!(driven.run.state(), RunState::Failed);
    assert_eq!(
        driven.run.cause().text,
        "input `images` cannot be reserved at South: because data-gone"
    );
    assert!(!driven.run.holds_anything());
}

#[test]
fn a_data_provider_that_never_answers_ends_the_run_in_time_with_its_cause() {
    let mut driven = Driven::new(&World::story());
    let action = driven.actions().remove(0);
    driven.tell(Event::Trouble {
        action,
        cause: cause(code::UNREACHABLE),
        lasting: false,
    });
    assert!(driven.run.cause().text.contains("because unreachable"));
    driven.wait(60);
    assert_eq!(driven.run.state(), RunState::Releasing);
    // The reservation may exist without our knowing: it is given back, or waited out.
    assert!(matches!(driven.actions()[..], [Action::ReleaseData { .. }]));
    driven.wait(127);
    assert_eq!(driven.run.state(), RunState::Failed);
    let text = &driven.run.cause().text;
    assert!(
        text.starts_with("waited 1 min for South to reserve input `images`"),
        "{text}"
    );
}

#[test]
fn reserved_data_are_renewed_and_asked_for_anew_when_they_lapse() {
    let mut driven = Driven::new(&World::story());
    driven.reserve_data();
    driven.wait(40);
    let renewal = Action::RenewData {
        input: "images".into(),
        serial: 1,
        reservation: "data-images".into(),
    };
    assert!(driven.actions().contains(&renewal));
    driven.tell(Event::DataReserved {
        input: "images".into(),
        serial: 1,
        reservation: "data-images".into(),
        until: later(160),
    });
    assert!(!driven.actions().contains(&renewal));
    driven.wait(120);
    let again = Action::ReserveData {
        input: "images".into(),
        serial: 2,
    };
    assert!(driven.actions().contains(&again), "{:?}", driven.actions());
}

#[test]
fn a_full_site_is_asked_until_the_waiting_time_is_over_then_another_one() {
    let mut driven = Driven::new(&World::story());
    driven.reserve_data();
    let action = Action::ReserveCapacity { at: FIRST };
    let full = || Event::Trouble {
        action: action.clone(),
        cause: cause(code::FULL),
        lasting: false,
    };
    assert!(driven.tell(full()).durable);
    assert!(!driven.tell(full()).durable);
    let wait = driven.run.fragment_wait(0).unwrap();
    assert_eq!(
        (wait.what.as_str(), wait.until),
        ("capacity at South", Some(later(600)))
    );
    for _ in 0..10 {
        driven.wait(60);
        driven.renew_data();
    }
    let fragment = &driven.run.fragments()[0];
    assert_eq!(fragment.place().name, "North");
    assert_eq!(fragment.attempts[0].outcome, Some(Outcome::Cancelled));
    assert!(
        driven
            .actions()
            .contains(&Action::ReserveCapacity { at: SECOND })
    );
    // The hold at South may exist all the same.
    let release = Action::ReleaseCapacity {
        at: FIRST,
        reservation: None,
    };
    assert!(driven.actions().contains(&release));
}

#[test]
fn a_failed_tool_is_not_tried_again_and_its_words_reach_the_run() {
    let mut driven = Driven::submitted();
    let end = End::Failed(cause(code::TOOL_FAILED));
    driven.tell(Event::Ended { at: FIRST, end });
    assert_eq!(driven.run.state(), RunState::Releasing);
    driven.give_back();
    driven.settle();
    assert_eq!(driven.run.state(), RunState::Failed);
    assert_eq!(
        driven.run.cause().text,
        "colour, index: because tool-failed"
    );
    assert!(driven.run.cause().advice.contains("log lines"));
}

#[test]
fn what_may_pass_is_tried_again_as_often_as_allowed() {
    let mut driven = Driven::submitted();
    for number in 1..=3 {
        let at = AttemptRef {
            fragment: 0,
            attempt: number,
        };
        driven.submit(at);
        driven.tell(Event::Ended {
            at,
            end: End::Failed(cause(code::CHECKSUM)),
        });
    }
    let fragment = &driven.run.fragments()[0];
    assert_eq!(
        (fragment.state, fragment.attempts.len()),
        (FragmentState::Failed, 3)
    );
}

#[test]
fn a_silent_site_is_reported_within_ten_seconds_and_fenced_before_the_next_attempt() {
    let mut driven = Driven::submitted();
    driven.wait(9);
    let fragment = &driven.run.fragments()[0];
    assert_eq!(fragment.cause.text, "South has not answered for 9 s");
    let wait = driven.run.fragment_wait(0).unwrap();
    assert_eq!(wait.until, Some(later(15)));
    driven.wait(6);
    assert_eq!(driven.states(), [FragmentState::Lost]);
    assert_eq!(driven.actions(), [Action::Cancel { at: FIRST }]);
    // One call, one life of the lease, and the drift.
    driven.wait(21);
    assert_eq!(driven.run.fragments()[0].attempts.len(), 1);
    driven.wait(1);
    let fragment = &driven.run.fragments()[0];
    assert_eq!(fragment.attempts[0].outcome, Some(Outcome::Lost));
    assert_eq!(fragment.attempts[1].place.name, "North");
}

#[test]
fn the_sites_word_lifts_the_fence_at_once() {
    let mut driven = Driven::submitted();
    driven.wait(15);
    driven.tell(Event::Ended {
        at: FIRST,
        end: End::Cancelled(cause(code::CANCELLED)),
    });
    assert_eq!(driven.run.fragments()[0].attempts.len(), 2);
    // The reason is that the lease was lost, not that we then cancelled.
    let mut again = Driven::submitted();
    again.wait(15);
    again.succeed(FIRST);
    assert_eq!(again.states(), [FragmentState::Succeeded]);
}

#[test]
fn a_site_that_answers_again_in_time_goes_on() {
    let mut driven = Driven::submitted();
    driven.tell(Event::Progress {
        at: FIRST,
        phase: Phase::Running,
    });
    driven.wait(9);
    driven.tell(Event::Renewed { at: FIRST });
    let fragment = &driven.run.fragments()[0];
    assert_eq!(fragment.state, FragmentState::Running);
    assert_eq!(fragment.cause.text, "South answers again");
    driven.wait(10);
    assert_eq!(driven.states(), [FragmentState::Running]);
}

#[test]
fn a_submission_without_an_answer_is_fenced_and_a_refused_one_is_not() {
    let refuse = |before: bool| {
        let mut driven = Driven::new(&World::story());
        driven.reserve_data();
        driven.hold(FIRST);
        let action = driven.actions().remove(0);
        let trouble = |lasting, word| Event::Trouble {
            action: action.clone(),
            cause: cause(word),
            lasting,
        };
        if before {
            driven.tell(trouble(false, code::UNREACHABLE));
        }
        driven.tell(trouble(true, code::GRANT_REVOKED));
        driven
    };
    assert_eq!(refuse(false).run.fragments()[0].place().name, "North");
    assert_eq!(refuse(true).states(), [FragmentState::Stopping]);
}

#[test]
fn a_lease_the_site_denies_is_asked_about_before_it_is_given_up() {
    let mut driven = Driven::submitted();
    let action = Action::RenewLease {
        at: FIRST,
        lease: "lease".into(),
    };
    driven.tell(Event::Trouble {
        action,
        cause: cause(code::LEASE_LOST),
        lasting: true,
    });
    assert_eq!(driven.actions(), [Action::Cancel { at: FIRST }]);
    driven.succeed(FIRST);
    assert_eq!(driven.states(), [FragmentState::Succeeded]);
}

#[test]
fn a_fragment_past_its_wall_time_is_stopped_and_fails() {
    let mut driven = Driven::submitted();
    driven.tell(Event::Progress {
        at: FIRST,
        phase: Phase::Running,
    });
    let wall = i64::try_from(driven.run.plan().fragments[0].wall_seconds).unwrap();
    for _ in 0..(wall + 300) / 5 {
        driven.tell(Event::Renewed { at: FIRST });
        driven.renew_data();
        driven.wait(5);
    }
    assert_eq!(driven.states(), [FragmentState::Stopping]);
    driven.tell(Event::Ended {
        at: FIRST,
        end: End::Cancelled(cause(code::CANCELLED)),
    });
    assert_eq!(driven.states(), [FragmentState::Failed]);
    assert_eq!(driven.run.fragments()[0].cause.code, code::TIMED_OUT);
}

#[test]
fn books_that_stay_open_do_not_keep_the_run_from_ending() {
    let mut driven = Driven::submitted();
    driven.succeed(FIRST);
    driven.tell(Event::Published);
    driven.give_back();
    let action = driven.actions().remove(0);
    let cause = cause(code::DISPUTE);
    driven.tell(Event::Trouble {
        action,
        cause,
        lasting: false,
    });
    driven.wait(30);
    assert_eq!(driven.run.state(), RunState::Succeeded);
    assert!(
        driven
            .run
            .cause()
            .text
            .ends_with("are open: because dispute")
    );
}
