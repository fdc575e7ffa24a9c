//! Where steps go, and why.

use std::collections::{BTreeMap, BTreeSet};

use oc_kernel::{Classify as _, Kind, Money};
use oc_workflow::plan::{Access, Plan, PlanError, Price, Site, Strategy};
use oc_workflow::{Resources, StepsError};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use crate::world::{GIB, MIB, World, later, org, own_site, site, step};

fn places(plan: &Plan) -> Vec<(&str, Vec<&str>)> {
    let place = |fragment| {
        let fragment: &oc_workflow::plan::FragmentPlan = fragment;
        let steps = fragment.steps.iter().map(String::as_str).collect();
        (fragment.site.name.as_str(), steps)
    };
    plan.fragments.iter().map(place).collect()
}

#[test]
fn a_plan_that_nobody_waits_for_any_more_is_given_up() {
    let asked = std::cell::Cell::new(0);
    let wanted = || {
        asked.set(asked.get() + 1);
        asked.get() < 2
    };
    let given_up = World::story().plan_while(&wanted).unwrap_err();
    assert_eq!(given_up, PlanError::GivenUp);
    assert_eq!(given_up.kind(), Kind::Timeout);
}

#[test]
fn steps_go_next_to_their_data_and_the_plan_says_so() {
    let world = World::story();
    let plan = world.plan().unwrap();
    assert_eq!(places(&plan), [("South", vec!["colour", "index"])]);
    let fragment = &plan.fragments[0];
    assert_eq!(fragment.site.org, org(2));
    assert!(fragment.site.grant.is_some());
    assert_eq!(
        fragment.reason,
        "nearest to the data: its data (8 MiB) is there, 4 MiB to move; about 0.002 EUR; 8 cores free"
    );
    let home = &fragment.alternatives[0];
    assert!(home.usable);
    assert_eq!(home.reason, "4 MiB more to move");
    assert_eq!(plan.bytes_moved, 4 * MIB);
    assert_eq!(
        plan.cost,
        BTreeMap::from([("EUR".to_owned(), Money(2_000))])
    );
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert_eq!(fragment.wall_seconds, 120 + 600);
    // What it asks for, to the last second.
    let price = &world.sites[1].price;
    let all = price.of_cores(u64::from(fragment.resources.cores) * fragment.wall_seconds);
    assert!(fragment.most >= all && fragment.most > fragment.cost);
    assert_eq!(plan.most["EUR"], fragment.most);
}

#[test]
fn by_cost_the_free_site_wins_over_the_near_one() {
    let mut world = World::story();
    world.placement.strategy = Strategy::Cheapest;
    let plan = world.plan().unwrap();
    assert_eq!(places(&plan), [("North", vec!["colour", "index"])]);
    let fragment = &plan.fragments[0];
    assert!(
        fragment
            .reason
            .starts_with("cheapest: 8 MiB to move; free of charge")
    );
    assert_eq!(fragment.alternatives[0].reason, "about 0.002 EUR dearer");
}

#[test]
fn what_leaves_a_dear_owner_counts_in_the_price() {
    let mut world = World::story();
    world.placement.strategy = Strategy::Cheapest;
    if let Some(images) = world.data.get_mut("images") {
        images.price.egress_gib = Money(10_000_000);
    }
    let plan = world.plan().unwrap();
    assert_eq!(places(&plan)[0].0, "South");
}

#[test]
fn a_step_placed_by_hand_goes_there_and_the_rest_stays_where_it_is_best() {
    let mut world = World::story();
    world.steps.steps.push(step("report", &["index"], &[]));
    world
        .placement
        .steps
        .insert("report".into(), "north".into());
    let plan = world.plan().unwrap();
    assert_eq!(
        places(&plan),
        [
            ("South", vec!["colour", "index"]),
            ("North", vec!["report"])
        ]
    );
    let report = &plan.fragments[1];
    assert!(report.by_hand && report.reason.starts_with("chosen by hand"));
    assert_eq!(report.upstream, [0]);
    assert_eq!(
        report.alternatives[0].reason,
        "another site was chosen by hand"
    );
    assert!(!report.alternatives[0].usable);
    assert_eq!(plan.warnings, ["nothing reads the outputs of: report"]);
}

