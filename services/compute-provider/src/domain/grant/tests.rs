//! The life of a grant, its requests and its rules.

use jiff::Timestamp;
use oc_kernel::{GrantId, Money, Name, OrgId};
use oc_trust::{Currency, Limits, ListingKind, Price};
use proptest::prelude::*;

use super::request::Offered;
use super::*;

pub(crate) const SOUTH: OrgId = OrgId::from_digest([5; 32]);
pub(crate) const NORTH: OrgId = OrgId::from_digest([1; 32]);
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const HOUR: u64 = 3_600_000;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits {
        cores: 2,
        memory_bytes: 1 << 30,
        fragments: 2,
        core_seconds: 1000,
        egress_bytes: 1 << 20,
        storage_bytes: 0,
        run_wall_seconds: 60,
    }
}

pub(crate) fn request() -> GrantRequest {
    GrantRequest {
        operation: name("op-1"),
        listings: vec![Asked {
            id: name("compute.default"),
            kind: ListingKind::Compute,
        }],
        limits: limits(),
        not_before_ms: 0,
        not_after_ms: HOUR,
        message: String::new(),
    }
}

fn cause(code: &str) -> Cause {
    Cause::new(code, code, SOUTH, NOW)
}

fn pending() -> Grant {
    Grant {
        id: GrantId::new(),
        provider: SOUTH,
        consumer: NORTH,
        network: name("net"),
        request: request(),
        agreed: None,
        state: GrantState::Pending,
        generation: 0,
        cause: cause("asked"),
        envelope: None,
        swept: false,
    }
}

fn agreed() -> Agreed {
    Agreed {
        limits: limits(),
        price: Price::free(Currency::EUR),
        tools: None,
    }
}

pub(crate) fn active() -> Grant {
    let mut grant = pending();
    grant.agree(agreed()).unwrap();
    grant.offer("signed".into(), cause("approved")).unwrap();
    let statement = grant.statement().unwrap();
    grant
        .accept(&statement, "both".into(), cause("accepted"))
        .unwrap();
    grant
}

fn offered(kind: ListingKind, price: Price) -> Offered {
    Offered {
        listing: Asked {
            id: name("compute.default"),
            kind,
        },
        capacity: Some(limits()),
        price,
    }
}

fn free() -> Price {
    Price::free(Currency::EUR)
}

#[test]
fn machines_without_cores_or_memory_are_not_granted() {
    let machines = [offered(ListingKind::Compute, free())];
    let refused = |change: fn(&mut Limits)| {
        let mut asked = request();
        change(&mut asked.limits);
        asked.check(&machines, NOW).unwrap_err().to_string()
    };
    let text = refused(|limits| limits.cores = 0);
    assert_eq!(
        text,
        "a grant for `compute.default` needs at least one of cores: nothing runs without"
    );
    let text = refused(|limits| limits.memory_bytes = 0);
    assert!(text.contains("bytes of memory"), "{text}");
}

#[test]
fn what_nothing_offered_bounds_has_a_ceiling() {
    let machines = [offered(ListingKind::Compute, free())];
    let data = [Offered {
        capacity: None,
        ..offered(ListingKind::Dataset, free())
    }];
    let ceiling = GrantRequest::CEILING;
    for (change, number) in [
        (
            (|limits| limits.core_seconds = u64::MAX) as fn(&mut Limits),
            ceiling.core_seconds,
        ),
        (
            |limits| limits.egress_bytes = u64::MAX,
            ceiling.egress_bytes,
        ),
        (
            |limits| limits.storage_bytes = u64::MAX,
            ceiling.storage_bytes,
        ),
    ] {
        let mut asked = request();
        change(&mut asked.limits);
        let refused = asked.check(&machines, NOW).unwrap_err();
        assert!(
            refused.to_string().contains(&number.to_string()),
            "{refused}"
        );
        asked.listings[0].kind = ListingKind::Dataset;
        assert_eq!(asked.check(&data, NOW).unwrap_err(), refused);
    }
    let mut most = request();
    most.listings[0].kind = ListingKind::Dataset;
    most.limits = ceiling;
    assert!(most.check(&data, NOW).is_ok());
}

