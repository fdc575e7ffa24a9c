//! Between the messages and the domain.

use oc_door::price_message;
use oc_kernel::{Name, OrgId};
use oc_proto::catalog::v1::{Listing, ListingKind};
use oc_proto::data::v1 as data;
use oc_proto::federation::v1 as federation;
use oc_proto::types::v1 as types;
use oc_trust::Price;

use crate::domain::{
    AssetFile, DataError, Filter, Geometry, Held, Image, Query, Reservation, Span, Summary,
};
use crate::provider::Count;

/// Reads a query of a dataset.
///
/// # Errors
/// The part that cannot be read.
pub(crate) fn query(message: Option<types::DatasetQuery>) -> Result<Query, DataError> {
    let message = message.unwrap_or_default();
    let area = match (message.area, message.geometry_json.as_str()) {
        (None, "") => Ok(None),
        (Some(area), "") => {
            Geometry::of_box([area.west, area.south, area.east, area.north]).map(Some)
        }
        (None, geometry) => match serde_json::from_str(geometry) {
            Ok(geometry) => Geometry::parse(&geometry).map(Some),
            Err(error) => Err(format!("it is no GeoJSON geometry: {error}")),
        },
        (Some(_), _) => Err("it is both a box and a geometry: give one of them".to_owned()),
    };
    let area =
        area.map_err(|reason| DataError::Question(format!("the area cannot be used: {reason}")))?;
    let open = |ms: i64| (ms != 0).then_some(ms);
    let time = message.time.unwrap_or_default();
    let time = Span {
        from: open(time.start_ms),
        to: open(time.end_ms),
    };
    if time.is_empty() {
        let text = "the time ends before it begins";
        return Err(DataError::Question(text.to_owned()));
    }
    let filters = message.filters.iter();
    let filters = filters.map(|f| Filter::parse(&f.property, &f.operator, &f.value_json));
    let assets = message.assets.iter().map(|name| {
        let parsed: Result<Name, _> = name.parse();
        parsed.map_err(|reason| DataError::name("an asset's name", name, reason))
    });
    Ok(Query {
        area,
        time,
        filters: filters.collect::<Result<_, _>>()?,
        assets: assets.collect::<Result<_, _>>()?,
        limit: (message.limit != 0).then_some(message.limit as usize),
    })
}

/// Reads a price; none is free.
///
/// # Errors
/// For an unknown currency, a negative amount, and a price that no record would ever charge.
pub(crate) fn price(message: Option<types::Price>) -> Result<Option<Price>, DataError> {
    let Some(message) = message else {
        return Ok(None);
    };
    let wrong = |reason: String| DataError::Field {
        what: "price",
        reason,
    };
    for (micros, per) in [
        (message.core_hour_micros, "core-hour"),
        (message.egress_gib_micros, "GiB out"),
        (message.storage_gib_month_micros, "GiB and month"),
    ] {
        if micros < 0 {
            return Err(wrong("an amount is negative".to_owned()));
        }
        if micros > 0 {
            return Err(wrong(format!(
                "a dataset cannot ask a price per {per}: the books charge attempts, and what is read elsewhere is held \
                 to limits only; ask it of the compute offer beside it"
            )));
        }
    }
    let price = oc_door::price(&message);
    price.map(Some).map_err(|error| wrong(error.to_string()))
}

/// Reads the organisations that may see something.
///
/// # Errors
/// For what is no organisation's id.
pub(crate) fn organisations(texts: &[String]) -> Result<Vec<OrgId>, DataError> {
    let organisations = texts.iter().map(|text| text.parse());
    organisations
        .collect::<Result<_, _>>()
        .map_err(|error| DataError::Field {
            what: "list of organisations",
            reason: format!("{error}"),
        })
}

/// A dataset for our people.
pub(crate) fn dataset(summary: &Summary, listed: bool) -> data::Dataset {
    let dataset = &summary.dataset;
    data::Dataset {
        name: dataset.name.to_string(),
        title: dataset.title.clone(),
        description: dataset.description.clone(),
        listing_id: dataset.listing_id(),
        items: summary.images,
        bytes: summary.bytes,
        price: dataset.price.as_ref().map(price_message),
        visible_to: dataset.visible_to.iter().map(ToString::to_string).collect(),
        listed,
    }
}

