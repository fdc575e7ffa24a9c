//! The compute offers that a plan may name, with what is free there now.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use oc_kernel::{Classify as _, Kind};
use oc_proto::catalog::v1::{Listing, ListingKind};
use oc_proto::compute::v1::Grant;
use oc_proto::federation::v1::{GetCapacityRequest, GetCapacityResponse};
use oc_service::CallError;
use oc_workflow::Resources;
use oc_workflow::data::ListingRef;
use oc_workflow::plan::{Access, Placement, Site};
use serde_json::Value;

use super::world::World;
use super::{grant_text, late, price_of};
use crate::context::Context;
use crate::error::RunError;
use crate::ports::Catalogue;

/// Looks at the sites that a plan may name; those we may use are asked what is free, all at once.
pub(super) async fn look(
    context: &Context,
    world: &World,
    run: &str,
    placement: &Placement,
    now: Timestamp,
) -> Result<Vec<Site>, RunError> {
    let listed = candidates(context.catalogue.as_ref(), world, placement).await;
    let listed = listed.map_err(RunError::call("compute offers cannot be read"))?;
    offers_of_ours(world, placement, &listed)?;
    let sites = listed
        .iter()
        .map(|listing| one(context, world, run, listing, now));
    Ok(join_all(sites).await.into_iter().flatten().collect())
}

