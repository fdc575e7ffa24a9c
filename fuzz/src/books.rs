//! Exports of books: whatever they say, nothing is valid that both organisations did not sign.

use std::collections::BTreeMap;
use std::sync::Arc;

use oc_kernel::{AttemptId, Money};
use oc_trust::{
    BooksKey, Currency, Export, ExportedBooks, Frontier, Outcome, Statement, UsageHead,
    UsageRecord, record_id,
};
use serde_json::value::RawValue;

use crate::chains::GRANT;
use crate::world::{NOW_MS, WORLD};

pub(crate) fn take(data: &[u8]) -> bool {
    let _ = UsageRecord::from_canonical(data);
    let Ok(export) = Export::read(data) else {
        return false;
    };
    let again = Export::read(&export.to_json()).unwrap();
    assert_eq!(
        again.to_json(),
        export.to_json(),
        "an export has two spellings"
    );
    let known = [&WORLD.north, &WORLD.south].map(|org| (org.id, org.history.clone()));
    let Ok(books) = export.verify(&known.into()) else {
        return false;
    };
    let ours = Export::read(&whole()).unwrap();
    let ours = ours.verify(&BTreeMap::new()).unwrap();
    for one in books.iter().filter(|one| one.head.is_some()) {
        assert_eq!(one.head, ours[0].head, "a head that nobody signed is valid");
        assert!(
            one.records <= ours[0].records,
            "records that nobody signed are valid"
        );
    }
    true
}

fn records() -> Vec<UsageRecord> {
    let record = |seq: u64| {
        let attempt: AttemptId = format!("att-01a2019756f47454bcb70219ad180dd{seq}")
            .parse()
            .unwrap();
        UsageRecord {
            version: UsageRecord::VERSION,
            id: record_id(&attempt, 0).unwrap(),
            seq,
            grant: Some(GRANT.parse().unwrap()),
            provider: WORLD.south.id,
            consumer: WORLD.north.id,
            run: GRANT.replace("grant", "run").parse().unwrap(),
            fragment: GRANT.replace("grant", "frag").parse().unwrap(),
            attempt,
            pseudonym: "p-4711".parse().unwrap(),
            workflow: "ndvi".into(),
            started_ms: NOW_MS,
            ended_ms: NOW_MS + 60_000,
            wall_ms: 60_000,
            cpu_ms: 90_000,
            peak_memory_bytes: 1 << 20,
            bytes_in: 1 << 22,
            bytes_out: 1 << 21,
            storage_byte_seconds: 0,
            cores: 2,
            outcome: Outcome::Succeeded,
            charge: Money(8334),
            corrects: None,
        }
    };
    (0..3).map(record).collect()
}

fn whole() -> Vec<u8> {
    let records = records();
    let mut frontier = Frontier::new();
    for record in &records {
        frontier.append(record.leaf());
    }
    let head = UsageHead {
        network: WORLD.network.clone(),
        grant: GRANT.parse().unwrap(),
        provider: WORLD.south.id,
        consumer: WORLD.north.id,
        epoch: 1,
        size: frontier.size(),
        root: frontier.root(),
        not_before: NOW_MS,
        not_after: NOW_MS + 60_000,
    };
    let payload = serde_json::to_vec(&head).unwrap();
    let sign = |org: &crate::world::Org| org.signer.sign_now(UsageHead::TYPE, &payload).unwrap();
    let mut signed = sign(&WORLD.south);
    signed.signatures.extend(sign(&WORLD.north).signatures);
    let text = String::from_utf8(signed.to_json()).unwrap();
    let books = ExportedBooks {
        grant: BooksKey::of(records[0].grant),
        currency: Currency::EUR,
        head: Some(RawValue::from_string(text).unwrap()),
        whole: true,
        leaves: records.iter().map(UsageRecord::leaf).collect(),
        records,
    };
    let histories = [&WORLD.north, &WORLD.south].map(|org| (org.id, Arc::new(org.history.clone())));
    Export::new(vec![books], &histories.into())
        .unwrap()
        .to_json()
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("whole", whole())]
}