#[test]
fn a_placement_by_hand_that_cannot_be_kept_fails_with_its_reason() {
    let place = |step: &str, at: &str, change: fn(&mut Site)| {
        let mut world = World::story();
        change(&mut world.sites[1]);
        world.placement.steps.insert(step.into(), at.into());
        world.plan().unwrap_err()
    };
    let error = place("colour", "South", |south| south.access = Access::Missing);
    assert_eq!(
        error.to_string(),
        "step `colour` cannot run at `South`: no grant on offer `compute.default`: ask South for one"
    );
    assert_eq!(error.kind(), Kind::Precondition);
    assert!(matches!(
        place("color", "South", |_| ()),
        PlanError::UnknownStep { .. }
    ));
    let error = place("colour", "West", |_| ());
    assert_eq!(
        error.to_string(),
        "step `colour` cannot be placed at `West`, which offers no machines that are known here: known are those of \
         North, South"
    );
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn each_obstacle_is_named_with_its_numbers() {
    type Change = fn(&mut Site);
    let cases: [(Change, &str); 9] = [
        (
            |s| s.access = Access::Missing,
            "no grant on offer `compute.default`: ask South for one",
        ),
        (
            |s| s.access = Access::Expired { ended: later(-60) },
            "ended 1 min ago",
        ),
        (
            |s| s.access = Access::Revoked { at: later(-5) },
            "South revoked the grant",
        ),
        (
            |s| s.silent_since = Some(later(-90)),
            "South has not answered for 1 min 30 s",
        ),
        (
            |s| s.sandbox_missing = Some("bubblewrap".into()),
            "no sandbox for partners' work: bubblewrap",
        ),
        (
            |s| s.limit.cores = 0,
            "needs 1 core and 1 GiB, and `compute.default` allows 0 cores and 32 GiB",
        ),
        (
            |s| s.longest_seconds = Some(59),
            "may take 1 min, and `compute.default` allows 59 s",
        ),
        (
            |s| s.core_seconds_left = Some(59),
            "60 core-seconds, and the grant has 59 left",
        ),
        (
            |s| s.software = Some(BTreeSet::from(["bash".into()])),
            "South does not have gdal",
        ),
    ];
    for (change, reason) in cases {
        let mut world = World::story();
        world.steps.steps[0].needs.software.insert("gdal".into());
        change(&mut world.sites[1]);
        let plan = world.plan().unwrap();
        assert_eq!(plan.fragments[0].site.name, "North");
        let south = &plan.fragments[0].alternatives[0];
        assert!(
            !south.usable && south.reason.contains(reason),
            "{}",
            south.reason
        );
        world.sites.remove(0);
        let error = world.plan().unwrap_err().to_string();
        assert!(
            error.starts_with("step `colour` can run nowhere"),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_grant_too_short_for_the_step_is_an_obstacle_and_a_short_one_a_warning() {
    let mut world = World::story();
    let until = |seconds| Access::Granted {
        grant: oc_kernel::GrantId::new(),
        ends: later(seconds),
    };
    world.sites[1].access = until(30);
    let plan = world.plan().unwrap();
    let reason = &plan.fragments[0].alternatives[0].reason;
    assert!(
        reason.contains("it may take 1 min, and the grant ends in 30 s"),
        "{reason}"
    );
    world.sites[1].access = until(600);
    let plan = world.plan().unwrap();
    assert_eq!(places(&plan)[0].0, "South");
    assert!(
        plan.warnings[0].contains("ends in 10 min"),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn no_site_at_all_says_what_to_do() {
    let mut world = World::story();
    world.sites.clear();
    let error = world.plan().unwrap_err().to_string();
    assert!(
        error.contains("no compute offer is known: make one"),
        "{error}"
    );
}

#[test]
fn data_and_storage_need_their_grants_too() {
    let mut world = World::story();
    if let Some(images) = world.data.get_mut("images") {
        images.access = Access::Missing;
    }
    let error = world.plan().unwrap_err();
    assert_eq!(
        error.to_string(),
        "input `images` cannot be read: no grant on dataset `dataset.sentinel-2`: ask South for one"
    );
    let mut world = World::story();
    world.storage.access = Access::Revoked { at: later(-1) };
    let error = world.plan().unwrap_err().to_string();
    assert!(
        error.starts_with("the outputs cannot be stored: North revoked"),
        "{error}"
    );
}

#[test]
fn a_busy_site_is_waited_for_when_moving_the_data_is_worse() {
    let mut world = World::story();
    world.sites[1].free.cores = 0;
    let plan = world.plan().unwrap();
    assert_eq!(places(&plan)[0].0, "South");
    assert!(
        plan.fragments[0]
            .reason
            .ends_with("it must wait for capacity")
    );
    assert!(
        plan.warnings[0].contains("it will wait"),
        "{:?}",
        plan.warnings
    );
    // Among equals the free one is taken.
    world.sites.push(Site {
        listing: "compute.spare".parse().unwrap(),
        ..site(2, "South")
    });
    let plan = world.plan().unwrap();
    assert_eq!(plan.fragments[0].site.listing.as_str(), "compute.spare");
}

#[test]
fn a_fragment_asks_for_its_largest_job_and_for_more_where_that_is_free() {
    let mut world = World::story();
    world.steps.steps[0].needs.width = 100;
    world.steps.steps[1].needs.resources.cores = 2;
    world.sites[1].free.cores = 6;
    let fragment = &world.plan().unwrap().fragments[0];
    assert_eq!(
        fragment.resources,
        Resources {
            cores: 6,
            memory_bytes: 32 * GIB
        }
    );
    // 100 jobs, 6 at once, a minute each; the other step; the runner's own time.
    assert_eq!(fragment.wall_seconds, 17 * 60 + 60 + 600);
    world.sites[1].free.cores = 0;
    let fragment = &world.plan().unwrap().fragments[0];
    assert_eq!(fragment.resources.cores, 2);
}

#[test]
fn a_step_without_a_limit_may_take_what_the_site_allows_and_the_guess_is_told() {
    let mut world = World::story();
    world.steps.steps[0].needs.seconds = None;
    world.sites[1].longest_seconds = Some(7_200);
    let plan = world.plan().unwrap();
    assert_eq!(plan.fragments[0].wall_seconds, 7_200);
    assert_eq!(
        plan.warnings,
        [
            "sites are compared at 60 s a job where no ToolTimeLimit is declared, and may take all they allow: colour"
        ]
    );
}

#[test]
fn steps_that_cannot_be_ordered_are_refused() {
    let mut world = World::story();
    world.steps.steps[0].upstream.insert("index".into());
    world.steps.steps[1].upstream.insert("colour".into());
    let error = world.plan().unwrap_err();
    assert!(matches!(error, PlanError::Steps(StepsError::Cycle(_))));
    assert_eq!(error.kind(), Kind::Invalid);
}

/// 200 steps in 10 layers on 100 sites, each with some data and its own price.
fn large() -> World {
    let mut world = World::story();
    world.steps.steps.clear();
    world.sites = (0..100)
        .map(|number: u8| {
            let mut site = site(number, &format!("site-{number}"));
            site.price.core_hour = Money(i64::from(number) * 997 % 1_009);
            site.free.cores = u32::from(number % 5);
            site
        })
        .collect();
    for number in 0..200_usize {
        let upstream: Vec<String> = match number {
            0..20 => vec![],
            _ => [7, 11, 13]
                .map(|k| format!("s{}", number / 20 * 20 - 20 + number * k % 20))
                .into(),
        };
        let upstream: Vec<&str> = upstream.iter().map(String::as_str).collect();
        let input = format!("data-{number}");
        world
            .steps
            .steps
            .push(step(&format!("s{number}"), &upstream, &[&input]));
        if number % 3 == 0 {
            let mut data = world.data["images"].clone();
            data.org = org(u8::try_from(number * 31 % 100).unwrap());
            data.bytes = MIB * number as u64;
            world.data.insert(input, data);
        }
    }
    world
}

#[test]
fn two_hundred_steps_on_a_hundred_sites_get_the_same_plan_each_time() {
    let world = large();
    let plan = world.plan().unwrap();
    assert_eq!(
        plan.fragments.iter().map(|f| f.steps.len()).sum::<usize>(),
        200
    );
    assert_eq!(plan, world.plan().unwrap());
    let shown = plan
        .fragments
        .iter()
        .all(|f| f.alternatives.len() + f.others as usize == 99);
    assert!(shown);
}

/// Small worlds: up to 5 steps, 3 sites, links forward, data anywhere.
fn worlds() -> impl proptest::strategy::Strategy<Value = World> {
    let steps = prop::collection::vec((any::<u8>(), 0_u64..4, 0_u8..4), 1..6);
    let sites = prop::collection::vec((0_i64..3, 0_u32..3), 3);
    (steps, sites, any::<bool>()).prop_map(|(steps, sites, cheapest)| {
        let mut world = World::story();
        world.placement.strategy = match cheapest {
            true => Strategy::Cheapest,
            false => Strategy::NearData,
        };
        world.sites = vec![own_site(), site(2, "South"), site(3, "East")];
        for (site, (price, free)) in world.sites.iter_mut().zip(sites) {
            site.price.core_hour = Money(price * 60);
            site.free.cores = free;
        }
        world.steps.steps.clear();
        for (at, (links, bytes, holder)) in steps.into_iter().enumerate() {
            let upstream: Vec<String> = (0..at)
                .filter(|from| links >> from & 1 == 1)
                .map(|from| format!("s{from}"))
                .collect();
            let upstream: Vec<&str> = upstream.iter().map(String::as_str).collect();
            let input = format!("d{at}");
            world
                .steps
                .steps
                .push(step(&format!("s{at}"), &upstream, &[&input]));
            let mut data = world.data["images"].clone();
            (data.org, data.bytes, data.price) = (org(holder), bytes * MIB, Price::default());
            world.data.insert(input, data);
        }
        let last = world.steps.steps.last().map(|step| step.id.clone());
        world.steps.outputs = BTreeMap::from([("out".into(), last.into_iter().collect())]);
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_holds_each_step_once_and_each_fragment_can_start(world in worlds()) {
        let plan = world.plan().unwrap();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for (at, fragment) in plan.fragments.iter().enumerate() {
            prop_assert_eq!(fragment.index as usize, at);
            prop_assert!(fragment.upstream.iter().all(|from| (*from as usize) < at));
            for id in &fragment.steps {
                let step = world.steps.steps.iter().find(|step| step.id == *id).unwrap();
                prop_assert!(step.upstream.iter().all(|from| done.contains(from.as_str())));
                prop_assert!(done.insert(id));
            }
        }
        prop_assert_eq!(done.len(), world.steps.steps.len());
    }

    #[test]
    fn no_single_site_beats_the_plan(world in worlds()) {
        let chosen = world.plan().unwrap();
        for site in ["North", "South", "East"] {
            let mut by_hand = world.clone();
            for step in &world.steps.steps {
                by_hand.placement.steps.insert(step.id.clone(), site.into());
            }
            let single = by_hand.plan().unwrap();
            let value = |plan: &Plan| match world.placement.strategy {
                Strategy::NearData => i128::from(plan.bytes_moved),
                Strategy::Cheapest => {
                    plan.cost.values().map(|cost| i128::from(cost.micros())).sum()
                }
            };
            prop_assert!(value(&chosen) <= value(&single), "{site}");
        }
    }
}