/// Our own offers, those that grants name, those of organisations chosen by hand, and some more: what a
/// person could ask a grant for. Ours first; however many there are in the catalogue.
async fn candidates(
    catalogue: &dyn Catalogue,
    world: &World,
    placement: &Placement,
) -> Result<Vec<Listing>, CallError> {
    let me = world.me.org.to_string();
    let mut listed = catalogue.of(&me, ListingKind::Compute).await?;
    let received = world.grants.iter().filter(|grant| !grant.given);
    let named: BTreeSet<(&str, &str)> = received
        .flat_map(|grant| {
            let ids = grant.listing_ids.iter();
            ids.map(|id| (grant.provider.as_str(), id.as_str()))
        })
        .filter(|(_, id)| id.starts_with("compute."))
        .collect();
    for (owner, id) in named {
        match catalogue.listing(owner, id).await {
            Ok(listing) => listed.push(listing),
            // Withdrawn, or its owner has left: a grant outlives what it was for.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let chosen: BTreeSet<&str> = placement.steps.values().map(String::as_str).collect();
    for site in chosen.into_iter().filter(|site| *site != me) {
        listed.extend(catalogue.of(site, ListingKind::Compute).await?);
    }
    listed.extend(catalogue.first(ListingKind::Compute).await?);
    listed
        .sort_by(|a, b| (!a.own, &a.owner, &a.listing_id).cmp(&(!b.own, &b.owner, &b.listing_id)));
    listed.dedup_by(|a, b| (&a.owner, &a.listing_id) == (&b.owner, &b.listing_id));
    Ok(listed)
}

/// Refuses a step that is placed here while we offer no machines.
fn offers_of_ours(
    world: &World,
    placement: &Placement,
    listed: &[Listing],
) -> Result<(), RunError> {
    if listed.iter().any(|listing| listing.own) {
        return Ok(());
    }
    let (me, name) = (world.me.org.to_string(), world.me.name.as_str());
    let ours = |site: &str| site == me || site.eq_ignore_ascii_case(name);
    let other = |site: &str| {
        listed
            .iter()
            .any(|it| it.owner_name.eq_ignore_ascii_case(site))
    };
    let mut steps = placement.steps.iter();
    match steps.find(|(_, site)| ours(site) && !other(site)) {
        Some((step, _)) => Err(RunError::invalid(
            format!("placement.{step}"),
            format!(
                "{name} (this organisation) offers no machines: `opencloud offer compute` makes an offer, or place the \
                 step elsewhere"
            ),
        )),
        None => Ok(()),
    }
}

async fn one(
    context: &Context,
    world: &World,
    run: &str,
    listing: &Listing,
    now: Timestamp,
) -> Option<Site> {
    // A listing that names nobody is nobody's.
    let of = ListingRef {
        owner: listing.owner.parse().ok()?,
        listing: listing.listing_id.parse().ok()?,
    };
    let access = world.access_to_machines(&of, now);
    let offered = offered(listing);
    let mut site = Site {
        org: of.owner,
        name: match listing.owner_name.as_str() {
            "" => of.owner.short(),
            name => name.to_owned(),
        },
        listing: of.listing.clone(),
        silent_since: None,
        limit: offered,
        free: offered,
        price: price_of(listing),
        software: None,
        containers: false,
        sandbox_missing: None,
        longest_seconds: None,
        core_seconds_left: None,
        access,
    };
    let usable = site.access.refusal("", "", now).is_none();
    if usable {
        let asked = ask(context, run, &of, &site.access, &site.name).await;
        take(&mut site, asked, listing, now);
        bound(&mut site, world);
    }
    Some(site)
}

fn offered(listing: &Listing) -> Resources {
    let body: Value = serde_json::from_str(&listing.body_json).unwrap_or_default();
    let number = |name: &str| body.get(name).and_then(Value::as_u64).unwrap_or_default();
    Resources {
        cores: u32::try_from(number("cores")).unwrap_or(u32::MAX),
        memory_bytes: number("memory_bytes"),
    }
}

async fn ask(
    context: &Context,
    run: &str,
    of: &ListingRef,
    access: &Access,
    name: &str,
) -> Result<GetCapacityResponse, CallError> {
    let ask = GetCapacityRequest {
        listing_id: of.listing.to_string(),
        grant_id: grant_text(access),
    };
    let limit = Duration::from_secs(context.settings.planning_seconds);
    let asked = context.federation.capacity(of.owner, run, ask);
    let asked = tokio::time::timeout(limit, asked).await;
    asked.unwrap_or_else(|_| Err(late(name)))
}

fn take(
    site: &mut Site,
    asked: Result<GetCapacityResponse, CallError>,
    listing: &Listing,
    now: Timestamp,
) {
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => {
            match error.kind() {
                Kind::Unavailable | Kind::Timeout => {
                    let renewed = i64::try_from(listing.renewed_at_ms).unwrap_or(i64::MAX);
                    let since = Timestamp::from_millisecond(renewed).unwrap_or(now);
                    site.silent_since = Some(since.min(now));
                }
                _ => {
                    site.access = Access::Refused {
                        reason: error.message,
                    }
                }
            }
            return;
        }
    };
    let free = asked.free.unwrap_or_default();
    let none_at_once = free.concurrent_fragments == 0;
    site.free = Resources {
        cores: if none_at_once { 0 } else { free.cores },
        memory_bytes: free.memory_bytes,
    };
    site.longest_seconds = (free.wall_seconds > 0).then_some(free.wall_seconds);
    if site.access != Access::Own {
        if !asked.sandbox {
            site.sandbox_missing = Some("its node reports none".to_owned());
        }
        site.core_seconds_left = Some(free.core_seconds);
    }
}

/// A grant may allow less than the offer.
fn bound(site: &mut Site, world: &World) {
    let Some(id) = site.access.grant() else {
        return;
    };
    let id = id.to_string();
    let grant: Option<&Grant> = world.grants.iter().find(|grant| grant.grant_id == id);
    let Some(grant) = grant else {
        return;
    };
    let limits = grant.limits.unwrap_or_default();
    site.limit = site.limit.min(Resources {
        cores: limits.cores,
        memory_bytes: limits.memory_bytes,
    });
    if let Some(price) = &grant.price {
        site.price = super::price(price.clone());
    }
    if limits.wall_seconds > 0 {
        let longest = site
            .longest_seconds
            .unwrap_or(u64::MAX)
            .min(limits.wall_seconds);
        site.longest_seconds = Some(longest);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use oc_door::Identity;
    use oc_kernel::OrgId;
    use oc_workflow::plan::Strategy;

    use super::*;

    fn org(number: u8) -> OrgId {
        OrgId::from_digest([number; 32])
    }

    fn offer(number: u8, id: &str) -> Listing {
        Listing {
            owner: org(number).to_string(),
            listing_id: id.to_owned(),
            own: number == 1,
            ..Listing::default()
        }
    }

    /// A catalogue that notes what it was asked for.
    struct Asked {
        listings: Vec<Listing>,
        page: usize,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Catalogue for Asked {
        async fn listing(&self, owner: &str, listing_id: &str) -> Result<Listing, CallError> {
            self.asked.lock().unwrap().push(listing_id.to_owned());
            let mut all = self.listings.iter();
            let found = all.find(|one| one.owner == owner && one.listing_id == listing_id);
            found.cloned().ok_or(CallError::new(Kind::NotFound, "gone"))
        }

        async fn of(&self, owner: &str, _: ListingKind) -> Result<Vec<Listing>, CallError> {
            self.asked.lock().unwrap().push(owner.to_owned());
            let all = self.listings.iter();
            Ok(all.filter(|one| one.owner == owner).cloned().collect())
        }

        async fn first(&self, _: ListingKind) -> Result<Vec<Listing>, CallError> {
            Ok(self.listings.iter().take(self.page).cloned().collect())
        }
    }

    #[test]
    fn a_step_placed_here_where_we_offer_no_machines_is_told_how_to_offer_some() {
        let world = World {
            me: Identity {
                org: org(1),
                name: "North".to_owned(),
            },
            grants: Vec::new(),
            disputes: BTreeMap::new(),
            unfit: BTreeMap::new(),
            looked_at: Default::default(),
            used: Vec::new(),
            output: None,
        };
        let at = |site: &str| Placement {
            strategy: Strategy::NearData,
            steps: BTreeMap::from([("stack".to_owned(), site.to_owned())]),
        };
        let partners = [offer(2, "compute.machines")];
        for site in ["North", "north", &org(1).to_string()] {
            let error = offers_of_ours(&world, &at(site), &partners).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("placement.stack: North (this"), "{text}");
            assert!(text.contains("`opencloud offer compute`"), "{text}");
        }
        assert!(offers_of_ours(&world, &at("South"), &partners).is_ok());
        let ours = [offer(1, "compute.home")];
        assert!(offers_of_ours(&world, &at("North"), &ours).is_ok());
    }

    #[tokio::test]
    async fn only_what_a_plan_may_name_is_fetched_however_many_offers_are_listed() {
        let crowd = (10..100).map(|number| offer(number, "compute.crowd"));
        let named = [
            offer(1, "compute.own"),
            offer(2, "compute.granted"),
            offer(2, "compute.other"),
            offer(3, "compute.chosen"),
        ];
        let catalogue = Asked {
            listings: crowd.chain(named).collect(),
            page: 2,
            asked: Mutex::default(),
        };
        let granted = Grant {
            provider: org(2).to_string(),
            listing_ids: ["dataset.images", "compute.granted", "compute.withdrawn"]
                .map(str::to_owned)
                .into(),
            ..Grant::default()
        };
        let world = World {
            me: Identity {
                org: org(1),
                name: "North".to_owned(),
            },
            grants: vec![granted],
            disputes: BTreeMap::new(),
            unfit: BTreeMap::new(),
            looked_at: Default::default(),
            used: Vec::new(),
            output: None,
        };
        let placement = Placement {
            strategy: Strategy::NearData,
            steps: BTreeMap::from([("step".to_owned(), org(3).to_string())]),
        };
        let found = candidates(&catalogue, &world, &placement).await.unwrap();
        let mut ids: Vec<_> = found.iter().map(|one| one.listing_id.as_str()).collect();
        assert_eq!(ids.remove(0), "compute.own", "ours is looked at first");
        ids.sort_unstable();
        let crowd = "compute.crowd";
        assert_eq!(ids, ["compute.chosen", crowd, crowd, "compute.granted"]);
        assert_eq!(
            *catalogue.asked.lock().unwrap(),
            [
                org(1).to_string(),
                "compute.granted".to_owned(),
                "compute.withdrawn".to_owned(),
                org(3).to_string()
            ]
        );
    }
}
