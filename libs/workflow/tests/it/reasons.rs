//! What a plan says of partners that do not answer, and of sites that are not where the data are.

use oc_kernel::{Classify as _, Kind};

use crate::world::{World, later, org, site};

#[test]
fn a_partner_that_is_silent_is_named_and_may_answer_later() {
    let silent = |world: &mut World| world.sites[1].silent_since = Some(later(-5));
    let mut world = World::story();
    silent(&mut world);
    let by_id = world.sites[1].org.to_string();
    for at in ["South".to_owned(), by_id] {
        world.placement.steps.insert("colour".into(), at);
        let error = world.plan().unwrap_err();
        let text = "step `colour` cannot run at `South`: South has not answered for 5 s";
        assert_eq!(
            (error.to_string().as_str(), error.kind()),
            (text, Kind::Unavailable)
        );
    }
    // Where nobody else can run it either, what may pass stands first.
    let mut world = World::story();
    silent(&mut world);
    world.sites[0].limit.cores = 0;
    let error = world.plan().unwrap_err();
    let begins = "step `colour` can run nowhere: South has not answered for 5 s; it needs 1 core";
    assert!(error.to_string().starts_with(begins), "{error}");
    assert_eq!(error.kind(), Kind::Unavailable);
    world.sites[1].silent_since = Some(later(0));
    let error = world.plan().unwrap_err().to_string();
    assert!(error.contains("South does not answer"), "{error}");
}

#[test]
fn a_site_to_which_all_data_must_move_is_not_called_nearest() {
    let mut world = World::story();
    let reason = |world: &World| world.plan().unwrap().fragments[0].reason.clone();
    assert!(reason(&world).starts_with("nearest to the data: its data"));
    for data in world.data.values_mut() {
        (data.org, data.name) = (org(1), "North".into());
    }
    world.sites[0].limit.cores = 0;
    let alone = reason(&world);
    assert!(
        alone.starts_with("the only one that can run it: "),
        "{alone}"
    );
    world.sites.push(site(3, "East"));
    let least = reason(&world);
    assert!(least.starts_with("least to move: "), "{least}");
}
