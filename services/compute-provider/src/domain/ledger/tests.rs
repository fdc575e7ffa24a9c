//! Each rule of the ledger by itself.

use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{
    AttemptId, Classify, FragmentId, GrantId, Kind, LeaseId, OrgId, ReservationId, RunId,
};

use super::*;
use crate::domain::resources::{Resources, Taken};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const WIDE: Limits = Limits {
    cores: 64,
    memory_bytes: 1 << 40,
    fragments: 64,
    core_seconds: 1 << 40,
    egress_bytes: 1 << 40,
    storage_bytes: 1 << 40,
    run_wall_seconds: 1 << 20,
};

fn attempt() -> AttemptKey {
    AttemptKey {
        org: OrgId::from_digest([7; 32]),
        run: RunId::new(),
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
    }
}

fn key(attempt: AttemptKey, operation: &str) -> OperationKey {
    OperationKey {
        attempt,
        operation: operation.parse().unwrap(),
    }
}

fn ledger() -> Ledger {
    let capacity = Capacity {
        cores: 2,
        memory_bytes: 1 << 30,
        fragments: 2,
    };
    Ledger::new("cpu".parse().unwrap(), capacity)
}

fn demand() -> Demand {
    Demand {
        resources: Resources {
            cores: 1,
            memory_bytes: 1 << 20,
        },
        wall_ms: 60_000,
    }
}

fn reserve(attempt: AttemptKey, terms: Option<Terms>) -> Reserve {
    Reserve {
        key: key(attempt, "reserve"),
        body: Digest::of(b"reserve"),
        reservation: ReservationId::new(),
        terms,
        demand: demand(),
        hold_for: Duration::from_secs(10),
    }
}

fn submit(attempt: AttemptKey, reservation: ReservationId) -> Submit {
    Submit {
        key: key(attempt, "submit"),
        body: Digest::of(b"submit"),
        reservation,
        lease: LeaseId::new(),
        payload: Digest::of(b"payload"),
    }
}

fn terms(grant: GrantId, generation: u64, limits: Limits) -> Option<Terms> {
    Some(Terms {
        grant,
        generation,
        limits,
    })
}

