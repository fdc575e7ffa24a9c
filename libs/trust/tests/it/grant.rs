//! A grant needs both signatures, and says until when and with which tools.

use futures::executor::block_on;
use oc_kernel::Classify as _;
use oc_kernel::Digest;
use oc_trust::{OpenError, Tool, countersign, open_draft, open_grant, seal};

use crate::world::{HOUR, NOW, WORLD, at, grant, here, name, sealed_grant};

#[test]
fn a_grant_holds_with_both_signatures_over_the_same_bytes() {
    let sealed = sealed_grant(grant());
    let opened = open_grant(sealed.bytes(), &WORLD.keys, &here()).unwrap();
    assert_eq!(opened, sealed);

    // Whoever signs first, the statement has one name.
    let other_order = block_on(seal(&WORLD.north.signer, sealed.statement().clone())).unwrap();
    let other_order = block_on(countersign(&WORLD.south.signer, other_order)).unwrap();
    assert_eq!(other_order.digest(), sealed.digest());
    assert!(open_grant(other_order.bytes(), &WORLD.keys, &here()).is_ok());
}

#[test]
fn one_sides_signature_makes_a_draft_and_no_grant() {
    let half = block_on(seal(&WORLD.south.signer, grant())).unwrap();
    let missing = WORLD.north.id;
    let error = open_grant(half.bytes(), &WORLD.keys, &here()).unwrap_err();
    assert_eq!(error, OpenError::Unsigned { missing });
    assert_eq!(error.kind(), oc_kernel::Kind::Unauthenticated);
    assert!(open_draft(half.bytes(), &WORLD.south.id, &WORLD.keys, &here()).is_ok());
    assert!(open_draft(half.bytes(), &WORLD.north.id, &WORLD.keys, &here()).is_err());
    assert!(open_draft(half.bytes(), &WORLD.east.id, &WORLD.keys, &here()).is_err());
}

#[test]
fn a_third_partys_signature_does_not_stand_in_for_a_sides() {
    let half = block_on(seal(&WORLD.south.signer, grant())).unwrap();
    let forged = block_on(countersign(&WORLD.east.signer, half)).unwrap();
    let missing = WORLD.north.id;
    let error = open_grant(forged.bytes(), &WORLD.keys, &here()).unwrap_err();
    assert_eq!(error, OpenError::Unsigned { missing });
}

#[test]
fn a_grant_ends_on_the_millisecond() {
    let grant = grant();
    let end = grant.not_after;
    let sealed = sealed_grant(grant);
    assert!(open_grant(sealed.bytes(), &WORLD.keys, &at(end - 1)).is_ok());
    assert_eq!(
        open_grant(sealed.bytes(), &WORLD.keys, &at(end)),
        Err(OpenError::Expired { ago_ms: 0 })
    );
}

#[test]
fn an_impossible_grant_is_not_signed() {
    let good = grant();
    let mut to_oneself = good.clone();
    to_oneself.consumer = to_oneself.provider;
    let mut of_nothing = good.clone();
    of_nothing.listings.clear();
    let mut twice = good.clone();
    twice.listings.push(twice.listings[0].clone());
    let mut backwards = good.clone();
    backwards.not_after = NOW - 2 * HOUR;
    let mut paid_to_use = good;
    paid_to_use.price.core_hour = oc_kernel::Money(-1);
    for bad in [to_oneself, of_nothing, twice, backwards, paid_to_use] {
        assert!(
            block_on(seal(&WORLD.south.signer, bad.clone())).is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn only_the_listed_tools_may_read() {
    let document = Digest::of(b"a document");
    let (east, id) = (WORLD.east.id, name("ndvi"));
    let mut grant = grant();
    assert!(grant.allows_tool(None, &document));
    grant.tools = Some(vec![Tool::Listing {
        owner: east,
        id: id.clone(),
    }]);
    assert!(grant.allows_tool(Some((&east, &id)), &document));
    assert!(!grant.allows_tool(Some((&WORLD.north.id, &id)), &document));
    assert!(!grant.allows_tool(None, &document));
    grant.tools = Some(vec![Tool::Digest(document)]);
    assert!(grant.allows_tool(None, &document));
    assert!(!grant.allows_tool(None, &Digest::of(b"another")));
}
