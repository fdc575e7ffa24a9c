//! Records, the audit before a countersignature, and heads.

use futures::executor::block_on;
use oc_kernel::{AttemptId, FragmentId, Money, RunId};
use oc_trust::{
    Frontier, Grant, Objection, Observed, OpenError, Outcome, UsageHead, UsageRecord, audit,
    countersign, open_countersigned, record_id, seal,
};
use proptest::prelude::*;

use crate::world::{HOUR, NETWORK, NOW, WORLD, grant, name};

pub(crate) fn record(grant: &Grant) -> UsageRecord {
    let attempt = AttemptId::new();
    let mut record = UsageRecord {
        version: UsageRecord::VERSION,
        id: record_id(&attempt, 0).unwrap(),
        seq: 0,
        grant: Some(grant.id),
        provider: grant.provider,
        consumer: grant.consumer,
        run: RunId::new(),
        fragment: FragmentId::new(),
        attempt,
        pseudonym: name("p-4711"),
        workflow: "ndvi".into(),
        started_ms: NOW,
        ended_ms: NOW + 60_000,
        wall_ms: 60_000,
        cpu_ms: 90_000,
        peak_memory_bytes: 1 << 20,
        bytes_in: 1 << 22,
        bytes_out: 1 << 21,
        storage_byte_seconds: 0,
        cores: 2,
        outcome: Outcome::Succeeded,
        charge: Money::ZERO,
        corrects: None,
    };
    record.charge = record.charge_at(&grant.price);
    record
}

fn observed(record: &UsageRecord) -> Observed {
    Observed {
        run: record.run,
        fragment: record.fragment,
        attempt: record.attempt,
        pseudonym: Some(record.pseudonym.clone()),
        submitted_ms: record.started_ms - 300,
        ended_ms: record.ended_ms + 300,
        outcome: Some(record.outcome),
        bytes_out: Some(record.bytes_out),
    }
}

#[test]
fn an_honest_record_passes_the_audit() {
    let grant = grant();
    let record = record(&grant);
    assert!(record.charge > Money::ZERO);
    assert_eq!(audit(&record, Some(&observed(&record)), &grant), Ok(()));
}

#[test]
fn each_falsified_field_is_named_in_the_objection() {
    let grant = grant();
    let honest = record(&grant);
    let own = observed(&honest);
    type Falsify = fn(&mut UsageRecord);
    let cases: [(&str, Falsify); 15] = [
        ("grant", |r| r.grant = Some(oc_kernel::GrantId::new())),
        ("grant", |r| r.consumer = WORLD.east.id),
        ("id", |r| r.attempt = AttemptId::new()),
        ("id", |r| r.corrects = Some(r.id.clone())),
        ("attempt", |r| {
            r.attempt = AttemptId::new();
            r.id = record_id(&r.attempt, 0).unwrap();
        }),
        ("attempt", |r| r.run = RunId::new()),
        ("attempt", |r| r.pseudonym = name("somebody-else")),
        ("time", |r| r.started_ms = NOW - HOUR),
        ("time", |r| r.ended_ms = NOW + HOUR),
        ("wall", |r| r.wall_ms += 6_000),
        ("cpu", |r| r.cpu_ms = 2 * (r.wall_ms + 200) + 1),
        ("bytes", |r| r.bytes_out += 1),
        ("outcome", |r| r.outcome = Outcome::Failed),
        ("limit", |r| r.cores = 5),
        ("charge", |r| r.charge = Money(r.charge.micros() + 1)),
    ];
    for (code, falsify) in cases {
        let mut record = honest.clone();
        falsify(&mut record);
        let objection = audit(&record, Some(&own), &grant).unwrap_err();
        assert_eq!(objection.code(), code, "{objection}");
    }
    let unknown = audit(&honest, None, &grant).unwrap_err();
    assert_eq!(unknown, Objection::Attempt(honest.attempt));
}

#[test]
fn both_sides_may_name_a_failure_differently() {
    let grant = grant();
    let mut stopped = record(&grant);
    stopped.outcome = Outcome::Lost;
    stopped.charge = Money::ZERO;
    let mut own = observed(&stopped);
    own.outcome = Some(Outcome::Cancelled);
    assert_eq!(audit(&stopped, Some(&own), &grant), Ok(()));
    // Its provider lost what it knew of it by a restore, and charges nothing.
    own.outcome = Some(Outcome::Succeeded);
    assert_eq!(audit(&stopped, Some(&own), &grant), Ok(()));
    stopped.outcome = Outcome::Failed;
    stopped.charge = stopped.charge_at(&grant.price);
    let objection = audit(&stopped, Some(&own), &grant).unwrap_err();
    assert_eq!(objection.code(), "outcome");
}

