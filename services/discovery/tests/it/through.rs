//! Calls and bytes through both doors.

use futures::{StreamExt as _, TryStreamExt as _};
use oc_door::{BulkRole, Purpose};
use oc_kernel::{Classify as _, Kind};
use oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient;
use oc_proto::federation::v1::compute_service_client::ComputeServiceClient;
use oc_proto::federation::v1::{GetHeadRequest, ListDeltasRequest, SubmitRequest};
use oc_service::CallError;
use serde_json::{Value, json};
use tonic::Code;

use crate::behind::UPLOAD;
use crate::org::{Org, met};

#[tokio::test]
async fn a_call_passes_both_doors_with_the_callers_proven_name_and_without_its_metadata() {
    let (north, south, network) = met().await;
    let channel = south.partner("catalog", north.id, Purpose::Catalogue).await;
    let mut client = CatalogueServiceClient::new(channel);
    let mut request = tonic::Request::new(GetHeadRequest {});
    request
        .metadata_mut()
        .insert("x-private", "South's business".parse().unwrap());
    request
        .metadata_mut()
        .insert("authorization", "Bearer admin".parse().unwrap());
    let answer = client.get_head(request).await.unwrap().into_inner();
    let seen: Value = serde_json::from_slice(&answer.head).unwrap();
    assert_eq!(seen["org"], south.id.to_string());
    assert_eq!(seen["own"], false);
    assert_eq!(seen["network"], network);
    let metadata: Vec<_> = seen["metadata"].as_array().unwrap().iter().collect();
    assert!(!metadata.contains(&&json!("x-private")), "{seen}");
    assert!(!metadata.contains(&&json!("authorization")), "{seen}");
    let method = "/oc.federation.v1.CatalogueService/GetHead".to_owned();
    let line = |direction: &str| (direction.to_owned(), method.clone(), "ok".to_owned());
    assert_eq!(south.calls().await[0], line("out"));
    assert_eq!(north.calls().await[0], line("in"));
}

#[tokio::test]
async fn a_refusal_of_the_partners_service_arrives_as_it_was_said() {
    let (north, south, _) = met().await;
    let channel = south.partner("catalog", north.id, Purpose::Catalogue).await;
    let mut client = CatalogueServiceClient::new(channel);
    let refused = client
        .list_deltas(ListDeltasRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "the cursor is of another epoch");
    let refused = CallError::from(refused);
    assert_eq!(refused.code, Some(oc_kernel::Code::GrantChanged));
    assert_eq!(south.calls().await[0].2, "precondition");
}

#[tokio::test]
async fn a_service_that_calls_what_is_not_its_duty_is_refused_and_logged_and_nothing_leaves() {
    let (north, south, _) = met().await;
    for (service, purpose) in [
        ("accounting", Purpose::Catalogue),
        ("catalog", Purpose::Run("run-1".to_owned())),
        ("generic-backend", Purpose::Catalogue),
    ] {
        let channel = south.partner(service, north.id, purpose).await;
        let mut client = CatalogueServiceClient::new(channel);
        let refused = client.get_head(GetHeadRequest {}).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::PermissionDenied,
            "{service}: {refused}"
        );
        assert!(refused.message().contains(service), "{refused}");
        let newest = &south.calls().await[0];
        assert_eq!((newest.0.as_str(), newest.2.as_str()), ("out", "forbidden"));
    }
    let grant = Purpose::Grant("grant-1".to_owned());
    let channel = south.partner("compute-provider", north.id, grant).await;
    let mut client = ComputeServiceClient::new(channel);
    let refused = client.submit(SubmitRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let arrived = north.calls().await;
    assert!(
        arrived.iter().all(|call| call.1.ends_with("/Hello")),
        "{arrived:?}"
    );
}

#[tokio::test]
async fn an_unknown_and_a_blocked_partner_are_told_apart() {
    let (north, south, _) = met().await;
    let call = async |org| {
        let channel = south.partner("catalog", org, Purpose::Catalogue).await;
        let mut client = CatalogueServiceClient::new(channel);
        client.get_head(GetHeadRequest {}).await.unwrap_err().code()
    };
    let nobody = oc_kernel::OrgId::from_digest([9; 32]);
    assert_eq!(call(nobody).await, Code::NotFound);
    let path = format!("peers/{}/block", north.id);
    south.rest(http::Method::PUT, &path, json!({})).await;
    assert_eq!(call(north.id).await, Code::PermissionDenied);
}

