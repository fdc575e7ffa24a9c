//! Opening files by reservation and token.

use std::time::Duration;

use http::StatusCode;
use oc_kernel::{Clock as _, Kind};
use oc_proto::federation::v1 as pb;
use oc_service::CallError;

use crate::orders::order;
use crate::world::{World, samples};

pub(crate) const B04: &str = "sentinel-2-demo/toulouse-20250612-a/B04.tif";
pub(crate) const B08: &str = "sentinel-2-demo/toulouse-20250612-a/B08.tif";

pub(crate) fn kind(status: tonic::Status) -> Kind {
    CallError::from(status).kind
}

async fn held(world: &World) -> pb::ReserveResponse {
    world.own().reserve(order("op")).await.unwrap().into_inner()
}

pub(crate) fn request(held: &pb::ReserveResponse, keys: &[&str]) -> pb::AccessRequest {
    pb::AccessRequest {
        reservation_id: held.reservation_id.clone(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..pb::AccessRequest::default()
    }
}

/// A token for one file, for one of South's own services.
async fn token(world: &World, held: &pb::ReserveResponse) -> String {
    let opened = world
        .own()
        .access(request(held, &[B04]))
        .await
        .unwrap()
        .into_inner();
    opened.objects[0].token.clone()
}

#[tokio::test]
async fn a_token_opens_its_file_from_any_offset() {
    let world = World::demo().await;
    let held = held(&world).await;
    let opened = world
        .own()
        .access(request(&held, &[]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(opened.objects.len(), 4, "two bands of two scenes");
    let open = opened
        .objects
        .iter()
        .find(|o| o.object.as_ref().unwrap().key == B04)
        .unwrap();
    assert_eq!(open.expires_at_ms, world.clock.now_ms() + 60_000);

    let whole = std::fs::read(samples().join("toulouse-20250612-a/B04.tif")).unwrap();
    let (status, headers, body) = world.bulk(&open.token, 0).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, whole);
    assert_eq!(headers["oc-length"], whole.len().to_string());
    assert_eq!(headers["oc-sha256"], open.object.as_ref().unwrap().sha256);
    let (_, _, rest) = world.bulk(&open.token, 1000).await;
    assert_eq!(rest, whole[1000..]);
    let end = whole.len() as u64;
    assert_eq!(world.bulk(&open.token, end).await.2, b"");
    assert_eq!(
        world.bulk(&open.token, end + 1).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn only_files_of_the_reservation_are_opened() {
    let world = World::demo().await;
    let held = held(&world).await;
    let other = "sentinel-2-demo/lyon-20250614-a/B04.tif";
    for key in [other, "sentinel-2-demo/toulouse-20250612-a/B02.tif"] {
        let status = world
            .own()
            .access(request(&held, &[B04, key]))
            .await
            .unwrap_err();
        assert_eq!(kind(status), Kind::Forbidden, "{key}");
    }
    let climbing = request(&held, &["../secret"]);
    assert_eq!(
        kind(world.own().access(climbing).await.unwrap_err()),
        Kind::Invalid
    );
}

#[tokio::test]
async fn a_changed_or_foreign_token_opens_nothing() {
    let world = World::demo().await;
    let held = held(&world).await;
    let token = token(&world, &held).await;
    for at in [3, token.len() / 2, token.len() - 5] {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let (status, ..) = world.bulk(&changed, 0).await;
        assert!(status.is_client_error(), "{at}: {status}");
    }
    let elsewhere = World::demo().await;
    let foreign = crate::access::token(&elsewhere, &crate::access::held(&elsewhere).await).await;
    assert!(world.bulk(&foreign, 0).await.0.is_client_error());
    assert!(world.bulk("", 0).await.0.is_client_error());
}

#[tokio::test]
async fn a_token_dies_with_its_time_and_with_its_reservation() {
    let world = World::demo().await;
    let held = held(&world).await;
    let first = token(&world, &held).await;
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.bulk(&first, 0).await.0, StatusCode::OK);
    let renew = pb::RenewRequest {
        reservation_id: held.reservation_id.clone(),
        ttl_seconds: 600,
    };
    world.own().renew(renew).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.bulk(&first, 0).await.0, StatusCode::FORBIDDEN);

    let second = token(&world, &held).await;
    assert_eq!(world.bulk(&second, 0).await.0, StatusCode::OK);
    let release = pb::ReleaseRequest {
        reservation_id: held.reservation_id.clone(),
    };
    world.own().release(release).await.unwrap();
    assert_eq!(world.bulk(&second, 0).await.0, StatusCode::CONFLICT);
    let status = world
        .own()
        .access(request(&held, &[B04]))
        .await
        .unwrap_err();
    assert_eq!(kind(status), Kind::Precondition);
}
