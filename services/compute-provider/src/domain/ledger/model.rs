//! A provider under random messages, crashes and slow runtimes, checked after every step against the
//! invariants of architecture.md.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{AttemptId, FragmentId, GrantId, LeaseId, Name, OrgId, ReservationId, RunId};
use proptest::prelude::*;

use super::*;
use crate::domain::resources::{Resources, Taken};
use crate::domain::supervise::{Action, orphans, supervise};

const CAPACITY: Capacity = Capacity {
    cores: 8,
    memory_bytes: 1000,
    fragments: 3,
};
const GRANT_LIMITS: Limits = Limits {
    cores: 8,
    memory_bytes: 1000,
    fragments: 2,
    core_seconds: 60,
    egress_bytes: 5000,
    storage_bytes: 0,
    run_wall_seconds: 30,
};

/// One thing that can happen to a provider. Numbers pick among a few attempts and grants.
#[derive(Debug, Clone)]
enum Step {
    Reserve {
        attempt: usize,
        operation: u8,
        cores: u32,
        wall_s: u64,
        body: u8,
    },
    Submit {
        attempt: usize,
        operation: u8,
        body: u8,
    },
    Release {
        attempt: usize,
        body: u8,
    },
    Raise {
        grant: usize,
    },
    LeaseLost {
        attempt: usize,
    },
    JobEnds {
        attempt: usize,
    },
    Supervise,
    Crash,
    MoveSettled,
    Wait {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let attempt = 0..6_usize;
    prop_oneof![
        4 => (attempt.clone(), 0..2_u8, prop::sample::select(vec![1, 2, 4, 8, 9]), 1..30_u64, 0..2_u8)
            .prop_map(|(attempt, operation, cores, wall_s, body)| Step::Reserve { attempt, operation, cores, wall_s, body }),
        4 => (attempt.clone(), 0..2_u8, 0..2_u8)
            .prop_map(|(attempt, operation, body)| Step::Submit { attempt, operation, body }),
        2 => (attempt.clone(), 0..2_u8).prop_map(|(attempt, body)| Step::Release { attempt, body }),
        1 => (0..2_usize).prop_map(|grant| Step::Raise { grant }),
        1 => attempt.clone().prop_map(|attempt| Step::LeaseLost { attempt }),
        2 => attempt.prop_map(|attempt| Step::JobEnds { attempt }),
        5 => Just(Step::Supervise),
        1 => Just(Step::Crash),
        2 => Just(Step::MoveSettled),
        2 => (1..20_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// The ledger, the documents beside it, the processes, and what the consumer was told.
struct World {
    ledger: Ledger,
    now: Timestamp,
    attempts: Vec<(AttemptKey, Option<GrantId>)>,
    generations: BTreeMap<GrantId, u64>,
    moved_answers: BTreeMap<OperationKey, Answer>,
    moved_ended: Vec<Ended>,
    running: BTreeSet<AttemptKey>,
    reservations: BTreeMap<AttemptKey, ReservationId>,
    told: BTreeMap<OperationKey, (Digest, Outcome)>,
    starts: BTreeMap<LeaseId, AttemptKey>,
}

impl World {
    fn new() -> Self {
        let grants = [GrantId::new(), GrantId::new()];
        let attempts = (0..6)
            .map(|i| {
                let key = AttemptKey {
                    org: OrgId::from_digest([u8::try_from(i % 3).unwrap(); 32]),
                    run: RunId::new(),
                    fragment: FragmentId::new(),
                    attempt: AttemptId::new(),
                };
                (key, grants.get(i % 3).copied())
            })
            .collect();
        Self {
            ledger: Ledger::new("cpu".parse().unwrap(), CAPACITY),
            now: Timestamp::UNIX_EPOCH,
            attempts,
            generations: grants.into_iter().map(|grant| (grant, 1)).collect(),
            moved_answers: BTreeMap::new(),
            moved_ended: Vec::new(),
            running: BTreeSet::new(),
            reservations: BTreeMap::new(),
            told: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }

    fn key(&self, attempt: usize, operation: &str) -> OperationKey {
        let operation: Name = operation.parse().unwrap();
        OperationKey {
            attempt: self.attempts[attempt].0,
            operation,
        }
    }

    /// What the service does for a call: the kept answer first, wherever it is, then the ledger.
    fn call(&mut self, key: OperationKey, body: Digest, command: Command) {
        self.apply(Command::Expire);
        let before = self.ledger.clone();
        let kept = self
            .moved_answers
            .get(&key)
            .map(|answer| answer.repeat(&key, &body));
        let answer = kept.unwrap_or_else(|| self.ledger.apply(command, self.now));
        match answer {
            Ok(outcome) => {
                if let Some((first_body, first)) = self.told.get(&key) {
                    assert_eq!(
                        *first_body, body,
                        "no_effect_twice: another body was accepted"
                    );
                    assert_eq!(*first, outcome, "no_effect_twice: another answer");
                }
                if let Outcome::Held { reservation, .. } = outcome {
                    self.reservations.insert(key.attempt, reservation);
                }
                // A release of something that was never here is not kept, and has no effect either.
                if before != self.ledger || self.told.contains_key(&key) {
                    self.told.insert(key, (body, outcome));
                }
            }
            Err(_) => assert_eq!(before, self.ledger, "a refused command changed the ledger"),
        }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Reserve {
                attempt,
                operation,
                cores,
                wall_s,
                body,
            } => {
                let (attempt_key, grant) = self.attempts[attempt];
                if self.had_lease(&attempt_key) {
                    return; // the service refuses an attempt that ran already, from its own document
                }
                let key = self.key(attempt, &format!("reserve-{operation}"));
                let body = Digest::of(&[body]);
                let reserve = Reserve {
                    key: key.clone(),
                    body,
                    reservation: ReservationId::new(),
                    terms: grant.map(|grant| Terms {
                        grant,
                        generation: self.generations[&grant],
                        limits: GRANT_LIMITS,
                    }),
                    demand: Demand {
                        resources: Resources {
                            cores,
                            memory_bytes: 300,
                        },
                        wall_ms: wall_s * 1000,
                    },
                    hold_for: Duration::from_secs(10),
                };
                self.call(key, body, Command::Reserve(reserve));
            }
            Step::Submit {
                attempt,
                operation,
                body,
            } => {
                let key = self.key(attempt, &format!("submit-{operation}"));
                let Some(reservation) = self.reservations.get(&key.attempt).copied() else {
                    return;
                };
                let body = Digest::of(&[body]);
                let submit = Submit {
                    key: key.clone(),
                    body,
                    reservation,
                    lease: LeaseId::new(),
                    payload: body,
                };
                self.call(key, body, Command::Submit(submit));
            }
            Step::Release { attempt, body } => {
                let key = self.key(attempt, "release");
                let body = Digest::of(&[body]);
                self.call(key.clone(), body, Command::Release { key, body });
            }
            Step::Raise { grant } => {
                let (grant, generation) = self
                    .generations
                    .iter_mut()
                    .nth(grant)
                    .map(|(g, n)| {
                        (*g, {
                            *n += 1;
                            *n
                        })
                    })
                    .unwrap();
                self.apply(Command::Raise {
                    grant,
                    generation,
                    cause: StopCause::GrantRaised,
                });
            }
            Step::LeaseLost { attempt } => {
                let found = self
                    .ledger
                    .lease_of(&self.attempts[attempt].0)
                    .map(|(id, _)| *id);
                if let Some(lease) = found {
                    self.apply(Command::Stop {
                        lease,
                        cause: StopCause::LeaseLost,
                    });
                }
            }
            Step::JobEnds { attempt } => {
                self.running.remove(&self.attempts[attempt].0);
            }
            Step::Supervise => self.supervise(),
            Step::Crash => self.running.clear(),
            Step::MoveSettled => {
                let answers: Vec<_> = self
                    .ledger
                    .answers()
                    .map(|(k, a)| (k.clone(), a.clone()))
                    .collect();
                let ended = self.ledger.ended().to_vec();
                self.moved_ended.extend(ended.iter().cloned());
                let keys = answers.iter().map(|(key, _)| key.clone()).collect();
                self.moved_answers.extend(answers);
                let leases = ended.iter().map(|one| one.lease).collect();
                self.apply(Command::Moved {
                    answers: keys,
                    ended: leases,
                });
            }
            Step::Wait { seconds } => self.now += Duration::from_secs(seconds),
        }
    }

    fn apply(&mut self, command: Command) {
        self.ledger.apply(command, self.now).unwrap();
    }

    fn supervise(&mut self) {
        for attempt in orphans([&self.ledger], &self.running) {
            self.running.remove(&attempt);
        }
        for action in supervise(&self.ledger, &self.running, self.now) {
            match action {
                Action::Start { lease, attempt } => {
                    let first = self.starts.insert(lease, attempt).is_none();
                    assert!(first, "no_effect_twice: {lease} was started twice");
                    self.apply(Command::Started { lease });
                    self.running.insert(attempt);
                }
                Action::Mark { lease, cause } => self.apply(Command::Stop { lease, cause }),
                Action::Kill { attempt } => {
                    self.running.remove(&attempt);
                }
                Action::Settle { lease, .. } => {
                    let settle = Settle {
                        lease,
                        state: EndedState::Succeeded,
                        core_ms: 500,
                    };
                    self.apply(Command::Settle(settle.clone()));
                    self.apply(Command::Settle(settle));
                }
            }
        }
    }

    fn had_lease(&self, attempt: &AttemptKey) -> bool {
        self.moved_ended
            .iter()
            .chain(self.ledger.ended())
            .any(|ended| ended.attempt == *attempt)
    }

    fn check(&self) {
        let taken = self.ledger.taken(self.now);
        assert!(taken.fits(&CAPACITY), "no_oversell: {taken:?}");

        let mut attempts = BTreeSet::new();
        for (_, lease) in self.ledger.leases() {
            assert!(attempts.insert(lease.attempt), "two leases for one attempt");
            assert!(
                !self.had_lease(&lease.attempt),
                "no_effect_twice: an ended attempt runs again"
            );
        }
        for (grant, generation) in &self.generations {
            let used = self.ledger.committed(grant, self.now);
            assert!(used.fragments <= GRANT_LIMITS.fragments);
            assert!(used.core_ms <= GRANT_LIMITS.core_seconds * 1000);
            let stale_and_alive = self.ledger.leases().any(|(_, lease)| {
                lease.under.is(grant)
                    && lease.under.generation() < *generation
                    && !matches!(lease.job.state, JobState::Stopping { .. })
            });
            assert!(!stale_and_alive, "no_authority_left");
        }
        let json = serde_json::to_string(&self.ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&json).unwrap(), self.ledger);
    }

    /// After a supervision nothing runs without a lease, and no lease is without its job.
    fn check_supervised(&mut self) {
        self.supervise();
        // Marking needs one more turn: the kill, and then the settling.
        self.supervise();
        self.supervise();
        for (id, lease) in self.ledger.leases() {
            assert!(
                self.running.contains(&lease.attempt),
                "no_lease_without_job: {id}"
            );
        }
        for attempt in &self.running {
            assert!(
                self.ledger.lease_of(attempt).is_some(),
                "no_job_without_lease: {attempt}"
            );
        }
    }

    /// Everything is let go: whatever happened before, the capacity is whole again.
    fn drain(&mut self) {
        for lease in self.ledger.leases().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.apply(Command::Stop {
                lease,
                cause: StopCause::LeaseLost,
            });
        }
        self.now += Ledger::LONGEST_HOLD;
        self.check_supervised();
        assert_eq!(
            self.ledger.taken(self.now),
            Taken::default(),
            "no_capacity_leak"
        );
        let ended: Vec<_> = self.moved_ended.iter().chain(self.ledger.ended()).collect();
        for grant in self.generations.keys() {
            let billed: u64 = ended
                .iter()
                .filter(|e| e.under.is(grant))
                .map(|e| e.core_ms)
                .sum();
            let account = self
                .ledger
                .account(grant)
                .map_or(0, |account| account.core_ms);
            assert_eq!(
                account, billed,
                "no_effect_twice: the account differs from what ended"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_invariants_hold_under_any_order_of_messages_crashes_and_waits(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
            world.check();
        }
        world.check_supervised();
        world.check();
        world.drain();
    }
}