#[test]
fn what_its_provider_lost_is_charged_nothing_and_else_objected_to() {
    let grant = grant();
    let charged = record(&grant);
    let mut lost = charged.clone();
    lost.outcome = Outcome::Lost;
    let mut own = observed(&lost);
    own.outcome = None;
    let objection = audit(&lost, Some(&own), &grant).unwrap_err();
    let owed = Objection::Charge {
        recorded: charged.charge,
        owed: Money::ZERO,
    };
    assert_eq!(objection, owed);
    lost.charge = lost.charge_at(&grant.price);
    assert_eq!(audit(&lost, Some(&own), &grant), Ok(()));
}

#[test]
fn what_its_provider_told_to_be_lost_is_booked_as_nothing_else() {
    let grant = grant();
    let mut booked = record(&grant);
    let mut own = observed(&booked);
    own.outcome = Some(Outcome::Lost);
    for other in [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled] {
        booked.outcome = other;
        booked.charge = booked.charge_at(&grant.price);
        let objection = Objection::Outcome {
            recorded: other,
            seen: Outcome::Lost,
        };
        assert_eq!(audit(&booked, Some(&own), &grant), Err(objection));
    }
    booked.outcome = Outcome::Lost;
    booked.charge = booked.charge_at(&grant.price);
    assert_eq!(audit(&booked, Some(&own), &grant), Ok(()));
}

#[test]
fn corrections_are_counted_in_their_ids() {
    let first = record(&grant());
    assert!(first.id_follows());
    let mut second = first.clone();
    second.id = record_id(&first.attempt, 1).unwrap();
    second.corrects = Some(first.id.clone());
    assert!(second.id_follows());
    assert_eq!(
        (first.correction(), second.correction()),
        (Some(0), Some(1))
    );
    for wrong in ["1x", "01", "-1", ""] {
        let mut record = second.clone();
        record.id = name(&format!("{}.{wrong}", first.attempt));
        assert!(!record.id_follows(), "{wrong}");
    }
}

#[test]
fn own_work_is_in_nobody_elses_books() {
    let grant = grant();
    let mut own = record(&grant);
    own.grant = None;
    let seen = observed(&own);
    assert_eq!(audit(&own, Some(&seen), &grant), Err(Objection::Grant));
}

#[test]
fn a_record_has_one_spelling() {
    let record = record(&grant());
    let bytes = record.canonical();
    assert_eq!(UsageRecord::from_canonical(&bytes), Ok(record.clone()));
    let text = String::from_utf8(bytes).unwrap();
    let field = "\"version\":1,";
    assert!(text.starts_with(&format!("{{{field}")), "{text}");
    let moved = text.replace(field, "").replace('}', ",\"version\":1}");
    let others = [
        text.replace(',', ", "),
        moved,
        text.replace(field, "\"version\":2,"),
        text.replace(field, "\"version\":1,\"tip\":5,"),
    ];
    for other in others {
        let error = UsageRecord::from_canonical(other.as_bytes()).unwrap_err();
        assert!(matches!(error, OpenError::Malformed(_)), "{other}");
    }
}

pub(crate) fn head(records: &[UsageRecord]) -> UsageHead {
    let grant = grant();
    let mut frontier = Frontier::new();
    for record in records {
        frontier.append(record.leaf());
    }
    UsageHead {
        network: NETWORK.clone(),
        grant: grant.id,
        provider: grant.provider,
        consumer: grant.consumer,
        epoch: 1,
        size: frontier.size(),
        root: frontier.root(),
        not_before: NOW,
        not_after: NOW + HOUR,
    }
}

#[test]
fn a_head_stands_only_with_both_signatures_and_after_its_keys_are_gone() {
    let head = head(&[record(&grant())]);
    let by_provider = block_on(seal(&WORLD.south.signer, head)).unwrap();
    let (south, north) = (WORLD.south.history.ever(), WORLD.north.history.ever());
    let missing = WORLD.north.id;
    assert_eq!(
        open_countersigned(by_provider.bytes(), &south, &north),
        Err(OpenError::Unsigned { missing })
    );
    let both = block_on(countersign(&WORLD.north.signer, by_provider)).unwrap();
    let opened = open_countersigned(both.bytes(), &south, &north).unwrap();
    assert_eq!(opened, both);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_record_passes_that_charges_more_than_was_seen(wall in 0..200_000u64, cpu in 0..400_000u64, cores in 0..6u32, extra in -2..3i64) {
        let grant = grant();
        let mut record = record(&grant);
        let own = observed(&record);
        record.wall_ms = wall;
        record.cpu_ms = cpu;
        record.cores = cores;
        record.charge = Money(record.charge_at(&grant.price).micros() + extra);
        if audit(&record, Some(&own), &grant).is_ok() {
            prop_assert_eq!(extra, 0);
            prop_assert!(wall <= 65_600 && cores <= 4);
            prop_assert!(cpu <= (wall + 200) * u64::from(cores));
        }
    }

    #[test]
    fn a_changed_record_makes_another_root(n in 1..12usize, at: prop::sample::Index, cpu in 1..1000u64) {
        let mut records: Vec<_> = (0..n).map(|_| record(&grant())).collect();
        let before = head(&records).root;
        records[at.index(n)].cpu_ms += cpu;
        prop_assert_ne!(head(&records).root, before);
    }
}