#[test]
fn a_grant_is_in_force_only_after_both_signed() {
    let mut grant = pending();
    let listing = name("compute.default");
    let force = |grant: &Grant| grant.in_force(&NORTH, &listing, NOW);
    assert!(force(&grant).is_err());
    grant.agree(agreed()).unwrap();
    grant.offer("signed".into(), cause("approved")).unwrap();
    assert!(force(&grant).is_err());
    let statement = grant.statement().unwrap();
    grant
        .accept(&statement, "both".into(), cause("accepted"))
        .unwrap();
    assert_eq!(force(&grant), Ok(()));
    assert_eq!(grant.generation, 1);
}

#[test]
fn a_grant_is_in_force_for_its_consumer_its_listings_and_its_time_only() {
    let grant = active();
    let listing = name("compute.default");
    let stranger = grant.in_force(&OrgId::from_digest([9; 32]), &listing, NOW);
    assert!(matches!(stranger, Err(GrantError::Unknown(_))));
    let other = grant
        .in_force(&NORTH, &name("compute.other"), NOW)
        .unwrap_err();
    assert!(
        other
            .to_string()
            .contains("does not cover listing `compute.other`")
    );
    let end = Timestamp::from_millisecond(i64::try_from(HOUR).unwrap()).unwrap();
    let late = grant.in_force(&NORTH, &listing, end).unwrap_err();
    assert!(late.to_string().contains("expired"), "{late}");
}

#[test]
fn a_revoked_grant_says_so_and_has_a_higher_generation() {
    let mut grant = active();
    grant
        .revoke(Cause::new("revoked", "maintenance", SOUTH, NOW))
        .unwrap();
    assert_eq!(grant.generation, 2);
    let error = grant
        .in_force(&NORTH, &name("compute.default"), NOW)
        .unwrap_err();
    assert!(
        error.to_string().contains("is revoked: maintenance"),
        "{error}"
    );
    grant.revoke(cause("again")).unwrap();
    assert_eq!(grant.generation, 2);
}

#[test]
fn more_than_was_asked_for_cannot_be_given() {
    let mut grant = pending();
    let mut more = agreed();
    more.limits.cores = 3;
    let error = grant.agree(more).unwrap_err();
    assert!(
        error.to_string().contains("3 cores asked for, 2 allowed"),
        "{error}"
    );
}

#[test]
fn another_statement_than_the_offered_one_is_not_accepted() {
    let mut grant = pending();
    grant.agree(agreed()).unwrap();
    grant.offer("signed".into(), cause("approved")).unwrap();
    let mut forged = grant.statement().unwrap();
    forged.limits.cores = 64;
    let refused = grant.accept(&forged, "both".into(), cause("accepted"));
    assert_eq!(refused, Err(GrantError::Other("offered")));
    assert_eq!(grant.state, GrantState::Offered);
}

#[test]
fn a_request_for_more_than_the_offer_has_is_refused_with_the_number() {
    let mut request = request();
    let here = [offered(ListingKind::Compute, free())];
    assert_eq!(request.check(&here, NOW), Ok(free()));
    request.limits.cores = 16;
    let error = request.check(&here, NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "listing `compute.default` has less than that: 16 cores asked for, 2 allowed"
    );
}

#[test]
fn a_request_that_is_over_already_or_names_nothing_is_refused() {
    let here = [offered(ListingKind::Compute, free())];
    let mut late = request();
    late.not_after_ms = 0;
    assert!(matches!(late.check(&here, NOW), Err(RequestError::Time(_))));
    assert_eq!(request().check(&[], NOW), Err(RequestError::Empty));
    let mut long = request();
    long.not_after_ms = GrantRequest::LONGEST_MS + 1;
    assert!(matches!(long.check(&here, NOW), Err(RequestError::Time(_))));
}

