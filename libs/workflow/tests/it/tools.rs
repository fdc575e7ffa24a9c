//! Data that only listed tools may read, and so only where their owner runs them.

use oc_kernel::GrantId;
use oc_workflow::plan::{PlanError, Price, Strategy};

use crate::world::{GIB, MIB, World, site, step};

/// South lets one service read its images.
fn listed() -> World {
    let mut world = World::story();
    let images = world.data.get_mut("images").unwrap();
    images.tools = Some(vec!["`processing.pictures.1.0`".to_owned()]);
    world
}

#[test]
fn data_with_listed_tools_are_read_at_their_owners_machines_only() {
    let mut world = listed();
    world.sites.push(site(3, "East"));
    let price = Price::default();
    for free in world.sites.iter_mut().filter(|site| site.name != "South") {
        free.price = price.clone();
    }
    let plan = world.plan().unwrap();
    assert_eq!(plan.fragments.len(), 1);
    assert_eq!(plan.fragments[0].site.name, "South");
    for other in &plan.fragments[0].alternatives {
        assert!(!other.usable);
        let reason = "South lets only `processing.pictures.1.0` read dataset `dataset.sentinel-2`, and only at its \
                      own machines";
        assert!(other.reason.contains(reason), "{}", other.reason);
    }
}

#[test]
fn without_machines_of_the_owner_there_is_no_plan_and_the_reason_says_so() {
    let mut world = listed();
    world.sites.truncate(1);
    let Err(PlanError::NoSite { reasons, .. }) = world.plan() else {
        panic!("it has a plan")
    };
    assert!(reasons.contains("only at its own machines"), "{reasons}");
    let home = "North".to_owned();
    world.placement.steps = [("colour".to_owned(), home)].into();
    let error = world.plan().unwrap_err();
    assert!(matches!(error, PlanError::ByHand { .. }), "{error}");
    assert!(error.to_string().contains("South lets only"), "{error}");
}

#[test]
fn a_listed_tool_is_not_cut_even_where_a_cut_were_cheaper() {
    let mut world = listed();
    // Steps that read nothing of the data go along, and a second offer of South's takes no part of them.
    world.steps.steps.push(step("legend", &[], &[]));
    let mut cheap = site(2, "South");
    cheap.listing = "compute.cheap".parse().unwrap();
    cheap.price = Price::default();
    cheap.limit.memory_bytes = GIB;
    world.steps.steps[1].needs.resources.memory_bytes = 2 * GIB;
    world.sites.push(cheap);
    world.placement.strategy = Strategy::Cheapest;
    let plan = world.plan().unwrap();
    assert_eq!(plan.fragments.len(), 1);
    assert_eq!(plan.fragments[0].steps.len(), 3);

    let small = |at: usize| format!("compute.{}", ["large", "cheap"][at]);
    world.sites[1].listing = small(0).parse().unwrap();
    world.placement.steps = [("colour", small(1)), ("index", small(0))]
        .map(|(step, site)| (step.to_owned(), site))
        .into();
    let error = world.plan().unwrap_err();
    assert!(matches!(error, PlanError::Data { .. }), "{error}");
    assert!(error.to_string().contains("listed as a whole"), "{error}");
}

#[test]
fn data_that_a_grant_does_not_let_leave_are_read_at_home_with_both_numbers() {
    let mut world = World::story();
    world.data.get_mut("images").unwrap().egress_left = Some(3 * MIB);
    let plan = world.plan().unwrap();
    let home = &plan.fragments[0].alternatives[0];
    assert!(!home.usable);
    let reason = "8 MiB of dataset `dataset.sentinel-2` would leave South, and the grant lets 3 MiB more leave";
    assert!(home.reason.contains(reason), "{}", home.reason);
    world.data.get_mut("images").unwrap().egress_left = Some(8 * MIB);
    assert!(world.plan().unwrap().fragments[0].alternatives[0].usable);
}

#[test]
fn data_and_machines_of_one_owner_under_different_grants_are_not_used_together() {
    let mut world = World::story();
    let on_machines = world.sites[1].access.grant().unwrap();
    let images = world.data.get_mut("images").unwrap();
    images.under = [GrantId::new()].into();
    let plan = world.plan().unwrap();
    assert_eq!(
        plan.fragments[0].site.name, "North",
        "it runs at home, where any grant on the data is good"
    );
    let south = &plan.fragments[0].alternatives[0];
    let reason = "dataset `dataset.sentinel-2` and `compute.default` are under different grants: ask South for one grant on both";
    assert!(
        !south.usable && south.reason.contains(reason),
        "{}",
        south.reason
    );

    let images = world.data.get_mut("images").unwrap();
    images.under.insert(on_machines);
    assert_eq!(world.plan().unwrap().fragments[0].site.name, "South");
}
