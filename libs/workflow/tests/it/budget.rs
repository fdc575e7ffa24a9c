//! How much of a grant's budget a plan asks for.

use crate::world::{GIB, World};

#[test]
fn a_step_without_a_limit_asks_for_no_more_than_is_left_of_the_grant() {
    let mut world = World::story();
    world.steps.steps[0].needs.seconds = None;
    world.sites[1].longest_seconds = Some(7_200);
    world.sites[1].core_seconds_left = Some(3_000);
    let fragment = &world.plan().unwrap().fragments[0];
    assert_eq!(fragment.site.name, "South");
    let cores = u64::from(fragment.resources.cores);
    assert_eq!(fragment.wall_seconds, 3_000 / cores);

    world.sites.remove(0);
    world.sites[0].core_seconds_left = Some(0);
    let error = world.plan().unwrap_err().to_string();
    assert!(error.contains("the grant has 0 left"), "{error}");
}

#[test]
fn fragments_under_one_grant_share_what_is_left_of_it() {
    let mut world = World::story();
    for step in &mut world.steps.steps {
        step.needs.seconds = None;
    }
    // Two offers of South under the same grant; each step fits one of them only.
    world.sites[1].core_seconds_left = Some(3_000);
    let mut second = world.sites[1].clone();
    second.listing = "compute.second".parse().unwrap();
    second.limit.cores = 1;
    second.free.cores = 1;
    world.steps.steps[0].needs.resources.cores = 2;
    world.sites[1].limit.memory_bytes = 2 * GIB;
    world.steps.steps[1].needs.resources.memory_bytes = 3 * GIB;
    world.sites.push(second);
    world.sites.remove(0);
    let plan = world.plan().unwrap();
    assert_eq!(plan.fragments.len(), 2);
    let asked = plan
        .fragments
        .iter()
        .map(|fragment| fragment.wall_seconds * u64::from(fragment.resources.cores));
    assert!(asked.sum::<u64>() <= 3_000);
}