#[test]
fn one_grant_has_one_price_and_one_set_of_machines() {
    let price = |core_hour, egress| Price {
        core_hour: Money(core_hour),
        egress_gib: Money(egress),
        ..free()
    };
    let here = [
        offered(ListingKind::Compute, price(100, 0)),
        offered(ListingKind::Dataset, price(0, 7)),
    ];
    assert_eq!(request().check(&here, NOW), Ok(price(100, 7)));

    let francs = Price {
        currency: "CHF".parse().unwrap(),
        ..price(0, 7)
    };
    let here = [
        offered(ListingKind::Compute, price(1, 0)),
        offered(ListingKind::Dataset, francs),
    ];
    assert!(matches!(
        request().check(&here, NOW),
        Err(RequestError::Currencies(..))
    ));

    let mut two = request();
    two.listings.push(Asked {
        id: name("compute.big"),
        kind: ListingKind::Compute,
    });
    let refused = two.check(&[offered(ListingKind::Compute, free())], NOW);
    assert_eq!(refused, Err(RequestError::TwoMachines(name("compute.big"))));
}

fn rule(text: &str) -> Rule {
    Rule {
        name: name(text),
        consumers: vec![],
        listings: vec![],
        limits: limits(),
        longest_seconds: 3600,
        tools: None,
    }
}

#[test]
fn the_first_rule_that_is_for_a_request_decides() {
    let mut strict = rule("a");
    strict.limits.cores = 1;
    strict.consumers = vec![NORTH];
    let rules = [rule("b"), strict];
    let Decision::Wait(why) = decide(&rules, &NORTH, &request(), NOW) else {
        panic!("the strict rule was skipped");
    };
    assert!(
        why.contains("rule `a`") && why.contains("2 cores asked for, 1 allowed"),
        "{why}"
    );
    let other = decide(&rules, &SOUTH, &request(), NOW);
    assert_eq!(other, Decision::Approve(&rules[0]));
}

#[test]
fn a_rule_for_other_listings_or_a_shorter_life_does_not_approve() {
    let mut elsewhere = rule("a");
    elsewhere.listings = vec![name("compute.other")];
    let waits = decide(std::slice::from_ref(&elsewhere), &NORTH, &request(), NOW);
    assert!(matches!(waits, Decision::Wait(why) if why.contains("no rule")));
    let mut short = rule("a");
    short.longest_seconds = 3599;
    let waits = decide(std::slice::from_ref(&short), &NORTH, &request(), NOW);
    assert!(matches!(waits, Decision::Wait(why) if why.contains("3600 seconds of life")));
}

/// Anything either side can do to a grant.
#[derive(Debug, Clone, Copy)]
enum Act {
    Agree,
    Offer,
    Accept,
    Deny,
    Revoke,
    End,
    Expire,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_done_a_grant_that_is_over_stays_so_and_its_generation_never_falls(
        acts in prop::collection::vec(
            prop::sample::select(vec![
                Act::Agree, Act::Offer, Act::Accept, Act::Deny, Act::Revoke, Act::End, Act::Expire,
            ]),
            1..20,
        ),
    ) {
        let mut grant = pending();
        for act in acts {
            let before = grant.clone();
            let refused = match act {
                Act::Agree => grant.agree(agreed()).is_err(),
                Act::Offer => grant.offer("e".into(), cause("offer")).is_err(),
                Act::Accept => {
                    let statement = active().statement().unwrap();
                    let own = grant.statement().unwrap_or(statement);
                    grant.accept(&own, "e".into(), cause("accept")).is_err()
                }
                Act::Deny => grant.deny(cause("deny")).is_err(),
                Act::Revoke => grant.revoke(cause("revoke")).is_err(),
                Act::End => { grant.end(cause("end")); false }
                Act::Expire => { grant.expire(Timestamp::MAX); false }
            };
            prop_assert!(grant.generation >= before.generation);
            if refused {
                prop_assert_eq!(&grant, &before);
            }
            if before.state.over() {
                prop_assert_eq!(grant.state, before.state);
            }
            if before.state == GrantState::Active && grant.state != GrantState::Active {
                prop_assert!(grant.generation > before.generation);
            }
        }
    }
}
