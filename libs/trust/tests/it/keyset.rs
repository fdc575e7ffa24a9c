//! An organisation's name and keys over their whole history, against thieves and gaps.

use oc_kernel::OrgId;
use oc_trust::keyset::HistoryError;
use oc_trust::{KeyHistory, Keys as _, NodeKeys, OrgKeys, Purpose, SignedKeySet};
use proptest::prelude::*;

use crate::world::{Org, WORLD};

fn envelopes(history: &KeyHistory) -> Vec<Vec<u8>> {
    let versions = history.versions().iter();
    versions.map(|version| version.bytes().to_vec()).collect()
}

#[test]
fn an_organisation_is_named_by_its_first_key_set_and_keeps_the_name() {
    let mut org = Org::found();
    let new_node = NodeKeys::generate();
    let next = org
        .root
        .follow(
            org.history.newest(),
            vec![new_node.peer_id()],
            new_node.listed(),
        )
        .unwrap();
    org.history.append(next).unwrap();
    assert_eq!(org.history.org(), org.id);
    assert!(org.history.current().has_node(&new_node.peer_id()));
    assert!(!org.history.current().has_node(&org.node.peer_id()));

    let read = KeyHistory::verify(&org.id, &envelopes(&org.history)).unwrap();
    assert_eq!(read, org.history);
}

#[test]
fn a_replaced_key_opens_nothing_but_the_past() {
    let mut org = Org::found();
    let stolen = org.node.listed();
    let new_node = NodeKeys::generate();
    let next = org
        .root
        .follow(
            org.history.newest(),
            vec![new_node.peer_id()],
            new_node.listed(),
        )
        .unwrap();
    org.history.append(next).unwrap();
    for key in stolen {
        assert!(org.history.current().key(key.purpose, &key.id).is_none());
        assert!(org.history.ever().key(key.purpose, &key.id).is_some());
    }
}

#[test]
fn the_announced_root_takes_over_and_the_old_one_is_done() {
    let mut org = Org::found();
    let (nodes, keys) = (vec![org.node.peer_id()], org.node.listed());
    let new_root = org.root.rotated();
    let rotated = new_root
        .follow(org.history.newest(), nodes.clone(), keys.clone())
        .unwrap();
    org.history.append(rotated).unwrap();

    let by_old_root = org
        .root
        .follow(org.history.newest(), nodes.clone(), keys.clone())
        .unwrap();
    let error = org.history.append(by_old_root).unwrap_err();
    assert_eq!(error, HistoryError::Root { version: 3 });
    let by_new_root = new_root.follow(org.history.newest(), nodes, keys).unwrap();
    org.history.append(by_new_root).unwrap();
    assert_eq!(org.history.org(), org.id);
}

#[test]
fn a_thief_of_the_root_cannot_choose_the_next_root() {
    let mut org = Org::found();
    let mut key_set = org.history.current().clone();
    key_set.version = 2;
    key_set.previous = Some(org.history.newest().digest());
    key_set.next_root_digest = oc_kernel::Digest::of(b"a key of the thief");
    let seeds = org.root.seeds();
    let mut root = [0; 32];
    hex::decode_to_slice(seeds["root"].as_str(), &mut root).unwrap();
    let root = ed25519_dalek::SigningKey::from_bytes(&root);
    let stolen = SignedKeySet::sign(key_set, &root).unwrap();
    let error = org.history.append(stolen).unwrap_err();
    assert_eq!(error, HistoryError::Root { version: 2 });
}

#[test]
fn another_organisations_key_set_does_not_continue_the_history() {
    let mut org = Org::found();
    let other = &WORLD.east;
    let (nodes, keys) = (vec![other.node.peer_id()], other.node.listed());
    let next = other
        .root
        .follow(org.history.newest(), nodes, keys)
        .unwrap();
    assert!(matches!(
        org.history.append(next),
        Err(HistoryError::Root { version: 2 })
    ));
}

#[test]
fn a_history_with_a_gap_or_under_another_name_is_refused() {
    let mut org = Org::found();
    for _ in 0..2 {
        let (nodes, keys) = (vec![org.node.peer_id()], org.node.listed());
        let next = org.root.follow(org.history.newest(), nodes, keys).unwrap();
        org.history.append(next).unwrap();
    }
    let mut gap = envelopes(&org.history);
    gap.remove(1);
    let error = KeyHistory::verify(&org.id, &gap).unwrap_err();
    assert_eq!(error, HistoryError::Gap { last: 1, found: 3 });
    let other = OrgId::from_digest([7; 32]);
    assert!(matches!(
        KeyHistory::verify(&other, &envelopes(&org.history)),
        Err(HistoryError::Name { .. })
    ));
    let none: [Vec<u8>; 0] = [];
    assert_eq!(KeyHistory::verify(&org.id, &none), Err(HistoryError::Empty));
}

#[test]
fn a_key_listed_for_two_purposes_is_refused() {
    let keys = OrgKeys::generate();
    let mut listed = keys.node.listed();
    listed[1].public = listed[0].public;
    listed[1].id = listed[0].id.clone();
    assert!(keys.root.found(vec![keys.node.peer_id()], listed).is_err());
}

#[test]
fn a_key_signs_for_its_purpose_only() {
    let key_set = WORLD.north.history.current();
    for listed in &key_set.keys {
        for purpose in Purpose::ALL {
            let found = key_set.key(purpose, &listed.id).is_some();
            assert_eq!(found, purpose == listed.purpose);
        }
    }
}

#[test]
fn seeds_give_the_same_keys_again_and_show_in_no_log() {
    let keys = OrgKeys::generate();
    let seeds = keys.seeds();
    let again = OrgKeys::from_seeds(&seeds).unwrap();
    assert_eq!(again.found().unwrap(), keys.found().unwrap());
    assert_eq!(again.node.peer_id(), keys.node.peer_id());
    let debug = format!("{keys:?} {:?}", keys.node.signer());
    assert!(seeds.values().all(|seed| !debug.contains(seed.as_str())));

    let mut missing = seeds.clone();
    missing.remove("grant");
    let error = OrgKeys::from_seeds(&missing).unwrap_err();
    assert_eq!(error.to_string(), "the seed `grant` is missing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_key_set_with_one_byte_changed_is_not_this_organisations(at: prop::sample::Index, by in 1..=255u8) {
        let good = WORLD.north.history.newest();
        let mut bytes = good.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(history) = KeyHistory::verify(&WORLD.north.id, &[bytes]) {
            // A `+` for a `-` in base64 is the same bytes in another alphabet.
            prop_assert_eq!(history.newest().key_set(), good.key_set());
        }
    }
}
