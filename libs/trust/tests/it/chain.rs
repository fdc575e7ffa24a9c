//! A chain gives what its last link says: no link more than its parent, to nobody else, and no longer.

use oc_kernel::{AttemptId, Classify as _, Digest, Kind, OrgId};
use oc_trust::{
    Asking, Authority, Chain, ChainError, Delegation, Grant, Input, Limits, OpenError, Output,
    Sealed, verify_chain, workspace,
};
use proptest::prelude::*;

use crate::world::{
    HOUR, NOW, WORLD, at, delegation, grant, here, limits, name, sealed, sealed_grant,
};

fn verify(chain: &Chain, presenter: &OrgId) -> Result<Authority, ChainError> {
    let asking = Asking {
        owner: &WORLD.south.id,
        presenter,
        here: here(),
    };
    verify_chain(chain, &WORLD.keys, &asking)
}

fn granted() -> (Sealed<Grant>, Delegation) {
    let grant = sealed_grant(grant());
    let delegation = delegation(Some(grant.digest()));
    (grant, delegation)
}

/// South passes what North gave it to East.
fn passed_on(parent: &Sealed<Delegation>) -> Delegation {
    Delegation {
        parent: Some(parent.digest()),
        issuer: WORLD.south.id,
        audience: WORLD.east.id,
        ..parent.statement().clone()
    }
}

#[test]
fn a_chain_rooted_in_a_grant_gives_what_its_last_link_says() {
    let (grant, delegation) = granted();
    let first = sealed(&WORLD.north, delegation);
    let mut second = passed_on(&first);
    second.limits.cores = 1;
    second.not_after = NOW + HOUR / 2;
    let second = sealed(&WORLD.south, second);
    let chain = Chain::new(Some(&grant), &first).with(&second);

    let over_the_wire = Chain::from_json(&chain.to_json().unwrap()).unwrap();
    assert_eq!(over_the_wire, chain);
    let authority = verify(&over_the_wire, &WORLD.east.id).unwrap();
    assert_eq!(authority.consumer, WORLD.north.id);
    assert_eq!(authority.limits.cores, 1);
    assert_eq!(authority.not_after, NOW + HOUR / 2);
    assert_eq!(authority.digest, second.digest());
    assert_eq!(authority.grant.as_ref(), Some(grant.statement()));

    let input = &authority.inputs[0].object;
    assert!(authority.reads(input).is_some());
    assert!(authority.reads(&"2020/b.tif".parse().unwrap()).is_none());
    let prefix = authority.output.clone().unwrap().prefix;
    assert!(authority.writes(&prefix.join("x.tif").unwrap()));
    assert!(!authority.writes(&prefix));
}

#[test]
fn an_owner_gives_what_is_its_own_without_a_grant() {
    let mut own = delegation(None);
    own.issuer = WORLD.south.id;
    own.audience = WORLD.east.id;
    let chain = Chain::new(None, &sealed(&WORLD.south, own));
    let authority = verify(&chain, &WORLD.east.id).unwrap();
    assert_eq!(authority.consumer, WORLD.south.id);
    assert_eq!(authority.grant, None);

    // North cannot play the owner of South's things.
    let chain = Chain::new(None, &sealed(&WORLD.north, delegation(None)));
    let error = verify(&chain, &WORLD.south.id).unwrap_err();
    assert!(
        matches!(error, ChainError::Issuer { link: 1, .. }),
        "{error}"
    );
}

#[test]
fn what_somebody_else_owns_is_not_opened_by_this_chain() {
    let (grant, mut delegation) = granted();
    let object: oc_kernel::ObjectKey = "mine/b.tif".parse().unwrap();
    delegation.inputs.push(Input {
        owner: WORLD.east.id,
        listing: None,
        object: object.clone(),
        sha256: Digest::of(b"b"),
    });
    delegation.output = Some(Output {
        owner: WORLD.north.id,
        listing: None,
        prefix: "results".parse().unwrap(),
    });
    let chain = Chain::new(Some(&grant), &sealed(&WORLD.north, delegation));
    let authority = verify(&chain, &WORLD.south.id).unwrap();
    assert_eq!(authority.inputs.len(), 2);
    assert!(authority.reads(&object).is_none());
    assert!(!authority.writes(&"results/x".parse().unwrap()));
}

