//! A sealed statement opens as it was signed, under its own type, key, network and time only.

use futures::executor::block_on;
use oc_trust::{
    Caller, Envelope, Grant, Head, Listing, ListingKind, OpenError, SKEW_MS, SignError,
    Signer as _, Version, Visibility, open, open_evidence, seal,
};
use proptest::prelude::*;

use crate::world::{HOUR, NETWORK, NOW, WORLD, at, grant, here, name};

fn listing() -> Listing {
    Listing {
        id: name("images"),
        owner: WORLD.south.id,
        network: NETWORK.clone(),
        kind: ListingKind::Dataset,
        name: "sentinel".into(),
        title: "Sentinel-2 images".into(),
        summary: "Four cuttings".into(),
        revision: Version { epoch: 1, seq: 7 },
        ttl: 60,
        visibility: Visibility::Orgs(vec![WORLD.north.id]),
        facets: [("platform".to_owned(), vec!["sentinel-2a".to_owned()])].into(),
        bbox: Some([170.0, -10.5, -170.0, 10.25]),
        interval: None,
        price: None,
        terms: "CC-BY-4.0".into(),
        body: serde_json::json!({"collection": "s2"}),
        withdrawn: false,
        not_before: NOW,
        not_after: NOW + HOUR,
    }
}

fn sign_raw(payload: &serde_json::Value, payload_type: &str) -> Vec<u8> {
    let payload = serde_json::to_vec(payload).unwrap();
    let signed = WORLD.south.signer.sign_now(payload_type, &payload);
    signed.unwrap().to_json()
}

const LISTING: &str = "application/vnd.opencloud.listing.v1+json";

#[test]
fn a_listing_is_opened_as_it_was_sealed_with_its_bytes_kept() {
    let sealed = block_on(seal(&WORLD.south.signer, listing())).unwrap();
    let keys = WORLD.south.history.current();
    let opened = open::<Listing>(sealed.bytes(), keys, &here()).unwrap();
    assert_eq!(opened, sealed);
    assert_eq!(opened.statement(), &listing());

    let spaced = format!(" {} ", String::from_utf8_lossy(sealed.bytes())).into_bytes();
    let opened = open::<Listing>(&spaced, keys, &here()).unwrap();
    assert_eq!(opened.bytes(), spaced);
    assert_eq!(opened.digest(), sealed.digest());
}

#[test]
fn an_unknown_restriction_is_refused_instead_of_skipped() {
    let mut value = serde_json::to_value(listing()).unwrap();
    value["only_on_sundays"] = true.into();
    let bytes = sign_raw(&value, LISTING);
    let error = open::<Listing>(&bytes, WORLD.south.history.current(), &here()).unwrap_err();
    assert!(error.to_string().contains("only_on_sundays"), "{error}");
}

#[test]
fn a_statement_of_one_type_is_not_read_as_another() {
    let sealed = block_on(seal(&WORLD.south.signer, listing())).unwrap();
    let keys = WORLD.south.history.current();
    let error = open::<Head>(sealed.bytes(), keys, &here()).unwrap_err();
    assert!(matches!(error, OpenError::Type { .. }), "{error}");
    // The type is inside the signature.
    let mut envelope = sealed.envelope().clone();
    envelope.payload_type = "application/vnd.opencloud.head.v1+json".into();
    assert!(open::<Head>(&envelope.to_json(), keys, &here()).is_err());
}

#[test]
fn a_key_of_another_purpose_or_organisation_does_not_open() {
    let payload = serde_json::to_vec(&listing()).unwrap();
    let by_grant_key = WORLD
        .south
        .signer
        .sign_now("application/vnd.opencloud.grant.v1+json", &payload)
        .unwrap();
    let forged = Envelope {
        payload_type: LISTING.into(),
        ..by_grant_key
    };
    let south = WORLD.south.history.current();
    let error = open::<Listing>(&forged.to_json(), south, &here()).unwrap_err();
    assert_eq!(error, OpenError::NoKnownSigner);

    let sealed = block_on(seal(&WORLD.south.signer, listing())).unwrap();
    let north = WORLD.north.history.current();
    let error = open::<Listing>(sealed.bytes(), north, &here()).unwrap_err();
    assert_eq!(error, OpenError::NoKnownSigner);
}

