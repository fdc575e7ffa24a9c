//! Where the results of a run go, and what a person should know of that place.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::Name;
use oc_proto::catalog::v1::ListingKind;
use oc_proto::pipeline::v1 as pb;
use oc_workflow::data::{Destination, ListingRef};
use oc_workflow::plan::{InputData, Storage};

use super::first_of;
use super::world::World;
use crate::context::Context;
use crate::error::RunError;
use crate::{files, request};

/// The prefix of outputs where none is named.
const PREFIX: &str = "runs";

/// Where the results go.
pub(super) struct Output {
    pub(super) destination: Destination,
    pub(super) storage: Storage,
    /// What a person should know of it.
    pub(super) note: Option<String>,
}

/// Finds the storage that is asked for, or one of ours, and notes in `world` that it is used.
pub(super) async fn find(
    context: &Context,
    world: &mut World,
    asked: pb::OutputPlace,
    now: Timestamp,
) -> Result<Output, RunError> {
    let named = asked
        .storage
        .filter(|storage| !storage.listing_id.is_empty());
    let (storage, name, note) = match named {
        Some(storage) => {
            let storage = request::listing(Some(&storage), "output.storage")?;
            let owner = storage.owner.to_string();
            let found = context
                .catalogue
                .listing(&owner, storage.listing.as_str())
                .await;
            let what = format!("storage `{}`", storage.listing);
            let name = found.map_err(RunError::call(what))?.owner_name;
            let note = (storage.owner != world.me.org).then(|| of_partner(&storage, &name));
            (storage, name, note)
        }
        None => {
            let own = own_storage(context, world).await?;
            let several = own.len() > 1;
            let room = match several {
                true => context.objects.room().await,
                false => Ok(BTreeMap::new()),
            };
            let room = room.map_err(RunError::call("the room of our storage cannot be read"))?;
            let listing = roomiest(own, &room).ok_or_else(none_of_ours)?;
            let note = several.then(|| of_several(&listing));
            let owner = world.me.org;
            let storage = ListingRef { owner, listing };
            (storage, world.me.name.clone(), note)
        }
    };
    let prefix = match asked.prefix.trim_matches('/') {
        "" => PREFIX,
        prefix => prefix,
    };
    let prefix = prefix
        .parse()
        .map_err(|error| RunError::malformed("output.prefix", error))?;
    world.used.push(storage.clone());
    world.output = Some(storage.clone());
    let place = Storage {
        org: storage.owner,
        name: first_of([&name, &storage.owner.short(), &String::new()]),
        listing: storage.listing.clone(),
        access: world.access(&storage, now),
    };
    Ok(Output {
        destination: Destination { storage, prefix },
        storage: place,
        note,
    })
}

fn of_partner(storage: &ListingRef, owner: &str) -> String {
    format!(
        "the results lie in `{}` of {owner}, and are removed when the grant ends: fetch them before, or store them in \
         storage of ours",
        storage.listing
    )
}

fn of_several(storage: &Name) -> String {
    format!("the results go to `{storage}`, which has the most room of our storage offers")
}

/// Our storage offers by name.
async fn own_storage(context: &Context, world: &World) -> Result<Vec<Name>, RunError> {
    let me = world.me.org.to_string();
    let own = context.catalogue.of(&me, ListingKind::Storage).await;
    let own = own.map_err(RunError::call("storage offers cannot be read"))?;
    let names = own
        .iter()
        .filter_map(|listing| listing.listing_id.parse().ok());
    let mut names: Vec<Name> = names.collect();
    names.sort_unstable();
    Ok(names)
}

/// Our first storage offer by name: where a file lies that is named without one.
pub(super) async fn first_storage(context: &Context, world: &World) -> Result<Name, RunError> {
    let own = own_storage(context, world).await?;
    own.into_iter().next().ok_or_else(none_of_ours)
}

fn none_of_ours() -> RunError {
    let how = "we offer no storage: name a partner's, or make one with `opencloud offer storage`";
    RunError::invalid("output.storage", how)
}

/// Of listings by name the one with the most room, the first of several. `room` has it by offer.
fn roomiest(listings: Vec<Name>, room: &BTreeMap<String, u64>) -> Option<Name> {
    let free = |listing: &Name| {
        let offer = listing.as_str().strip_prefix(files::STORAGE);
        offer.and_then(|offer| room.get(offer)).copied()
    };
    listings.into_iter().rev().max_by_key(free)
}

/// Refuses data and storage of one owner that are under two grants: who reads the one must write to the other under
/// the same.
pub(super) fn check_grant(
    storage: &Storage,
    data: &BTreeMap<String, InputData>,
) -> Result<(), RunError> {
    let of_owner = |data: &&InputData| data.org == storage.org;
    let (Some(writes), Some(other)) = (
        storage.access.grant(),
        data.values()
            .filter(of_owner)
            .find(|data| data.access.grant() != storage.access.grant()),
    ) else {
        return Ok(());
    };
    match other.access.grant() {
        None => Ok(()),
        Some(reads) => Err(RunError::invalid(
            "output.storage",
            format!(
                "{} is read under grant {reads} and `{}` is written under grant {writes}, and a step has one grant of {}: \
                 ask {} for one grant on both, or store the results elsewhere",
                other.what, storage.listing, storage.name, storage.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use oc_kernel::{GrantId, OrgId};
    use oc_workflow::plan::{Access, Price};

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn results_go_where_most_room_is_and_not_to_the_first_name() {
        let listings = ["storage.aaa", "storage.more", "storage.results"].map(name);
        let room = |sizes: [u64; 3]| {
            let offers = ["aaa", "more", "results"].map(str::to_owned);
            roomiest(
                listings.to_vec(),
                &offers.into_iter().zip(sizes).collect::<BTreeMap<_, _>>(),
            )
        };
        assert_eq!(room([64, 5, 1 << 30]), Some(name("storage.results")));
        assert_eq!(room([64, 64, 64]), Some(name("storage.aaa")));
        assert_eq!(roomiest(Vec::new(), &BTreeMap::new()), None);
    }

    #[test]
    fn data_and_storage_of_one_owner_under_two_grants_are_refused_with_a_cure() {
        let org = OrgId::from_digest([2; 32]);
        let under = |grant| Access::Granted {
            grant,
            ends: Timestamp::MAX,
        };
        let (one, two) = (GrantId::new(), GrantId::new());
        let storage = |grant| Storage {
            org,
            name: "South".to_owned(),
            listing: name("storage.depot"),
            access: under(grant),
        };
        let data = InputData {
            org,
            name: "South".to_owned(),
            what: "dataset `images`".to_owned(),
            bytes: 1,
            price: Price::default(),
            tools: None,
            egress_left: None,
            access: under(one),
            under: BTreeSet::new(),
        };
        let data = BTreeMap::from([("pictures".to_owned(), data)]);
        assert!(check_grant(&storage(one), &data).is_ok());
        let said = check_grant(&storage(two), &data).unwrap_err().to_string();
        assert!(said.contains("ask South for one grant on both"), "{said}");
        assert!(said.contains("`storage.depot`"), "{said}");
    }

    #[test]
    fn results_in_a_partners_storage_are_warned_of() {
        let depot = ListingRef {
            owner: OrgId::from_digest([2; 32]),
            listing: name("storage.depot"),
        };
        let said = of_partner(&depot, "South");
        assert!(said.contains("`storage.depot` of South"), "{said}");
        assert!(said.contains("removed when the grant ends"), "{said}");
    }
}