#[test]
fn only_the_audience_may_show_a_chain_and_only_to_the_owner() {
    let (grant, delegation) = granted();
    let chain = Chain::new(Some(&grant), &sealed(&WORLD.north, delegation));
    for presenter in [&WORLD.north.id, &WORLD.east.id] {
        let error = verify(&chain, presenter).unwrap_err();
        assert!(matches!(error, ChainError::Presenter { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Forbidden);
    }
    let asking = Asking {
        owner: &WORLD.east.id,
        presenter: &WORLD.south.id,
        here: here(),
    };
    let error = verify_chain(&chain, &WORLD.keys, &asking).unwrap_err();
    assert!(matches!(error, ChainError::Root { .. }), "{error}");
}

#[test]
fn a_link_by_somebody_it_was_not_given_to_is_refused() {
    let (grant, delegation) = granted();
    let first = sealed(&WORLD.north, delegation);
    let mut second = passed_on(&first);
    second.issuer = WORLD.east.id;
    second.audience = WORLD.north.id;
    let chain = Chain::new(Some(&grant), &first).with(&sealed(&WORLD.east, second));
    let error = verify(&chain, &WORLD.north.id).unwrap_err();
    assert!(
        matches!(error, ChainError::Issuer { link: 2, .. }),
        "{error}"
    );
}

#[test]
fn links_cannot_be_moved_to_another_parent() {
    let (grant, delegation) = granted();
    let first = sealed(&WORLD.north, delegation);
    let other_grant = sealed_grant(crate::world::grant());
    let moved = Chain::new(Some(&other_grant), &first);
    let error = verify(&moved, &WORLD.south.id).unwrap_err();
    assert!(
        matches!(error, ChainError::Parent { link: 1, .. }),
        "{error}"
    );

    let mut twin = first.statement().clone();
    twin.not_after -= 1;
    let twin = sealed(&WORLD.north, twin);
    let second = sealed(&WORLD.south, passed_on(&first));
    let moved = Chain::new(Some(&grant), &twin).with(&second);
    let error = verify(&moved, &WORLD.east.id).unwrap_err();
    assert!(
        matches!(error, ChainError::Parent { link: 2, .. }),
        "{error}"
    );
}

#[test]
fn authority_ends_on_the_millisecond() {
    let (grant, delegation) = granted();
    let end = delegation.not_after;
    let chain = Chain::new(Some(&grant), &sealed(&WORLD.north, delegation));
    let verify_at = |now| {
        let asking = Asking {
            owner: &WORLD.south.id,
            presenter: &WORLD.south.id,
            here: at(now),
        };
        verify_chain(&chain, &WORLD.keys, &asking)
    };
    assert!(verify_at(end - 1).is_ok());
    let error = verify_at(end).unwrap_err();
    let expired = OpenError::Expired { ago_ms: 0 };
    assert!(
        matches!(&error, ChainError::Open { source, .. } if *source == expired),
        "{error}"
    );
}

#[test]
fn a_delegation_does_not_outgrow_the_grant() {
    let (grant, good) = granted();
    let mut unknown_offer = good.clone();
    unknown_offer.offer = Some(name("other-machines"));
    let mut data_as_machines = good.clone();
    data_as_machines.offer = Some(name("images"));
    let mut unlisted_input = good.clone();
    unlisted_input.inputs[0].listing = None;
    let mut other_data = good.clone();
    other_data.inputs[0].listing = Some(name("secrets"));
    let mut anywhere = good.clone();
    anywhere.output = Some(Output {
        owner: WORLD.south.id,
        listing: None,
        prefix: "etc".parse().unwrap(),
    });
    let mut foreign_workspace = good.clone();
    foreign_workspace.output = Some(Output {
        owner: WORLD.south.id,
        listing: None,
        prefix: workspace(&WORLD.east.id, &good.run)
            .unwrap()
            .join("x")
            .unwrap(),
    });
    let mut longer = good.clone();
    longer.not_after = grant.statement().not_after + 1;
    for bad in [
        unknown_offer,
        data_as_machines,
        unlisted_input,
        other_data,
        anywhere,
        foreign_workspace,
        longer,
    ] {
        let chain = Chain::new(Some(&grant), &sealed(&WORLD.north, bad.clone()));
        let error = verify(&chain, &WORLD.south.id).unwrap_err();
        assert!(
            matches!(error, ChainError::Wider { link: 1, .. }),
            "{error} {bad:?}"
        );
    }
}

#[test]
fn over_the_limit_is_answered_with_the_numbers() {
    let mut narrow = grant();
    narrow.listings[1].limits = Some(Limits {
        cores: 2,
        ..limits()
    });
    let grant = sealed_grant(narrow);
    let chain = Chain::new(
        Some(&grant),
        &sealed(&WORLD.north, delegation(Some(grant.digest()))),
    );
    let error = verify(&chain, &WORLD.south.id).unwrap_err();
    assert_eq!(
        error.to_string(),
        "delegation 1 is over the limit: 4 cores asked for, 2 allowed"
    );
    assert_eq!(error.kind(), Kind::Exhausted);
}

#[test]
fn a_link_for_another_attempt_or_request_is_refused() {
    let (grant, delegation) = granted();
    let first = sealed(&WORLD.north, delegation);
    let mut other_attempt = passed_on(&first);
    other_attempt.attempt = AttemptId::new();
    let mut other_request = passed_on(&first);
    other_request.request = Digest::of(b"another fragment");
    let mut other_content = passed_on(&first);
    other_content.inputs[0].sha256 = Digest::of(b"other content");
    for bad in [other_attempt, other_request, other_content] {
        let chain = Chain::new(Some(&grant), &first).with(&sealed(&WORLD.south, bad));
        let error = verify(&chain, &WORLD.east.id).unwrap_err();
        assert!(
            matches!(error, ChainError::Wider { link: 2, .. }),
            "{error}"
        );
    }
}

#[test]
fn an_endless_chain_is_not_followed() {
    let (grant, delegation) = granted();
    let first = sealed(&WORLD.north, delegation);
    let mut chain = Chain::new(Some(&grant), &first);
    for _ in 0..oc_trust::chain::MOST_LINKS {
        chain = chain.with(&first);
    }
    assert_eq!(verify(&chain, &WORLD.south.id), Err(ChainError::length(9)));
    let none = Chain::default();
    assert_eq!(verify(&none, &WORLD.south.id), Err(ChainError::length(0)));
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (
        0..4u32,
        0..4u64,
        0..2u32,
        0..4u64,
        0..4u64,
        0..4u64,
        0..4u64,
    )
        .prop_map(|l| Limits {
            cores: l.0,
            memory_bytes: l.1,
            fragments: l.2,
            core_seconds: l.3,
            egress_bytes: l.4,
            storage_bytes: l.5,
            run_wall_seconds: l.6,
        })
}

/// What one link asks for, drawn from few values so that fitting and not fitting both happen.
#[derive(Debug, Clone)]
struct Ask {
    limits: Limits,
    inputs: Vec<u8>,
    depth: usize,
    ends_in: u64,
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let inputs = prop::collection::btree_set(0..3u8, 0..3);
    (any_limits(), inputs, 0..3usize, 1..4u64).prop_map(|(limits, inputs, depth, ends_in)| Ask {
        limits,
        inputs: inputs.into_iter().collect(),
        depth,
        ends_in,
    })
}

impl Ask {
    fn apply(&self, base: &Delegation) -> Delegation {
        let inputs = self.inputs.iter().map(|n| Input {
            owner: WORLD.south.id,
            listing: Some(name("images")),
            object: format!("{n}.tif").parse().unwrap(),
            sha256: Digest::of(&[*n]),
        });
        let mut prefix = workspace(&WORLD.north.id, &base.run)
            .unwrap()
            .join("out")
            .unwrap();
        for _ in 0..self.depth {
            prefix = prefix.join("deeper").unwrap();
        }
        Delegation {
            inputs: inputs.collect(),
            output: Some(Output {
                owner: WORLD.south.id,
                listing: None,
                prefix,
            }),
            limits: self.limits,
            not_after: NOW + self.ends_in * HOUR,
            ..base.clone()
        }
    }

    /// Said in another way than the code under test says it.
    fn is_within(&self, above: &Ask) -> bool {
        self.limits.meet(&above.limits) == self.limits
            && self.inputs.iter().all(|n| above.inputs.contains(n))
            && self.depth >= above.depth
            && self.ends_in <= above.ends_in
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_chain_holds_exactly_when_no_link_gives_more_than_its_parent(
        grant_limits in any_limits(), grant_ends in 1..4u64, first in any_ask(), second in any_ask(), shrink: bool,
    ) {
        let mut statement = grant();
        statement.limits = grant_limits;
        statement.not_after = NOW + grant_ends * HOUR;
        let grant = sealed_grant(statement);
        // Half of the cases are made to fit, or hardly any would.
        let (first, second) = if shrink { shrunk(first, second, grant_limits, grant_ends) } else { (first, second) };
        let link = sealed(&WORLD.north, first.apply(&delegation(Some(grant.digest()))));
        let next = sealed(&WORLD.south, second.apply(&passed_on(&link)));
        let chain = Chain::new(Some(&grant), &link).with(&next);

        let fits = first.limits.meet(&grant_limits) == first.limits && first.ends_in <= grant_ends;
        let expected = fits && second.is_within(&first);
        let verified = verify(&chain, &WORLD.east.id);
        prop_assert_eq!(verified.is_ok(), expected, "{:?}", verified);
        if let Ok(authority) = verified {
            prop_assert_eq!(authority.limits, second.limits);
            prop_assert_eq!(authority.not_after, NOW + second.ends_in * HOUR);
        }
    }

    #[test]
    fn one_changed_byte_anywhere_in_a_chain_changes_no_authority(part in 0..3usize, at: prop::sample::Index, by in 1..=255u8) {
        let (grant, delegation) = granted();
        let first = sealed(&WORLD.north, delegation);
        let mut chain = Chain::new(Some(&grant), &first).with(&sealed(&WORLD.south, passed_on(&first)));
        let good = verify(&chain, &WORLD.east.id).unwrap();
        let bytes = match part {
            0 => chain.grant.as_mut().unwrap(),
            n => &mut chain.links[n - 1],
        };
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(authority) = verify(&chain, &WORLD.east.id) {
            // A `+` for a `-` in base64 is the same bytes in another alphabet.
            prop_assert_eq!(authority, good);
        }
    }

    #[test]
    fn one_changed_byte_of_a_signed_delegation_breaks_the_chain(at: prop::sample::Index, by in 1..=255u8) {
        let (grant, delegation) = granted();
        let first = sealed(&WORLD.north, delegation);
        let mut envelope = first.envelope().clone();
        let at = at.index(envelope.payload.len());
        envelope.payload[at] ^= by;
        let chain = Chain { grant: Some(grant.bytes().to_vec()), links: vec![envelope.to_json()] };
        prop_assert!(verify(&chain, &WORLD.south.id).is_err());
    }
}

fn shrunk(first: Ask, second: Ask, limits: Limits, ends_in: u64) -> (Ask, Ask) {
    let first = Ask {
        limits: first.limits.meet(&limits),
        ends_in: first.ends_in.min(ends_in),
        ..first
    };
    let second = Ask {
        limits: second.limits.meet(&first.limits),
        inputs: second
            .inputs
            .into_iter()
            .filter(|n| first.inputs.contains(n))
            .collect(),
        depth: second.depth.max(first.depth),
        ends_in: second.ends_in.min(first.ends_in),
    };
    (first, second)
}
