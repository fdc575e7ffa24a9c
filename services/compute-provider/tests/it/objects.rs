//! Objects of a storage offer, for our own people and by delegation.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use oc_kernel::{Digest, Kind};
use oc_proto::federation::v1 as fed;
use oc_service::CallError;
use oc_trust::seal;
use serde_json::{Value, json};

use crate::attempts::story;
use crate::node::Org;
use crate::work::Attempt;
use crate::world::{World, eventually};

pub(crate) async fn shelf() -> Org {
    let org = Org::start(&World::new()).await;
    org.offer_room().await;
    org
}

async fn call(
    org: &Org,
    method: &str,
    key: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (StatusCode, Vec<u8>) {
    call_as("operator", org, method, key, headers, body).await
}

pub(crate) async fn call_as(
    token: &str,
    org: &Org,
    method: &str,
    key: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (StatusCode, Vec<u8>) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/compute/v1/storage/results/objects/{key}"))
        .header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    org.send(request.body(Body::from(body.to_vec())).unwrap())
        .await
}

#[tokio::test]
async fn an_object_is_written_once_read_in_parts_and_deleted() {
    let org = shelf().await;
    let (status, answer) = call(&org, "PUT", "a/b.tif", &[], b"0123456789").await;
    assert_eq!(status, 201);
    let about: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(about["sha256"], Digest::of(b"0123456789").to_string());
    assert_eq!(about["media_type"], "image/tiff; application=geotiff");
    assert_eq!(
        call(&org, "PUT", "a/b.tif", &[], b"0123456789").await.0,
        201
    );
    assert_eq!(call(&org, "PUT", "a/b.tif", &[], b"other").await.0, 409);

    assert_eq!(
        call(&org, "GET", "a/b.tif", &[], b"").await,
        (StatusCode::OK, b"0123456789".to_vec())
    );
    let part = call(&org, "GET", "a/b.tif", &[("range", "bytes=2-4")], b"").await;
    assert_eq!(part, (StatusCode::PARTIAL_CONTENT, b"234".to_vec()));
    assert_eq!(
        call(&org, "GET", "a/b.tif", &[("range", "bytes=99-")], b"")
            .await
            .0,
        416
    );
    assert_eq!(org.used("results").await["storage_bytes"], 10);

    assert_eq!(call(&org, "DELETE", "a/b.tif", &[], b"").await.0, 200);
    assert_eq!(call(&org, "DELETE", "a/b.tif", &[], b"").await.0, 200);
    assert_eq!(call(&org, "GET", "a/b.tif", &[], b"").await.0, 404);
    assert_eq!(org.used("results").await["storage_bytes"], 0);
    assert_eq!(call(&org, "PUT", "a/b.tif", &[], b"other").await.0, 201);
}

#[tokio::test]
async fn a_wrong_digest_a_climbing_key_and_a_full_shelf_are_refused_and_leave_nothing() {
    let org = shelf().await;
    let wrong = Digest::of(b"x").to_string();
    assert_eq!(
        call(&org, "PUT", "a", &[("oc-sha256", &wrong)], b"y")
            .await
            .0,
        422
    );
    for key in ["..%2Fa", "a/..%2F..%2Fb", ".hidden", "a%00b", "a//b"] {
        let (status, _) = call(&org, "PUT", key, &[], b"y").await;
        assert_eq!(status, 400, "{key}");
    }
    let large = vec![0; (1 << 20) + 1];
    let (status, answer) = call(&org, "PUT", "large", &[], &large).await;
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(status, 429, "{text}");
    assert!(
        text.contains("storage.results has 1048576 bytes free of 1048576"),
        "{text}"
    );
    assert_eq!(org.used("results").await["storage_bytes"], 0);
    let spool = org.folder.path().join("work/spool");
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0);
}

