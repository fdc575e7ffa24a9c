//! What a person agreed to bounds every attempt, wherever it goes.

use oc_kernel::Money;
use oc_workflow::explain;
use oc_workflow::plan::Price;
use oc_workflow::run::{AttemptRef, End, Event, FragmentState, RunState, code};
use proptest::prelude::*;

use crate::driven::{Driven, FIRST, cause};
use crate::explain::Nobody;
use crate::world::{World, own_site, site, step};

fn price(currency: &str, core_hour: i64) -> Price {
    Price {
        currency: currency.to_owned(),
        core_hour: Money(core_hour),
        egress_gib: Money::ZERO,
    }
}

/// One step without data, free of charge at North.
fn at_home() -> World {
    let mut world = World::story();
    world.data.clear();
    world.steps.steps = vec![step("colour", &[], &[])];
    world.steps.outputs.remove("ndvi");
    world
}

fn failed(driven: &mut Driven, at: AttemptRef) {
    driven.submit(at);
    let end = End::Failed(cause(code::GRANT_REVOKED));
    driven.tell(Event::Ended { at, end });
}

#[test]
fn a_run_that_was_to_cost_nothing_is_not_moved_to_a_place_with_a_price() {
    let mut driven = Driven::new(&at_home());
    assert_eq!(driven.run.fragments()[0].place().name, "North");
    failed(&mut driven, FIRST);
    assert_eq!(driven.states(), [FragmentState::Failed]);
    let cause = &driven.run.fragments()[0].cause;
    assert_eq!(cause.code, code::TOO_DEAR);
    assert_eq!(
        cause.text,
        "because grant-revoked; not tried at South instead: it would cost at most 0.011 EUR there, and nothing was \
         agreed to"
    );
    assert!(cause.advice.contains("start a new run"));
    driven.give_back();
    assert_eq!(driven.run.state(), RunState::Failed);
}

#[test]
fn a_run_is_moved_to_a_place_that_costs_no_more_and_says_why_it_is_there() {
    let mut world = at_home();
    world.sites[0].price = price("EUR", 60_000);
    world.sites[1].price = price("EUR", 60_000);
    let mut driven = Driven::new(&world);
    failed(&mut driven, FIRST);
    assert_eq!(driven.run.fragments()[0].place().name, "South");
    let why = driven.run.why_there(0);
    assert_eq!(
        why,
        "it was planned at North, where 1 of its attempts did not succeed"
    );
    let at = AttemptRef {
        attempt: 2,
        ..FIRST
    };
    driven.submit(at);
    driven.succeed(at);
    driven.tell(Event::Published);
    driven.give_back();
    driven.settle();
    assert!(explain::text(&driven.run, &Nobody, driven.now).contains(&why));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_attempt_costs_more_than_was_agreed_to(
        offers in prop::collection::vec((0..4_i64, any::<bool>()), 2..5),
        hopeless in any::<bool>(),
    ) {
        let mut world = at_home();
        world.sites = vec![own_site()];
        for (number, (core_hour, dollars)) in (2..).zip(offers) {
            let mut other = site(number, "Partner");
            other.price = price(if dollars { "USD" } else { "EUR" }, core_hour * 60_000);
            world.sites.push(other);
        }
        if hopeless {
            world.sites.remove(0);
        }
        let mut driven = Driven::new(&world);
        let plan = driven.run.plan().fragments[0].clone();
        let core_seconds = u64::from(plan.resources.cores) * plan.wall_seconds;
        for attempt in 1..=4 {
            let at = AttemptRef { fragment: 0, attempt };
            if driven.run.attempt(at).is_some() {
                failed(&mut driven, at);
            }
        }
        prop_assert_eq!(driven.states(), [FragmentState::Failed]);
        let attempts = &driven.run.fragments()[0].attempts;
        for attempt in attempts {
            let site = world.sites.iter().find(|site| site.org == attempt.place.org).unwrap();
            let cost = site.price.of_cores(core_seconds);
            prop_assert!(cost <= plan.most, "{} for {}", cost, plan.most);
            prop_assert!(cost == Money::ZERO || site.price.currency == plan.currency);
        }
        // Nor is a place left out that would have cost no more.
        let fits = |site: &&oc_workflow::plan::Site| {
            let cost = site.price.of_cores(core_seconds);
            cost == Money::ZERO || (site.price.currency == plan.currency && cost <= plan.most)
        };
        prop_assert_eq!(attempts.len(), world.sites.iter().filter(fits).count().min(3));
    }
}
