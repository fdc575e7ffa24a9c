//! Ledgers under many writers, on a real store.

use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{AttemptId, Digest, FixedClock, FragmentId, LeaseId, OrgId, ReservationId, RunId};
use oc_store::{SqliteStore, Store};
use serde_json::json;
use tokio::task::JoinSet;

use super::*;
use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::ledger::{Demand, EndedState, Reserve, Settle, Submit};
use crate::domain::resources::Resources;

fn offer() -> Name {
    "cpu".parse().unwrap()
}

async fn ledgers(store: &Arc<dyn Store>) -> Arc<Ledgers> {
    let clock = Arc::new(FixedClock::new(Timestamp::UNIX_EPOCH));
    let ledgers = Ledgers::new(Shelf::new(store), clock);
    let capacity = Capacity {
        cores: 8,
        memory_bytes: 1 << 30,
        fragments: 8,
    };
    ledgers.open(&offer(), capacity).await.unwrap();
    Arc::new(ledgers)
}

async fn store() -> Arc<dyn Store> {
    Arc::new(SqliteStore::temporary().await.unwrap())
}

fn attempt() -> AttemptKey {
    AttemptKey {
        org: OrgId::from_digest([7; 32]),
        run: RunId::new(),
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
    }
}

fn reserve(attempt: AttemptKey) -> Reserve {
    Reserve {
        key: OperationKey {
            attempt,
            operation: "reserve".parse().unwrap(),
        },
        body: Digest::of(b"reserve"),
        reservation: ReservationId::new(),
        terms: None,
        demand: Demand {
            resources: Resources {
                cores: 1,
                memory_bytes: 1,
            },
            wall_ms: 1000,
        },
        hold_for: Duration::from_secs(30),
    }
}

/// Reserves, submits, and settles with an event.
async fn run(ledgers: &Ledgers) -> Result<(), Error> {
    let attempt = attempt();
    let wish = reserve(attempt);
    let reservation = wish.reservation;
    ledgers.apply(&offer(), Command::Reserve(wish)).await?;
    let lease = LeaseId::new();
    let submit = Submit {
        key: OperationKey {
            attempt,
            operation: "submit".parse().unwrap(),
        },
        body: Digest::of(b"submit"),
        reservation,
        lease,
        payload: Digest::of(b"job"),
    };
    ledgers.apply(&offer(), Command::Submit(submit)).await?;
    for _ in 0..2 {
        let settle = Settle {
            lease,
            state: EndedState::Succeeded,
            core_ms: 5,
        };
        let event = OutboxEvent::new("oc.test.v1", "s", json!({ "lease": lease }));
        ledgers
            .settle(&offer(), Command::Settle(settle), vec![event])
            .await?;
    }
    Ok(())
}

async fn held(ledgers: &[Arc<Ledgers>]) -> usize {
    let mut tries = JoinSet::new();
    for at in 0..64 {
        let ledgers = ledgers[at % ledgers.len()].clone();
        tries.spawn(async move {
            ledgers
                .apply(&offer(), Command::Reserve(reserve(attempt())))
                .await
                .is_ok()
        });
    }
    tries
        .join_all()
        .await
        .into_iter()
        .filter(|held| *held)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_reservations_at_once_get_exactly_what_there_is() {
    let store = store().await;
    let ledgers = ledgers(&store).await;
    assert_eq!(held(std::slice::from_ref(&ledgers)).await, 8);
    assert_eq!(
        ledgers
            .read(&offer())
            .await
            .unwrap()
            .taken(Timestamp::UNIX_EPOCH)
            .cores,
        8
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_store_do_not_oversell_either() {
    let store = store().await;
    let two = [ledgers(&store).await, ledgers(&store).await];
    assert_eq!(held(&two).await, 8);
    assert_eq!(
        two[0]
            .read(&offer())
            .await
            .unwrap()
            .taken(Timestamp::UNIX_EPOCH)
            .cores,
        8
    );
}

#[tokio::test]
async fn an_end_is_told_once_however_often_it_is_reported() {
    let store = store().await;
    let ledgers = ledgers(&store).await;
    run(&ledgers).await.unwrap();
    assert_eq!(store.outbox(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn settled_entries_move_out_and_are_answered_from_there() {
    let store = store().await;
    let ledgers = ledgers(&store).await;
    let wish = reserve(attempt());
    let first = ledgers
        .apply(&offer(), Command::Reserve(wish.clone()))
        .await
        .unwrap();
    for _ in 0..200 {
        run(&ledgers).await.unwrap();
    }
    let ledger = ledgers.read(&offer()).await.unwrap();
    assert!(ledger.answers().count() + ledger.ended().len() <= Ledger::MOST_SETTLED + 2);
    assert!(ledger.answer(&wish.key).is_none(), "it has moved");
    let again = ledgers
        .apply(&offer(), Command::Reserve(wish.clone()))
        .await
        .unwrap();
    assert_eq!(again, first);
    let other = Reserve {
        body: Digest::of(b"other"),
        ..wish
    };
    let refused = ledgers
        .apply(&offer(), Command::Reserve(other))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Ledger(LedgerError::OtherBody { .. })),
        "{refused}"
    );
}

#[tokio::test]
async fn an_offer_without_a_ledger_is_unknown() {
    let store = store().await;
    let ledgers = ledgers(&store).await;
    let none = "none".parse().unwrap();
    let refused = ledgers
        .apply(&none, Command::Reserve(reserve(attempt())))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Unknown { .. }), "{refused}");
}
