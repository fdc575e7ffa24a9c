//! Count, reserve, renew and release.

use std::time::Duration;

use oc_bus::{Bus as _, CloudEvent};
use oc_kernel::{Clock as _, Code, GrantId, Kind};
use oc_proto::federation::v1 as pb;
use oc_proto::types::v1::{BoundingBox, DatasetQuery, PropertyFilter, TimeRange};
use oc_service::CallError;
use oc_store::{Collection, Query};
use oc_trust::event::{Event as _, GrantEvent};
use serde_json::json;

use crate::neighbours::Granted;
use crate::world::{World, until};

pub(crate) const LISTING: &str = "dataset.sentinel-2-demo";

fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Toulouse in the first half of June: two scenes.
pub(crate) fn toulouse_in_june() -> DatasetQuery {
    DatasetQuery {
        area: Some(BoundingBox {
            west: 1.3,
            south: 43.5,
            east: 1.6,
            north: 43.7,
        }),
        time: Some(TimeRange {
            start_ms: ms("2025-06-01T00:00:00Z"),
            end_ms: ms("2025-06-15T00:00:00Z"),
        }),
        assets: vec!["B04".to_owned(), "B08".to_owned()],
        ..DatasetQuery::default()
    }
}

pub(crate) fn order(operation: &str) -> pb::ReserveRequest {
    pb::ReserveRequest {
        listing_id: LISTING.to_owned(),
        query: Some(toulouse_in_june()),
        grant_id: String::new(),
        run_id: "run-1".to_owned(),
        operation_id: operation.to_owned(),
        ttl_seconds: 60,
    }
}

pub(crate) fn grant(world: &World, id: &str) {
    let granted = Granted {
        listing: LISTING.to_owned(),
        consumer: world.north.id,
        generation: 1,
        egress: u64::MAX,
    };
    world
        .grants
        .0
        .lock()
        .unwrap()
        .insert(id.to_owned(), granted);
}

fn kind(status: tonic::Status) -> Kind {
    CallError::from(status).kind
}

fn code(status: &tonic::Status) -> Option<Code> {
    CallError::from(status.clone()).code
}

/// Reservations in the store, also those that have ended.
async fn kept(world: &World) -> usize {
    static RESERVATIONS: Collection = Collection::new("reservations", &[]);
    let page = oc_kernel::PageRequest::default();
    let store = &world.node.store;
    let found = store.list(&RESERVATIONS, &Query::all(), &page).await;
    found.unwrap().items.len()
}

