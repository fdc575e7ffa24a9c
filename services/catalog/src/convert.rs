//! Between the messages and the types of the domain.

use std::collections::BTreeMap;

use oc_door::price_message;
use oc_kernel::{Name, PageRequest, PageToken};
use oc_proto::catalog::v1 as pb;
use oc_proto::types::v1 as types;
use oc_trust::{Interval, ListingKind, Price, Visibility};

use crate::domain::{Area, CatalogError, Entry, Found, Key, Offer, Query};

/// Seconds a listing lives when its service does not say.
const DEFAULT_TTL: u32 = 60;
/// Results on a page when nothing is asked for.
const DEFAULT_PAGE: u32 = 50;

fn malformed(text: impl Into<String>) -> CatalogError {
    CatalogError::Malformed(text.into())
}

/// A listing id.
pub(crate) fn listing_id(text: &str) -> Result<Name, CatalogError> {
    text.parse().map_err(|reason| {
        let id = text.chars().take(80).collect();
        CatalogError::Id { id, reason }
    })
}

/// The name of a listing.
pub(crate) fn key(owner: &str, id: &str) -> Result<Key, CatalogError> {
    let no_owner =
        |_| malformed("the owner of a listing is an OrgId, such as `catalog search` shows");
    Ok(Key {
        owner: owner.parse().map_err(no_owner)?,
        id: listing_id(id)?,
    })
}

pub(crate) fn kind(number: i32) -> Result<ListingKind, CatalogError> {
    match pb::ListingKind::try_from(number) {
        Ok(pb::ListingKind::Dataset) => Ok(ListingKind::Dataset),
        Ok(pb::ListingKind::Compute) => Ok(ListingKind::Compute),
        Ok(pb::ListingKind::Storage) => Ok(ListingKind::Storage),
        Ok(pb::ListingKind::Processing) => Ok(ListingKind::Processing),
        Ok(pb::ListingKind::Workflow) => Ok(ListingKind::Workflow),
        Ok(pb::ListingKind::Unspecified) | Err(_) => Err(malformed(
            "a listing is a dataset, compute, storage, processing or workflow",
        )),
    }
}

fn kind_number(kind: ListingKind) -> i32 {
    let kind = match kind {
        ListingKind::Dataset => pb::ListingKind::Dataset,
        ListingKind::Compute => pb::ListingKind::Compute,
        ListingKind::Storage => pb::ListingKind::Storage,
        ListingKind::Processing => pb::ListingKind::Processing,
        ListingKind::Workflow => pb::ListingKind::Workflow,
    };
    kind.into()
}

fn price(price: types::Price) -> Result<Price, CatalogError> {
    oc_door::price(&price).map_err(|error| CatalogError::Offer(error.to_string()))
}

/// An empty price is how a message says that something is free.
fn is_priced(price: &types::Price) -> bool {
    *price != types::Price::default()
}

pub(crate) fn area(area: &types::BoundingBox) -> Result<Area, CatalogError> {
    Area::new([area.west, area.south, area.east, area.north])
}

/// Zero stands for an open end.
pub(crate) fn interval(time: &types::TimeRange) -> Interval {
    let end = |ms: i64| u64::try_from(ms).ok().filter(|ms| *ms > 0);
    Interval {
        start: end(time.start_ms),
        end: end(time.end_ms),
    }
}

fn time_message(interval: &Interval) -> types::TimeRange {
    let end = |ms: Option<u64>| ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
    types::TimeRange {
        start_ms: end(interval.start),
        end_ms: end(interval.end),
    }
}

/// What a service or a person lists.
pub(crate) fn offer(listing: Option<pb::Listing>) -> Result<Offer, CatalogError> {
    let listing = listing.ok_or_else(|| malformed("the request has no listing"))?;
    let orgs = listing.visible_to.iter().map(|org| org.parse());
    let orgs: Vec<_> = orgs
        .collect::<Result<_, _>>()
        .map_err(|_| malformed("`visible_to` lists OrgIds"))?;
    let visibility = if orgs.is_empty() {
        Visibility::Members
    } else {
        Visibility::Orgs(orgs)
    };
    let facets = listing
        .facets
        .into_iter()
        .map(|(key, value)| (key, vec![value]));
    let body = if listing.body_json.is_empty() {
        "{}".to_owned()
    } else {
        listing.body_json
    };
    Ok(Offer {
        id: listing_id(&listing.listing_id)?,
        kind: kind(listing.kind)?,
        name: listing.name,
        title: listing.title,
        summary: listing.summary,
        terms: listing.terms,
        price: listing.price.filter(is_priced).map(price).transpose()?,
        bbox: listing
            .area
            .as_ref()
            .map(area)
            .transpose()?
            .map(|area| area.bounds()),
        interval: listing.time.as_ref().map(interval),
        facets: facets.collect(),
        body,
        visibility,
        ttl: if listing.ttl_seconds == 0 {
            DEFAULT_TTL
        } else {
            listing.ttl_seconds
        },
    })
}

/// A listing as it is shown.
pub(crate) fn listing(entry: &Entry, now_ms: u64) -> pb::Listing {
    let offer = &entry.offer;
    let area = offer
        .bbox
        .map(|[west, south, east, north]| types::BoundingBox {
            west,
            south,
            east,
            north,
        });
    let facets = offer
        .facets
        .iter()
        .map(|(key, values)| (key.clone(), values.join(", ")));
    let visible_to = match &offer.visibility {
        Visibility::Members => Vec::new(),
        Visibility::Orgs(orgs) => orgs.iter().map(ToString::to_string).collect(),
    };
    pb::Listing {
        listing_id: offer.id.to_string(),
        owner: entry.key.owner.to_string(),
        owner_name: entry.owner_name.to_string(),
        kind: kind_number(offer.kind),
        name: offer.name.clone(),
        title: offer.title.clone(),
        summary: offer.summary.clone(),
        terms: offer.terms.clone(),
        price: offer.price.as_ref().map(price_message),
        area,
        time: offer.interval.as_ref().map(time_message),
        facets: facets.collect(),
        body_json: offer.body.clone(),
        visible_to,
        revision: entry.version.seq,
        renewed_at_ms: entry.life.heard_ms(),
        ttl_seconds: offer.ttl,
        stale: entry.is_stale(now_ms),
        own: entry.own,
    }
}

/// What is searched for.
pub(crate) fn query(request: pb::SearchRequest) -> Result<Query, CatalogError> {
    let kinds = request.kinds.into_iter().map(kind);
    let size = if request.page_size == 0 {
        DEFAULT_PAGE
    } else {
        request.page_size
    };
    Ok(Query {
        text: request.text,
        kinds: kinds.collect::<Result<_, _>>()?,
        owner: Some(request.owner).filter(|owner| !owner.is_empty()),
        facets: request.facets.into_iter().collect(),
        area: request.area.as_ref().map(area).transpose()?,
        time: request.time.as_ref().map(interval),
        fresh_only: request.fresh_only,
        page: PageRequest {
            size,
            token: PageToken::parse(&request.page_token)?,
        },
    })
}

/// What was found.
pub(crate) fn found(found: &Found, now_ms: u64) -> pb::SearchResponse {
    let counts: BTreeMap<String, u64> = found.counts.clone();
    pb::SearchResponse {
        listings: found
            .entries
            .iter()
            .map(|entry| listing(entry, now_ms))
            .collect(),
        total: found.total,
        next_page_token: found
            .next
            .as_ref()
            .map_or(String::new(), |t| t.as_str().to_owned()),
        facet_counts: counts,
    }
}