#[tokio::test]
async fn objects_are_listed_by_prefix_in_pages_without_gaps() {
    let org = shelf().await;
    for at in 0..5 {
        call(&org, "PUT", &format!("a/{at}"), &[], b"x").await;
    }
    call(&org, "PUT", "b/0", &[], b"x").await;
    let (mut keys, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("storage/results/objects?prefix=a/&page_size=2&page_token={token}");
        let page = org.ok(Method::GET, &path, Value::Null).await;
        let objects = page["objects"].as_array().unwrap();
        keys.extend(
            objects
                .iter()
                .map(|object| object["key"].as_str().unwrap().to_owned()),
        );
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(keys, ["a/0", "a/1", "a/2", "a/3", "a/4"]);
    let (status, _) = org
        .refused(Method::GET, "storage/none/objects", Value::Null)
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_withdrawn_shelf_keeps_our_own_objects_until_they_are_deleted() {
    let org = shelf().await;
    call(&org, "PUT", "a", &[], b"x").await;
    call(&org, "PUT", "empty", &[], b"").await;
    org.ok(Method::DELETE, "offers/results", Value::Null).await;
    assert_eq!(call(&org, "PUT", "b", &[], b"x").await.0, 409);
    assert_eq!(call(&org, "GET", "a", &[], b"").await.0, 200);
    call(&org, "DELETE", "a", &[], b"").await;
    let offers = org.ok(Method::GET, "offers", Value::Null).await;
    let offer = &offers["offers"][0];
    assert_eq!(
        (&offer["withdrawn"], &offer["objects_left"]),
        (&json!(true), &json!(1))
    );
    let again =
        json!({"offer": {"name": "results", "kind": "storage", "capacity": {"storage_bytes": 5}}});
    let (status, text) = org.refused(Method::POST, "offers", again).await;
    assert_eq!(status, 409);
    assert!(text.contains("1 of its files are left"), "{text}");
    call(&org, "DELETE", "empty", &[], b"").await;
    eventually(async || {
        let offers = org.ok(Method::GET, "offers", Value::Null).await;
        offers["offers"].as_array().unwrap().is_empty()
    })
    .await;
}

/// The upload of an attempt at South into North's shelf, as South asks for it.
pub(crate) async fn upload(
    north: &Org,
    south: &Org,
    grant: &Value,
    bytes: &[u8],
) -> fed::RequestUploadRequest {
    let attempt = Attempt::new(grant);
    let delegation = attempt.delegation(north, south, None);
    let signed = seal(&north.world.signer(&north.id), delegation)
        .await
        .unwrap();
    fed::RequestUploadRequest {
        delegation: vec![signed.bytes().to_vec()],
        attempt_id: attempt.attempt.to_string(),
        listing_id: "storage.results".into(),
        key: format!("{}/said.txt", attempt.prefix()),
        length: bytes.len() as u64,
        sha256: Digest::of(bytes).to_string(),
        media_type: String::new(),
    }
}

pub(crate) async fn put(org: &Org, token: &str, offset: u64, bytes: &[u8]) -> (StatusCode, Value) {
    use tower::ServiceExt as _;
    let request = Request::builder()
        .method("PUT")
        .uri(format!("/api/compute/internal/bulk?offset={offset}"))
        .header("oc-bulk-token", token)
        .body(tonic::body::Body::new(Body::from(bytes.to_vec())))
        .unwrap();
    let channel = org.switchboard.channel("discovery", "compute-provider");
    let response = channel.oneshot(request).await.unwrap();
    let status = response.status();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_and_appears_only_when_it_is_whole() {
    let (north, south, grant) = story().await;
    let request = upload(&north, &south, &grant, b"0123456789").await;
    let mut objects = south.objects_at(&north);
    let place = objects
        .request_upload(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(place.received, 0);
    let (status, answer) = put(&north, &place.token, 0, b"0123").await;
    assert_eq!((status.as_u16(), &answer["received"]), (200, &json!(4)));
    assert_eq!(call(&north, "GET", &request.key, &[], b"").await.0, 404);
    assert_eq!(put(&north, &place.token, 0, b"0123456789").await.0, 409);

    let again = objects
        .request_upload(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((again.received, &again.upload_id), (4, &place.upload_id));
    let (status, answer) = put(&north, &again.token, 4, b"456789").await;
    assert_eq!((status.as_u16(), &answer["received"]), (200, &json!(10)));
    assert_eq!(
        call(&north, "GET", &request.key, &[], b"").await.1,
        b"0123456789"
    );
    let done = objects.request_upload(request).await.unwrap().into_inner();
    assert_eq!((done.received, done.token.as_str()), (10, ""));
    let progress = fed::GetUploadRequest {
        upload_id: place.upload_id,
    };
    let progress = objects.get_upload(progress).await.unwrap().into_inner();
    assert_eq!((progress.received, progress.complete), (10, true));
}

#[tokio::test]
async fn only_who_announced_an_upload_learns_how_far_it_is() {
    let (north, south, grant) = story().await;
    let request = upload(&north, &south, &grant, b"0123456789").await;
    let mut objects = south.objects_at(&north);
    let place = objects.request_upload(request).await.unwrap().into_inner();
    let ask = || fed::GetUploadRequest {
        upload_id: place.upload_id.clone(),
    };
    let east = Org::start(&north.world).await;
    for bytes in [&b"0123"[..], b"456789"] {
        let offset = if bytes == b"0123" { 0 } else { 4 };
        put(&north, &place.token, offset, bytes).await;
        let error = CallError::from(east.objects_at(&north).get_upload(ask()).await.unwrap_err());
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(
            error.message,
            format!("no upload `{}` here", place.upload_id)
        );
        let own = objects.get_upload(ask()).await.unwrap().into_inner();
        assert_eq!(own.received, offset + bytes.len() as u64);
    }
}

#[tokio::test]
async fn bytes_that_are_not_those_announced_leave_nothing() {
    let (north, south, grant) = story().await;
    let request = upload(&north, &south, &grant, b"0123456789").await;
    let mut objects = south.objects_at(&north);
    let place = objects
        .request_upload(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(put(&north, &place.token, 0, b"9876543210").await.0, 409);
    assert_eq!(put(&north, &place.token, 0, b"01234567890").await.0, 422);
    let other = fed::RequestUploadRequest {
        length: 3,
        ..request.clone()
    };
    let error = CallError::from(objects.request_upload(other).await.unwrap_err());
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(call(&north, "GET", &request.key, &[], b"").await.0, 404);
}

#[tokio::test]
async fn a_token_opens_its_own_upload_for_a_minute() {
    let (north, south, grant) = story().await;
    let mut objects = south.objects_at(&north);
    let request = upload(&north, &south, &grant, b"0123456789").await;
    let place = objects.request_upload(request).await.unwrap().into_inner();
    assert_eq!(put(&north, "AgEDZm9v", 0, b"0").await.0, 401);
    let mut changed = place.token.clone();
    changed.replace_range(10..11, if &changed[10..11] == "A" { "B" } else { "A" });
    assert_eq!(put(&north, &changed, 0, b"0").await.0, 401);
    // What another node minted is forged here.
    south.offer_room().await;
    assert_eq!(put(&south, &place.token, 0, b"0").await.0, 404);
    north
        .world
        .clock
        .advance(std::time::Duration::from_secs(61));
    assert_eq!(put(&north, &place.token, 0, b"0123456789").await.0, 403);
}

#[tokio::test]
async fn a_key_outside_the_prefix_or_more_than_was_delegated_is_refused() {
    let (north, south, grant) = story().await;
    let mut objects = south.objects_at(&north);
    let good = upload(&north, &south, &grant, b"0123456789").await;
    let outside = fed::RequestUploadRequest {
        key: "elsewhere/said.txt".into(),
        ..good.clone()
    };
    let error = CallError::from(objects.request_upload(outside).await.unwrap_err());
    assert_eq!(error.kind, Kind::Forbidden);
    let other = fed::RequestUploadRequest {
        listing_id: "storage.other".into(),
        ..good.clone()
    };
    let error = CallError::from(objects.request_upload(other).await.unwrap_err());
    assert!(matches!(error.kind, Kind::Forbidden | Kind::NotFound));
    let large = fed::RequestUploadRequest {
        length: 10_001,
        ..good.clone()
    };
    let error = CallError::from(objects.request_upload(large).await.unwrap_err());
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.message.contains("allows 10000 bytes"), "{error}");
    let east = Org::start(&north.world).await;
    let error = CallError::from(
        east.objects_at(&north)
            .request_upload(good)
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::Forbidden);
}

#[tokio::test]
async fn storage_that_stands_gets_another_size_and_never_less_than_lies_in_it() {
    let org = shelf().await;
    assert_eq!(call(&org, "PUT", "a", &[], &[0; 1000]).await.0, 201);
    let offer = |bytes: u64| json!({"offer": {"name": "results", "kind": "storage", "capacity": {"storage_bytes": bytes}}});
    let larger = org.ok(Method::POST, "offers", offer(2 << 20)).await;
    assert_eq!(larger["offer"]["capacity"]["storage_bytes"], 2 << 20);
    let large = vec![0; (1 << 20) + 1];
    assert_eq!(call(&org, "PUT", "large", &[], &large).await.0, 201);
    let (_, text) = org.refused(Method::POST, "offers", offer(1 << 20)).await;
    assert!(text.contains("cannot shrink to 1048576"), "{text}");
    assert_eq!(call(&org, "DELETE", "large", &[], b"").await.0, 200);
    org.ok(Method::POST, "offers", offer(1000)).await;
    assert_eq!(call(&org, "PUT", "b", &[], b"x").await.0, 429);
}