#[tokio::test]
async fn a_partner_that_is_gone_is_unavailable() {
    let (north, south, _) = met().await;
    let id = north.id;
    drop(north);
    south.sees_become(id, "lost").await;
    let channel = south.partner("catalog", id, Purpose::Catalogue).await;
    let mut client = CatalogueServiceClient::new(channel);
    let refused = client.get_head(GetHeadRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
}

#[tokio::test]
async fn our_own_services_are_called_without_the_door() {
    let north = Org::start("North").await;
    let channel = north
        .partner("pipeline-orchestrator", north.id, Purpose::Catalogue)
        .await;
    let mut client = CatalogueServiceClient::new(channel);
    let answer = client
        .get_head(GetHeadRequest {})
        .await
        .unwrap()
        .into_inner();
    let seen: Value = serde_json::from_slice(&answer.head).unwrap();
    assert_eq!(seen["own"], true);
    assert!(north.calls().await.is_empty());
}

fn pixels(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_come_from_a_partner_from_any_offset_on() {
    let (north, south, _) = met().await;
    let object = pixels(1_500_000);
    north
        .shelf
        .lock()
        .unwrap()
        .insert("open".to_owned(), object.clone());
    let door = south.door("compute-provider");
    for offset in [0, 1_000_001] {
        let body = door
            .bulk_get(north.id, BulkRole::Objects, "open", offset)
            .await;
        let body = body.unwrap();
        assert_eq!(body.length, 1_500_000);
        assert_eq!(body.sha256, "00".repeat(32));
        let pieces: Vec<_> = body.bytes.try_collect().await.unwrap();
        assert_eq!(pieces.concat(), object[usize::try_from(offset).unwrap()..]);
    }
    let newest = &north.calls().await[0];
    assert_eq!(newest.1, "bulk get objects");
}

#[tokio::test]
async fn bytes_go_to_a_partner_and_on_where_they_ended() {
    let (north, south, _) = met().await;
    let object = pixels(1_200_000);
    let door = south.door("compute-provider");
    let half = object[..500_000].to_vec();
    let pieces = |bytes: Vec<u8>| {
        let pieces: Vec<_> = bytes
            .chunks(100_000)
            .map(|p| Ok(p.to_vec().into()))
            .collect();
        futures::stream::iter(pieces).boxed()
    };
    let put = async |offset, bytes| {
        door.bulk_put(north.id, BulkRole::Objects, "up", offset, pieces(bytes))
            .await
    };
    assert_eq!(put(0, half).await.unwrap(), 500_000);
    assert_eq!(
        put(500_000, object[500_000..].to_vec()).await.unwrap(),
        1_200_000
    );
    assert_eq!(north.shelf.lock().unwrap()["up"], object);
    let refused = put(1_200_000, vec![0; UPLOAD]).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Exhausted, "{refused}");
    assert!(
        refused.to_string().contains("more than was announced"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_transfer_without_the_right_is_refused_with_its_reason() {
    let (north, south, _) = met().await;
    let get = async |service, role| {
        let door = south.door(service);
        let refused = door.bulk_get(north.id, role, "no", 0).await;
        refused.err().unwrap()
    };
    let refused = get("compute-provider", BulkRole::Objects).await;
    assert_eq!(refused.kind(), Kind::Forbidden);
    assert!(
        refused.to_string().contains("this token opens nothing"),
        "{refused}"
    );
    let refused = get("accounting", BulkRole::Objects).await;
    assert!(
        refused.to_string().contains("accounting may not"),
        "{refused}"
    );
    let arrived = north.calls().await;
    assert!(
        arrived.iter().all(|call| call.1 != "bulk get data"),
        "{arrived:?}"
    );
    // Nobody serves datasets here.
    let refused = get("compute-provider", BulkRole::Data).await;
    assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
}