#[test]
fn half_a_minute_of_skew_is_tolerated_and_no_more() {
    let sealed = block_on(seal(&WORLD.south.signer, listing())).unwrap();
    let keys = WORLD.south.history.current();
    let opens = |now| open::<Listing>(sealed.bytes(), keys, &at(now));
    assert!(opens(NOW - SKEW_MS).is_ok());
    assert_eq!(
        opens(NOW - SKEW_MS - 1),
        Err(OpenError::NotYet {
            ahead_ms: SKEW_MS + 1
        })
    );
    assert!(opens(NOW + HOUR + SKEW_MS - 1).is_ok());
    assert_eq!(
        opens(NOW + HOUR + SKEW_MS),
        Err(OpenError::Expired { ago_ms: SKEW_MS })
    );
    assert!(open_evidence::<Listing>(sealed.bytes(), keys).is_ok());
}

#[test]
fn a_statement_for_another_network_is_refused() {
    let sealed = block_on(seal(&WORLD.south.signer, listing())).unwrap();
    let other = name("another-network");
    let there = oc_trust::Here {
        network: &other,
        now_ms: NOW,
    };
    let error = open::<Listing>(sealed.bytes(), WORLD.south.history.current(), &there).unwrap_err();
    assert!(matches!(error, OpenError::Network { .. }), "{error}");
}

#[test]
fn what_breaks_a_rule_is_neither_sealed_nor_opened() {
    let mut upside_down = listing();
    upside_down.bbox = Some([0.0, 10.0, 1.0, -10.0]);
    let error = block_on(seal(&WORLD.south.signer, upside_down.clone())).unwrap_err();
    assert!(matches!(error, SignError::Rule(_)), "{error}");
    let bytes = sign_raw(&serde_json::to_value(upside_down).unwrap(), LISTING);
    let error = open::<Listing>(&bytes, WORLD.south.history.current(), &here()).unwrap_err();
    assert!(matches!(error, OpenError::Rule(_)), "{error}");
}

#[test]
fn a_signer_signs_only_types_of_the_table() {
    let signed = block_on(WORLD.south.signer.sign("text/plain", b"{}"));
    assert_eq!(signed, Err(SignError::UnknownType("text/plain".into())));
}

#[test]
fn a_statement_about_a_caller_lives_two_minutes_at_most() {
    let mut caller = Caller {
        org: WORLD.south.id,
        peer: WORLD.south.node.peer_id(),
        network: NETWORK.clone(),
        method: "/oc.federation.v1.ComputeService/Submit".into(),
        nonce: Caller::nonce(),
        not_before: NOW,
        not_after: NOW + Caller::MOST_MS,
    };
    let sealed = block_on(seal(&WORLD.north.signer, caller.clone())).unwrap();
    let keys = WORLD.north.history.current();
    assert_eq!(
        open::<Caller>(sealed.bytes(), keys, &here())
            .unwrap()
            .statement(),
        &caller
    );
    caller.not_after += 1;
    assert!(block_on(seal(&WORLD.north.signer, caller)).is_err());
}

#[test]
fn nesting_that_would_exhaust_the_stack_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let payload = serde_json::to_string(&listing())
        .unwrap()
        .replace("{\"collection\":\"s2\"}", &deep);
    let signed = WORLD.south.signer.sign_now(LISTING, payload.as_bytes());
    let bytes = signed.unwrap().to_json();
    let error = open::<Listing>(&bytes, WORLD.south.history.current(), &here()).unwrap_err();
    assert!(matches!(error, OpenError::Malformed(_)), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_byte_of_an_envelope_changes_what_it_states(at: prop::sample::Index, by in 1..=255u8) {
        let sealed = block_on(seal(&WORLD.south.signer, grant())).unwrap();
        let mut bytes = sealed.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(opened) = open::<Grant>(&bytes, WORLD.south.history.current(), &here()) {
            // A `+` for a `-` in base64 is the same bytes in another alphabet.
            prop_assert_eq!(opened.statement(), sealed.statement());
            prop_assert_eq!(opened.digest(), sealed.digest());
        }
    }

    #[test]
    fn no_byte_of_what_is_signed_may_change(at: prop::sample::Index, by in 1..=255u8) {
        let sealed = block_on(seal(&WORLD.south.signer, grant())).unwrap();
        let mut envelope = sealed.envelope().clone();
        let at = at.index(envelope.payload.len());
        envelope.payload[at] ^= by;
        let keys = WORLD.south.history.current();
        prop_assert!(open::<Grant>(&envelope.to_json(), keys, &here()).is_err());
    }
}
