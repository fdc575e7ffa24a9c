//! An export proves the bill from the file alone, and a changed one says what is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use futures::executor::block_on;
use oc_kernel::Money;
use oc_trust::{
    BooksKey, Currency, Export, ExportError, ExportedBooks, OpenError, UsageRecord, countersign,
    record_id, seal,
};
use serde_json::Value;

use crate::books::{head, record};
use crate::world::{WORLD, grant};

/// Three attempts, the last of them corrected.
static RECORDS: LazyLock<Vec<UsageRecord>> = LazyLock::new(|| {
    let grant = grant();
    let mut records: Vec<_> = (0..3).map(|_| record(&grant)).collect();
    let mut correction = records[2].clone();
    correction.id = record_id(&correction.attempt, 1).unwrap();
    correction.corrects = Some(records[2].id.clone());
    correction.charge = Money(7);
    records.push(correction);
    for (seq, record) in records.iter_mut().enumerate() {
        record.seq = seq as u64;
    }
    records
});

/// The books, signed by South and, if `both`, by North.
fn books(records: &[UsageRecord], both: bool) -> ExportedBooks {
    let mut head = head(records);
    head.grant = records[0].grant.unwrap();
    let mut signed = block_on(seal(&WORLD.south.signer, head)).unwrap();
    if both {
        signed = block_on(countersign(&WORLD.north.signer, signed)).unwrap();
    }
    let text = String::from_utf8(signed.bytes().to_vec()).unwrap();
    ExportedBooks {
        grant: BooksKey::of(records[0].grant),
        currency: Currency::EUR,
        head: Some(serde_json::value::RawValue::from_string(text).unwrap()),
        whole: true,
        leaves: records.iter().map(UsageRecord::leaf).collect(),
        records: records.to_vec(),
    }
}

fn export(books: ExportedBooks) -> String {
    let histories = [&WORLD.south, &WORLD.north]
        .map(|org| (org.id, Arc::new(org.history.clone())))
        .into();
    let export = Export::new(vec![books], &histories).unwrap();
    String::from_utf8(export.to_json()).unwrap()
}

fn verify(text: &str) -> Result<Vec<oc_trust::VerifiedBooks>, ExportError> {
    Export::read(text.as_bytes())?.verify(&BTreeMap::new())
}

/// The export with one thing in its JSON changed.
fn changed(change: impl FnOnce(&mut Value)) -> ExportError {
    let text = export(books(&RECORDS, true));
    let mut value: Value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    verify(&value.to_string()).unwrap_err()
}

#[test]
fn a_true_export_is_verified_by_itself() {
    let text = export(books(&RECORDS, true));
    let verified = verify(&text).unwrap();
    let [books] = verified.as_slice() else {
        panic!("{verified:?}")
    };
    assert_eq!(books.grant, BooksKey::of(RECORDS[0].grant));
    assert_eq!((books.records, books.whole), (4, true));
    let expected = RECORDS[0].charge.micros() + RECORDS[1].charge.micros() + 7;
    assert_eq!(books.charge, Money(expected));
    let head = books.head.as_ref().unwrap();
    assert_eq!(
        (head.provider, head.consumer),
        (WORLD.south.id, WORLD.north.id)
    );
}

#[test]
fn a_part_is_verified_and_says_that_it_is_one() {
    let mut part = books(&RECORDS, true);
    part.records.remove(1);
    part.whole = false;
    let verified = verify(&export(part)).unwrap();
    assert_eq!((verified[0].records, verified[0].whole), (3, false));
}

#[test]
fn one_changed_digit_names_its_record() {
    let error = changed(|export| {
        let charge = &mut export["books"][0]["records"][1]["charge"];
        *charge = (charge.as_i64().unwrap() + 1).into();
    });
    let expected = format!(
        "record 1 of {}, {}",
        RECORDS[0].grant.unwrap(),
        RECORDS[1].id
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_changed_record_with_its_hash_changed_makes_another_root() {
    let mut changed = books(&RECORDS, true);
    changed.records[1].charge = Money(1);
    changed.leaves[1] = changed.records[1].leaf();
    let error = verify(&export(changed)).unwrap_err();
    assert!(matches!(error, ExportError::Leaves { .. }), "{error}");
}

#[test]
fn a_swapped_signature_is_found() {
    let error = changed(|export| {
        let signatures = &mut export["books"][0]["head"]["signatures"];
        let first = signatures[0]["sig"].take();
        signatures[0]["sig"] = signatures[1]["sig"].take();
        signatures[1]["sig"] = first;
    });
    let bad = matches!(
        error,
        ExportError::Head {
            source: OpenError::BadSignature { .. },
            ..
        }
    );
    assert!(bad, "{error}");
}

#[test]
fn an_export_that_one_side_signed_names_the_other() {
    let error = verify(&export(books(&RECORDS, false))).unwrap_err();
    let missing = WORLD.north.id;
    assert!(
        matches!(error, ExportError::NoKeys(org) if org == missing),
        "{error}"
    );
    let error = changed(|export| {
        let signatures = export["books"][0]["head"]["signatures"].as_array_mut();
        signatures.unwrap().pop();
    });
    let unsigned = OpenError::Unsigned { missing };
    assert!(
        matches!(&error, ExportError::Head { source, .. } if *source == unsigned),
        "{error}"
    );
}

#[test]
fn what_was_cut_off_or_left_out_is_missed() {
    let text = export(books(&RECORDS, true));
    for length in [0, 1, text.len() / 2, text.len() - 3] {
        let error = verify(&text[..length]).unwrap_err();
        assert!(matches!(error, ExportError::Unreadable(_)), "{error}");
    }
    for at in 0..RECORDS.len() {
        let error = changed(|export| {
            let records = export["books"][0]["records"].as_array_mut().unwrap();
            records.remove(at);
        });
        let missing = matches!(error, ExportError::Missing { first, .. } if first == at as u64);
        assert!(missing, "{error}");
    }
    let error = changed(|export| export["books"][0]["head"] = Value::Null);
    assert!(matches!(error, ExportError::NoHead(_)), "{error}");
    let error = changed(|export| {
        let records = export["books"][0]["records"].as_array_mut().unwrap();
        records.swap(0, 1);
    });
    assert!(matches!(error, ExportError::Missing { .. }), "{error}");
}

#[test]
fn the_same_books_do_not_count_twice() {
    let error = changed(|export| {
        let books = export["books"].as_array_mut().unwrap();
        books.push(books[0].clone());
    });
    assert!(matches!(error, ExportError::Twice(_)), "{error}");
}

#[test]
fn other_organisations_keys_do_not_pass_for_its_own() {
    let error = changed(|export| {
        let (south, east) = (WORLD.south.id.to_string(), &WORLD.east);
        let first = east.history.versions()[0].bytes();
        let first: Value = serde_json::from_slice(first).unwrap();
        export["key_sets"][south] = vec![first].into();
    });
    assert!(matches!(error, ExportError::Keys { .. }), "{error}");
}