/// Reserves and submits; the lease's id.
fn run(ledger: &mut Ledger, attempt: AttemptKey, terms: Option<Terms>) -> LeaseId {
    let reserve = reserve(attempt, terms);
    let reservation = reserve.reservation;
    ledger.apply(Command::Reserve(reserve), NOW).unwrap();
    match ledger
        .apply(Command::Submit(submit(attempt, reservation)), NOW)
        .unwrap()
    {
        Outcome::Leased { lease } => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_offer_says_what_is_short_and_by_how_much() {
    let mut ledger = ledger();
    for _ in 0..2 {
        ledger
            .apply(Command::Reserve(reserve(attempt(), None)), NOW)
            .unwrap();
    }
    let error = ledger
        .apply(Command::Reserve(reserve(attempt(), None)), NOW)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted);
    assert_eq!(
        error.to_string(),
        "offer `cpu` is full: 1 cores asked, 2 of 2 taken; try again when others end"
    );
}

#[test]
fn an_abandoned_hold_returns_by_itself() {
    let mut ledger = ledger();
    for _ in 0..2 {
        ledger
            .apply(Command::Reserve(reserve(attempt(), None)), NOW)
            .unwrap();
    }
    let later = NOW + Duration::from_secs(10);
    assert_eq!(ledger.taken(later), Taken::default());
    ledger
        .apply(Command::Reserve(reserve(attempt(), None)), later)
        .unwrap();
}

#[test]
fn a_hold_cannot_be_asked_for_longer_than_a_minute() {
    let mut ledger = ledger();
    let mut wish = reserve(attempt(), None);
    wish.hold_for = Duration::from_secs(86_400);
    let Outcome::Held { expires_at, .. } = ledger.apply(Command::Reserve(wish), NOW).unwrap()
    else {
        panic!("not held");
    };
    assert_eq!(expires_at, NOW + Ledger::LONGEST_HOLD);
}

#[test]
fn the_same_operation_again_gets_the_same_answer_and_another_body_a_conflict() {
    let mut ledger = ledger();
    let attempt = attempt();
    let first = reserve(attempt, None);
    let answer = ledger.apply(Command::Reserve(first.clone()), NOW).unwrap();
    let before = ledger.clone();

    let again = Reserve {
        reservation: ReservationId::new(),
        ..first.clone()
    };
    assert_eq!(ledger.apply(Command::Reserve(again), NOW), Ok(answer));
    assert_eq!(ledger, before);

    let other = Reserve {
        body: Digest::of(b"other"),
        ..first
    };
    let error = ledger.apply(Command::Reserve(other), NOW).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn an_expired_or_foreign_reservation_cannot_be_submitted() {
    let mut ledger = ledger();
    let mine = attempt();
    let wish = reserve(mine, None);
    let reservation = wish.reservation;
    ledger.apply(Command::Reserve(wish), NOW).unwrap();

    let thief = ledger.apply(Command::Submit(submit(attempt(), reservation)), NOW);
    assert_eq!(thief, Err(LedgerError::NoReservation { reservation }));
    let late = NOW + Duration::from_secs(10);
    let late = ledger.apply(Command::Submit(submit(mine, reservation)), late);
    assert_eq!(late, Err(LedgerError::NoReservation { reservation }));
}

#[test]
fn a_grant_is_held_to_its_number_of_fragments_at_once() {
    let mut ledger = ledger();
    let grant = GrantId::new();
    let limits = Limits {
        fragments: 1,
        ..WIDE
    };
    run(&mut ledger, attempt(), terms(grant, 1, limits));
    let error = ledger
        .apply(
            Command::Reserve(reserve(attempt(), terms(grant, 1, limits))),
            NOW,
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "grant {grant} allows 1 fragments at once: 1 are used or set aside, 1 more were asked"
        )
    );
}

#[test]
fn many_small_pieces_cannot_exceed_a_total() {
    let mut ledger = ledger();
    let grant = GrantId::new();
    let limits = Limits {
        core_seconds: 150,
        ..WIDE
    };
    let mut used = 0;
    let refused = loop {
        let attempt = attempt();
        let wish = reserve(attempt, terms(grant, 1, limits));
        let reservation = wish.reservation;
        if let Err(error) = ledger.apply(Command::Reserve(wish), NOW) {
            break error;
        }
        ledger
            .apply(Command::Submit(submit(attempt, reservation)), NOW)
            .unwrap();
        let lease = *ledger.lease_of(&attempt).unwrap().0;
        let settle = Settle {
            lease,
            state: EndedState::Succeeded,
            core_ms: 40_000,
        };
        ledger.apply(Command::Settle(settle), NOW).unwrap();
        used += 40_000;
    };
    assert_eq!(used, 120_000);
    assert_eq!(
        refused,
        LedgerError::OverLimit {
            grant,
            amount: Amount::CoreMs,
            asked: 60_000,
            used: 120_000,
            spent: 120_000,
            limit: 150_000
        }
    );
    assert_eq!(refused.kind(), Kind::Forbidden, "it can never fit");
}

#[test]
fn a_raised_generation_stops_what_runs_drops_what_is_held_and_refuses_the_old_one() {
    let mut ledger = ledger();
    let grant = GrantId::new();
    let old = terms(grant, 1, WIDE);
    let lease = run(&mut ledger, attempt(), old.clone());
    let held = attempt();
    let wish = reserve(held, old.clone());
    let reservation = wish.reservation;
    ledger.apply(Command::Reserve(wish), NOW).unwrap();

    let cause = StopCause::GrantRaised;
    ledger
        .apply(
            Command::Raise {
                grant,
                generation: 2,
                cause,
            },
            NOW,
        )
        .unwrap();

    let state = ledger.lease(&lease).unwrap().job.state;
    assert_eq!(
        state,
        JobState::Stopping {
            cause,
            since: NOW,
            started: None
        }
    );
    let submitted = ledger.apply(Command::Submit(submit(held, reservation)), NOW);
    assert_eq!(submitted, Err(LedgerError::NoReservation { reservation }));
    let error = ledger
        .apply(Command::Reserve(reserve(attempt(), old)), NOW)
        .unwrap_err();
    assert_eq!(
        error,
        LedgerError::OldGeneration {
            grant,
            presented: 1,
            current: 2
        }
    );
    let new = terms(grant, 2, WIDE);
    ledger
        .apply(Command::Reserve(reserve(attempt(), new)), NOW)
        .unwrap();
}

#[test]
fn a_stopping_job_keeps_its_capacity_until_nothing_of_it_is_left() {
    let mut ledger = ledger();
    let attempt = attempt();
    let lease = run(&mut ledger, attempt, None);
    ledger.apply(Command::Started { lease }, NOW).unwrap();
    let release = Command::Release {
        key: key(attempt, "release"),
        body: Digest::of(b"r"),
    };
    assert_eq!(ledger.apply(release, NOW), Ok(Outcome::Released));
    assert_eq!(ledger.taken(NOW).fragments, 1);

    let settle = Settle {
        lease,
        state: EndedState::Succeeded,
        core_ms: 9,
    };
    ledger.apply(Command::Settle(settle), NOW).unwrap();
    assert_eq!(ledger.taken(NOW), Taken::default());
    assert_eq!(
        ledger.ended()[0].state,
        EndedState::Stopped(StopCause::Released)
    );
    assert_eq!(ledger.ended()[0].started_at, Some(NOW));
}

#[test]
fn a_release_of_what_was_never_here_leaves_no_trace() {
    let mut ledger = ledger();
    let before = ledger.clone();
    let release = Command::Release {
        key: key(attempt(), "release"),
        body: Digest::of(b"r"),
    };
    assert_eq!(ledger.apply(release, NOW), Ok(Outcome::Released));
    assert_eq!(ledger, before);
}

#[test]
fn an_offer_does_not_shrink_below_what_is_in_use_and_a_withdrawn_one_takes_nothing() {
    let mut ledger = ledger();
    run(&mut ledger, attempt(), None);
    let capacity = Capacity {
        cores: 0,
        memory_bytes: 1 << 30,
        fragments: 2,
    };
    let error = ledger.apply(Command::Resize { capacity }, NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 cores are in use: the offer cannot shrink to 0 before they end"
    );
    ledger.apply(Command::Close { closed: true }, NOW).unwrap();
    let error = ledger
        .apply(Command::Reserve(reserve(attempt(), None)), NOW)
        .unwrap_err();
    assert_eq!(
        error,
        LedgerError::Withdrawn {
            offer: "cpu".parse().unwrap()
        }
    );
}

#[test]
fn an_account_goes_only_when_nothing_of_its_grant_is_left() {
    let mut ledger = ledger();
    let grant = GrantId::new();
    let attempt = attempt();
    let lease = run(&mut ledger, attempt, terms(grant, 1, WIDE));
    let forget = || Command::Forget { grant };
    assert_eq!(
        ledger.apply(forget(), NOW),
        Err(LedgerError::GrantInUse { grant })
    );

    let settle = Settle {
        lease,
        state: EndedState::Failed,
        core_ms: 1,
    };
    ledger.apply(Command::Settle(settle), NOW).unwrap();
    let answers = ledger.answers().map(|(key, _)| key.clone()).collect();
    ledger
        .apply(
            Command::Moved {
                answers,
                ended: vec![lease],
            },
            NOW,
        )
        .unwrap();
    ledger.apply(forget(), NOW).unwrap();
    assert_eq!(ledger.account(&grant), None);
    assert!(
        !serde_json::to_string(&ledger)
            .unwrap()
            .contains(&grant.to_string())
    );
}