/// A dataset for the catalogue.
pub(crate) fn listing(summary: &Summary, ttl_seconds: u32) -> Listing {
    let dataset = &summary.dataset;
    let body = serde_json::json!({
        "collection": dataset.name,
        "assets": summary.assets,
        "items": summary.images,
        "bytes": summary.bytes,
    });
    let text = |field: &str| {
        dataset
            .collection
            .get(field)
            .and_then(|value| value.as_str())
    };
    let mut facets = vec![("collection", dataset.name.as_str())];
    facets.extend(text("license").map(|licence| ("license", licence)));
    Listing {
        listing_id: dataset.listing_id(),
        kind: ListingKind::Dataset.into(),
        name: dataset.name.to_string(),
        title: dataset.title.clone(),
        summary: dataset.description.clone(),
        terms: dataset.terms.clone(),
        price: dataset.price.as_ref().map(price_message),
        area: summary
            .bounds
            .map(|[west, south, east, north]| types::BoundingBox {
                west,
                south,
                east,
                north,
            }),
        time: match (summary.span.from, summary.span.to) {
            (Some(start_ms), Some(end_ms)) => Some(types::TimeRange { start_ms, end_ms }),
            _ => None,
        },
        facets: facets
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        body_json: body.to_string(),
        visible_to: dataset.visible_to.iter().map(ToString::to_string).collect(),
        ttl_seconds,
        ..Listing::default()
    }
}

/// A file of ours.
pub(crate) fn object(owner: &OrgId, file: &AssetFile) -> types::ObjectRef {
    types::ObjectRef {
        owner: owner.to_string(),
        role: "data".to_owned(),
        key: file.key.to_string(),
        sha256: file.sha256.to_string(),
        length: file.length,
        media_type: file.media_type.clone(),
    }
}

/// A reservation for its holder.
pub(crate) fn reserved(owner: &OrgId, reservation: &Reservation) -> federation::ReserveResponse {
    let asset = |(name, file): (&Name, &AssetFile)| federation::ReservedAsset {
        name: name.to_string(),
        object: Some(object(owner, file)),
    };
    let item = |held: &Held| federation::ReservedItem {
        item_id: held.item.to_string(),
        taken_at_ms: held.taken_ms,
        assets: held.files.iter().map(asset).collect(),
    };
    federation::ReserveResponse {
        reservation_id: reservation.id.to_string(),
        items: reservation.images.iter().map(item).collect(),
        expires_at_ms: reservation.ends_ms,
    }
}

/// A reservation for our people.
pub(crate) fn reservation(reservation: &Reservation) -> data::Reservation {
    data::Reservation {
        reservation_id: reservation.id.to_string(),
        dataset: reservation.dataset.to_string(),
        holder: reservation.holder.to_string(),
        grant_id: reservation.grant_id.clone(),
        run_id: reservation.run_id.clone(),
        items: reservation.images.len() as u64,
        expires_at_ms: reservation.ends_ms,
    }
}

/// What a reservation takes of an image: the wanted files, or all.
pub(crate) fn held(image: &Image, wanted: &[Name]) -> Held {
    let files = image.files.iter();
    let files = files.filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    Held {
        item: image.id.clone(),
        taken_ms: image.taken_ms,
        files: files
            .map(|(name, file)| (name.clone(), file.clone()))
            .collect(),
    }
}

/// A count.
pub(crate) fn count(count: Count) -> data::CountItemsResponse {
    data::CountItemsResponse {
        count: count.images,
        bytes: count.bytes,
        nearest_ms: count.nearest.as_ref().map_or(0, |nearest| nearest.taken_ms),
        nearest_item_id: count
            .nearest
            .map(|nearest| nearest.id.to_string())
            .unwrap_or_default(),
    }
}
