//! What the people of the story ask for: images, prices, limits.

use oc_proto::types::v1::{BoundingBox, DatasetQuery, Limits, Price, PropertyFilter, TimeRange};

/// Images around Toulouse in June 2025 that are not cloudy: three of the six.
pub(crate) fn summer(asset: &str) -> DatasetQuery {
    DatasetQuery {
        area: Some(BoundingBox {
            west: 1.42,
            south: 43.57,
            east: 1.47,
            north: 43.61,
        }),
        time: Some(TimeRange {
            start_ms: 1_748_736_000_000,
            end_ms: 1_751_327_999_999,
        }),
        filters: vec![PropertyFilter {
            property: "eo:cloud_cover".to_owned(),
            operator: "<=".to_owned(),
            value_json: "20".to_owned(),
        }],
        assets: vec![asset.to_owned()],
        ..DatasetQuery::default()
    }
}

/// Prices in euros, for cores and for what leaves.
pub(crate) fn euros(core_hour_micros: i64, egress_gib_micros: i64) -> Price {
    Price {
        currency: "EUR".to_owned(),
        core_hour_micros,
        egress_gib_micros,
        storage_gib_month_micros: 0,
    }
}

/// What North asks for, and what South's rule gives.
pub(crate) fn grant_limits() -> Limits {
    Limits {
        cores: 2,
        memory_bytes: 2 << 30,
        concurrent_fragments: 2,
        wall_seconds: 1800,
        core_seconds: 10 * 3600,
        egress_bytes: 10 << 30,
        storage_bytes: 10 << 30,
    }
}
