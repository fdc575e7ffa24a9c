//! A step's macaroon opens its own attempt's inputs and outputs, while it may run, and nothing else.

use std::sync::LazyLock;

use oc_auth::{Access, Ask, Caveat, Macaroon, MacaroonError, Refusal, RootKey};
use oc_kernel::{AttemptId, Classify as _, FragmentId, Kind, ObjectKey};
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000_000;

static KEY: LazyLock<RootKey> = LazyLock::new(RootKey::generate);
static WORK: LazyLock<(FragmentId, AttemptId)> =
    LazyLock::new(|| (FragmentId::new(), AttemptId::new()));

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn step() -> Macaroon {
    Macaroon::mint(&KEY, "step")
        .with(&Caveat::Fragment(WORK.0))
        .with(&Caveat::Attempt(WORK.1))
        .with(&Caveat::Input(vec![
            key("images/a.tif"),
            key("images/b.tif"),
        ]))
        .with(&Caveat::OutputBelow(key("work/out")))
        .with(&Caveat::MaxBytes(100))
        .with(&Caveat::Time(NOW + 1000))
        .with(&Caveat::Generation(3))
}

fn ask(access: Access<'_>) -> Ask<'_> {
    Ask {
        now_ms: NOW,
        generation: 3,
        work: Some(*WORK),
        access,
    }
}

fn refused(macaroon: &Macaroon, ask: &Ask<'_>) -> Refusal {
    match macaroon.verify(&KEY, ask) {
        Err(MacaroonError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_step_opens_its_own_inputs_and_outputs_and_nothing_else() {
    let macaroon = Macaroon::from_text(&step().to_text()).unwrap();
    let opens = |access: Access<'_>| macaroon.verify(&KEY, &ask(access)).is_ok();
    assert!(opens(Access::Report));
    assert!(opens(Access::Read(&key("images/b.tif"))));
    assert!(!opens(Access::Read(&key("images/c.tif"))));
    assert!(!opens(Access::Read(&key("work/out/x"))));
    let write = |at: &str, bytes| {
        opens(Access::Write {
            key: &key(at),
            bytes,
        })
    };
    assert!(write("work/out/x", 100));
    assert!(!write("work/out/x", 101));
    assert!(!write("work/outer/x", 1));
    assert!(!write("images/a.tif", 1));
}

#[test]
fn another_attempt_a_raised_generation_and_the_end_each_close_it() {
    let good = ask(Access::Report);
    let other_work = Some((WORK.0, AttemptId::new()));
    for (bad, caveat) in [
        (
            Ask {
                work: other_work,
                ..good
            },
            "attempt",
        ),
        (Ask { work: None, ..good }, "fragment"),
        (
            Ask {
                generation: 4,
                ..good
            },
            "generation",
        ),
        (
            Ask {
                now_ms: NOW + 1000,
                ..good
            },
            "time",
        ),
    ] {
        let refusal = refused(&step(), &bad);
        assert!(
            matches!(&refusal, Refusal::Broken(text) if text.starts_with(caveat)),
            "{refusal}"
        );
    }
}

#[test]
fn what_no_caveat_restricts_is_not_opened() {
    let bare = Macaroon::mint(&KEY, "step");
    let steps = [
        Caveat::Time(NOW + 1),
        Caveat::Generation(3),
        Caveat::Fragment(WORK.0),
        Caveat::Attempt(WORK.1),
    ];
    let object = key("images/a.tif");
    let read = ask(Access::Read(&object));
    let mut macaroon = bare;
    for (caveat, missing) in steps
        .iter()
        .zip(["time", "generation", "fragment", "attempt"])
    {
        assert_eq!(refused(&macaroon, &read), Refusal::Unrestricted(missing));
        macaroon = macaroon.with(caveat);
    }
    assert_eq!(refused(&macaroon, &read), Refusal::Unrestricted("input"));
    let write = ask(Access::Write {
        key: &object,
        bytes: 1,
    });
    assert_eq!(refused(&macaroon, &write), Refusal::Unrestricted("output"));
    assert_eq!(macaroon.verify(&KEY, &ask(Access::Report)), Ok(()));
}

#[test]
fn a_transfer_needs_no_attempt_but_its_object() {
    let object = key("runs/1/x.tif");
    let transfer = Macaroon::mint(&KEY, "upload")
        .with(&Caveat::Output(object.clone()))
        .with(&Caveat::Time(NOW + 1))
        .with(&Caveat::Generation(0));
    let asked = |key| Ask {
        now_ms: NOW,
        generation: 0,
        work: None,
        access: Access::Write { key, bytes: 9 },
    };
    assert_eq!(transfer.verify(&KEY, &asked(&object)), Ok(()));
    assert!(transfer.verify(&KEY, &asked(&key("runs/1/y.tif"))).is_err());
}

#[test]
fn an_unknown_caveat_closes_it_to_everything() {
    // A holder may add what it likes with any library; pymacaroons made this one with the key of 32 zeros.
    let zeros = RootKey::from_bytes([0; 32]);
    let text = include_str!("../fixtures/unknown-caveat.txt").trim();
    let macaroon = Macaroon::from_text(text).unwrap();
    let ask = Ask {
        work: None,
        ..ask(Access::Report)
    };
    let error = macaroon.verify(&zeros, &ask).unwrap_err();
    assert!(
        matches!(error, MacaroonError::Refused(Refusal::Unknown(_))),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Forbidden);
}

#[test]
fn another_services_key_does_not_open_it() {
    let other = RootKey::generate();
    let error = step().verify(&other, &ask(Access::Report)).unwrap_err();
    assert_eq!(error, MacaroonError::Forged);
    assert_eq!(error.kind(), Kind::Unauthenticated);
}

#[test]
fn a_text_of_another_version_or_length_is_refused() {
    let good = step().to_text();
    for text in [
        "",
        "Ag",
        "AQ",
        "MDAxY2xvY2F0aW9u",
        &good[..good.len() - 4],
        &format!("{good}AAAA"),
    ] {
        let error = Macaroon::from_text(text).unwrap_err();
        assert!(
            matches!(error, MacaroonError::Malformed(_)),
            "{text}: {error}"
        );
    }
    let long = "A".repeat(1 << 20);
    assert!(Macaroon::from_text(&long).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_macaroon_with_one_character_changed_opens_nothing(at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
        let good = step().to_text();
        let at = at.index(good.len());
        let mut text = good.clone();
        text.replace_range(at..=at, &to);
        prop_assume!(text != good);
        let opened = Macaroon::from_text(&text).and_then(|m| m.verify(&KEY, &ask(Access::Report)));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn a_caveat_more_never_opens_more(ends in 0..3u64, generation in 2..5u64, most in 0..200u64, bytes in 0..200u64) {
        let object = key("work/out/x");
        let ask = ask(Access::Write { key: &object, bytes });
        let narrower = step()
            .with(&Caveat::Time(NOW + ends))
            .with(&Caveat::Generation(generation))
            .with(&Caveat::MaxBytes(most));
        let expected = ends > 0 && generation == 3 && bytes <= most && bytes <= 100;
        prop_assert_eq!(narrower.verify(&KEY, &ask).is_ok(), expected);
    }

    #[test]
    fn reading_any_bytes_ends_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use base64::Engine as _;
        let mut versioned = vec![2];
        versioned.extend(bytes);
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(versioned);
        if let Ok(macaroon) = Macaroon::from_text(&text) {
            prop_assert_eq!(macaroon.to_text(), text);
        }
    }
}
