//! Data that only listed tools may read, and so only where their owner runs them.

use oc_workflow::plan::{PlanError, Price};

use crate::world::{World, site};

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
