//! Every compute offer that is listed, with what is free there now.

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
use oc_workflow::plan::{Access, Site};
use serde_json::Value;

use super::{World, grant_text, late, price_of};
use crate::context::Context;
use crate::error::RunError;

/// Looks at all sites; those we may use are asked what is free, all at once.
pub(super) async fn look(
    context: &Context,
    world: &World,
    run: &str,
    now: Timestamp,
) -> Result<Vec<Site>, RunError> {
    let listed = context.catalogue.all(ListingKind::Compute).await;
    let mut listed = listed.map_err(RunError::call("compute offers cannot be read"))?;
    listed
        .sort_by(|a, b| (!a.own, &a.owner, &a.listing_id).cmp(&(!b.own, &b.owner, &b.listing_id)));
    let sites = listed
        .iter()
        .map(|listing| one(context, world, run, listing, now));
    Ok(join_all(sites).await.into_iter().flatten().collect())
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
    let access = world.access(&of, now);
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
                    site.access = Access::Denied {
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
        site.price = oc_workflow::plan::Price {
            currency: price.currency.clone(),
            core_hour: oc_kernel::Money(price.core_hour_micros),
            egress_gib: oc_kernel::Money(price.egress_gib_micros),
        };
    }
    if limits.wall_seconds > 0 {
        let longest = site
            .longest_seconds
            .unwrap_or(u64::MAX)
            .min(limits.wall_seconds);
        site.longest_seconds = Some(longest);
    }
}