async fn alive(world: &World) -> usize {
    let (_, answer) = world.get("/api/data/v1/reservations").await;
    answer["reservations"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_count_is_exact_with_the_bytes_of_the_wanted_files() {
    let world = World::demo().await;
    let count = async |query: DatasetQuery| {
        let request = pb::CountRequest {
            listing_id: LISTING.to_owned(),
            query: Some(query),
            grant_id: String::new(),
        };
        world.own().count(request).await.unwrap().into_inner()
    };
    let all = count(DatasetQuery::default()).await;
    assert_eq!(all.count, 6);
    let some = count(toulouse_in_june()).await;
    assert_eq!(some.count, 2);
    assert!(some.bytes > 0 && some.bytes < all.bytes / 2);
    let clear = PropertyFilter {
        property: "eo:cloud_cover".to_owned(),
        operator: "<=".to_owned(),
        value_json: "2".to_owned(),
    };
    let filtered = DatasetQuery {
        filters: vec![clear],
        ..toulouse_in_june()
    };
    assert_eq!(count(filtered).await.count, 1);
    let newest = DatasetQuery {
        limit: 3,
        ..DatasetQuery::default()
    };
    assert_eq!(count(newest).await.count, 3);
}

#[tokio::test]
async fn an_area_with_any_outline_finds_what_touches_it_and_not_what_its_box_touches() {
    let world = World::demo().await;
    let count = async |geometry: serde_json::Value| {
        let query = DatasetQuery {
            geometry_json: geometry.to_string(),
            ..DatasetQuery::default()
        };
        let request = pb::CountRequest {
            listing_id: LISTING.to_owned(),
            query: Some(query),
            grant_id: String::new(),
        };
        world
            .own()
            .count(request)
            .await
            .map(|answer| answer.into_inner().count)
    };
    // Both triangles have the same box around Toulouse; only one of them reaches the town.
    let triangle = |corner: [f64; 2]| json!({"type": "Polygon", "coordinates": [[[0.0, 43.0], [2.0, 45.0], corner, [0.0, 43.0]]]});
    assert_eq!(count(triangle([2.0, 43.0])).await.unwrap(), 4);
    assert_eq!(count(triangle([0.0, 45.0])).await.unwrap(), 0);
    let refused = count(json!({"type": "Circle"})).await.unwrap_err();
    assert!(refused.message().contains("GeoJSON"), "{refused}");
}

#[tokio::test]
async fn where_nothing_matches_the_nearest_is_told_and_nothing_is_held() {
    let world = World::demo().await;
    let nothing = DatasetQuery {
        time: Some(TimeRange {
            start_ms: ms("2025-06-20T00:00:00Z"),
            end_ms: ms("2025-06-25T00:00:00Z"),
        }),
        ..toulouse_in_june()
    };
    let request = pb::CountRequest {
        listing_id: LISTING.to_owned(),
        query: Some(nothing.clone()),
        grant_id: String::new(),
    };
    let count = world.own().count(request).await.unwrap().into_inner();
    assert_eq!((count.count, count.bytes), (0, 0));
    assert_eq!(count.nearest_item_id, "toulouse-20250627-a");
    assert_eq!(count.nearest_ms, ms("2025-06-27T10:50:29Z"));
    let request = pb::ReserveRequest {
        query: Some(nothing),
        ..order("op")
    };
    let status = world.own().reserve(request).await.unwrap_err();
    assert!(
        status
            .message()
            .contains("`toulouse-20250627-a` of 2025-06-27"),
        "{status}"
    );
    assert_eq!(code(&status), Some(Code::NoImage));
    assert_eq!(kind(status), Kind::Precondition);
    assert_eq!(alive(&world).await, 0);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let world = World::demo().await;
    let wrong = [
        DatasetQuery {
            assets: vec!["B99".to_owned()],
            ..DatasetQuery::default()
        },
        DatasetQuery {
            time: Some(TimeRange {
                start_ms: 2,
                end_ms: 1,
            }),
            ..DatasetQuery::default()
        },
        DatasetQuery {
            area: Some(BoundingBox {
                west: 0.0,
                south: 91.0,
                east: 1.0,
                north: 92.0,
            }),
            ..DatasetQuery::default()
        },
    ];
    for query in wrong {
        let request = pb::ReserveRequest {
            query: Some(query),
            ..order("op")
        };
        let status = world.own().reserve(request).await.unwrap_err();
        assert_eq!(kind(status), Kind::Malformed);
    }
    let request = pb::ReserveRequest {
        listing_id: "dataset.missing".to_owned(),
        ..order("op")
    };
    assert_eq!(
        kind(world.own().reserve(request).await.unwrap_err()),
        Kind::NotFound
    );
    let request = pb::ReserveRequest {
        operation_id: String::new(),
        ..order("op")
    };
    assert_eq!(
        kind(world.own().reserve(request).await.unwrap_err()),
        Kind::Malformed
    );
}

#[tokio::test]
async fn the_same_operation_holds_once_and_another_request_is_a_conflict() {
    let world = World::demo().await;
    let asks = (0..8).map(|_| {
        let mut client = world.own();
        async move { client.reserve(order("op")).await.unwrap().into_inner() }
    });
    let answers = futures::future::join_all(asks).await;
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(alive(&world).await, 1);
    let ids: Vec<_> = answers[0]
        .items
        .iter()
        .map(|item| item.item_id.as_str())
        .collect();
    assert_eq!(ids, ["toulouse-20250612-a", "toulouse-20250612-b"]);
    let assets = &answers[0].items[0].assets;
    assert_eq!(
        assets.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
        ["B04", "B08"]
    );
    let object = assets[0].object.clone().unwrap();
    assert_eq!(object.key, "sentinel-2-demo/toulouse-20250612-a/B04.tif");
    assert_eq!(
        (object.owner, object.role),
        (world.south.id.to_string(), "data".to_owned())
    );

    let other = pb::ReserveRequest {
        ttl_seconds: 30,
        ..order("op")
    };
    assert_eq!(
        kind(world.own().reserve(other).await.unwrap_err()),
        Kind::Conflict
    );
    world.own().reserve(order("op-2")).await.unwrap();
    assert_eq!(alive(&world).await, 2);
}

#[tokio::test]
async fn a_reservation_lapses_unless_it_is_renewed() {
    let world = World::demo().await;
    let mut client = world.own();
    let held = client.reserve(order("op")).await.unwrap().into_inner();
    assert_eq!(held.expires_at_ms, world.clock.now_ms() + 60_000);
    let renew = |ttl_seconds| pb::RenewRequest {
        reservation_id: held.reservation_id.clone(),
        ttl_seconds,
    };
    world.clock.advance(Duration::from_secs(50));
    let renewed = client.renew(renew(100_000)).await.unwrap().into_inner();
    // The longest life is the provider's to decide.
    assert_eq!(renewed.expires_at_ms, world.clock.now_ms() + 600_000);
    world.clock.advance(Duration::from_secs(599));
    assert_eq!(alive(&world).await, 1);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(alive(&world).await, 0);
    let status = client.renew(renew(60)).await.unwrap_err();
    assert_eq!(kind(status), Kind::Precondition);
    // The operation is remembered all the same: it is not done twice.
    let again = client.reserve(order("op")).await.unwrap().into_inner();
    assert_eq!(again.reservation_id, held.reservation_id);
    assert_eq!(alive(&world).await, 0);
}

#[tokio::test]
async fn releasing_ends_a_reservation_and_releasing_again_is_no_error() {
    let world = World::demo().await;
    let mut client = world.own();
    let held = client.reserve(order("op")).await.unwrap().into_inner();
    let release = pb::ReleaseRequest {
        reservation_id: held.reservation_id,
    };
    client.release(release.clone()).await.unwrap();
    assert_eq!(alive(&world).await, 0);
    client.release(release).await.unwrap();
    let never = pb::ReleaseRequest {
        reservation_id: oc_kernel::ReservationId::new().to_string(),
    };
    client.release(never).await.unwrap();
}

#[tokio::test]
async fn a_partner_needs_a_grant_that_is_good_for_the_listing() {
    let world = World::demo().await;
    let mut north = world.partner(&world.north);
    let status = north.reserve(order("op")).await.unwrap_err();
    assert_eq!(code(&status), Some(Code::GrantMissing), "{status}");
    assert_eq!(kind(status), Kind::Forbidden);
    let under = |grant: &str| pb::ReserveRequest {
        grant_id: grant.to_owned(),
        ..order("op")
    };
    assert_eq!(
        kind(north.reserve(under("grant-1")).await.unwrap_err()),
        Kind::Forbidden
    );
    let count = pb::CountRequest {
        listing_id: LISTING.to_owned(),
        query: None,
        grant_id: "grant-1".to_owned(),
    };
    assert_eq!(
        kind(north.count(count.clone()).await.unwrap_err()),
        Kind::Forbidden
    );

    grant(&world, "grant-1");
    assert_eq!(
        north.count(count.clone()).await.unwrap().into_inner().count,
        6
    );
    let held = north.reserve(under("grant-1")).await.unwrap().into_inner();
    // East's name on North's grant, and East on North's reservation.
    let mut east = world.partner(&world.east);
    assert_eq!(kind(east.count(count).await.unwrap_err()), Kind::Forbidden);
    let renew = pb::RenewRequest {
        reservation_id: held.reservation_id,
        ttl_seconds: 60,
    };
    assert_eq!(
        kind(east.renew(renew.clone()).await.unwrap_err()),
        Kind::NotFound
    );
    north.renew(renew).await.unwrap();
    let (_, answer) = world.get("/api/data/v1/reservations").await;
    assert_eq!(
        answer["reservations"][0]["holder"],
        world.north.id.to_string()
    );
}

#[tokio::test]
async fn the_end_of_a_grant_ends_its_reservations() {
    let world = World::demo().await;
    let id = GrantId::new();
    grant(&world, &id.to_string());
    let mut north = world.partner(&world.north);
    let under = pb::ReserveRequest {
        grant_id: id.to_string(),
        ..order("op")
    };
    north.reserve(under).await.unwrap();
    world.own().reserve(order("own")).await.unwrap();
    assert_eq!(alive(&world).await, 2);
    let mut revoked = GrantEvent {
        grant_id: id,
        state: "revoked".to_owned(),
        generation: 2,
        envelope: String::new(),
        provider: world.south.id,
        consumer: world.north.id,
        network_id: "network".parse().unwrap(),
        swept: false,
    };
    let told = |number: &str, event: &GrantEvent| {
        CloudEvent::new(number, "/compute-provider", GrantEvent::TYPE)
            .with_subject(event.subject())
            .with_data(event.data())
    };
    world.bus.publish(told("1", &revoked)).await.unwrap();
    until("the end of the reservation", async || {
        alive(&world).await == 1
    })
    .await;
    assert_eq!(kept(&world).await, 2);
    revoked.swept = true;
    world.bus.publish(told("2", &revoked)).await.unwrap();
    until("nothing of the grant is left", async || {
        kept(&world).await == 1
    })
    .await;
}

#[tokio::test]
async fn more_images_than_a_reservation_holds_are_refused_with_the_number() {
    let settings = oc_sentinel_provider::Settings {
        reservation_images: 1,
        ..oc_sentinel_provider::Settings::default()
    };
    let mut world = World::demo().await;
    world.settings = settings;
    world.restart().await;
    let status = world.own().reserve(order("op")).await.unwrap_err();
    assert!(
        status
            .message()
            .starts_with("2 images match and one reservation holds 1"),
        "{status}"
    );
    assert_eq!(kind(status), Kind::Exhausted);
}
