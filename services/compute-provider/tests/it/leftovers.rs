//! Outputs of attempts that count for nothing.

use http::StatusCode;
use oc_kernel::Kind;
use oc_proto::federation::v1 as fed;
use oc_service::CallError;

use crate::attempts::story;
use crate::node::Org;
use crate::objects::{call_as, put, upload};
use crate::world::World;

async fn removed(consumer: &Org, site: &Org, attempts: &[&str]) -> (u64, bool) {
    let request = fed::RemoveOutputsRequest {
        listing_id: "storage.results".into(),
        attempt_ids: attempts.iter().map(|&id| id.to_owned()).collect(),
    };
    let answer = consumer.objects_at(site).remove_outputs(request).await;
    let answer = answer.unwrap().into_inner();
    (answer.removed, answer.more)
}

async fn is_there(org: &Org, key: &str) -> bool {
    call_as("operator", org, "GET", key, &[], b"").await.0 == StatusCode::OK
}

#[tokio::test]
async fn what_a_consumer_disowns_is_removed_and_nothing_else() {
    let (north, south, grant) = story().await;
    let mut objects = south.objects_at(&north);
    let mut requests = Vec::new();
    for bytes in [&b"0123456789"[..], b"abc", b"begun"] {
        let request = upload(&north, &south, &grant, bytes).await;
        let place = objects.request_upload(request.clone()).await.unwrap();
        let sent = if bytes == b"begun" { &b"be"[..] } else { bytes };
        put(&north, &place.into_inner().token, 0, sent).await;
        requests.push(request);
    }
    let [doomed, kept, begun] = &requests[..] else {
        unreachable!()
    };
    assert_eq!(north.used("results").await["storage_bytes"], 18);

    // Who carried it there may not take it away, nor may anybody else.
    assert_eq!(
        removed(&south, &north, &[&doomed.attempt_id]).await,
        (0, false)
    );
    assert!(is_there(&north, &doomed.key).await);

    let ids = [doomed.attempt_id.as_str(), &begun.attempt_id];
    assert_eq!(removed(&north, &north, &ids).await, (2, false));
    assert!(!is_there(&north, &doomed.key).await);
    assert!(is_there(&north, &kept.key).await);
    assert_eq!(north.used("results").await["storage_bytes"], 3);
    let spool = north.folder.path().join("work/spool");
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0);
    assert_eq!(
        removed(&north, &north, &ids).await,
        (0, false),
        "once is enough"
    );
}

#[tokio::test]
async fn what_lies_at_a_partner_is_removed_by_whom_it_is_for() {
    let world = World::new();
    let (north, south) = (Org::start(&world).await, Org::start(&world).await);
    south.offer_room().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, &["storage.results"]).await;
    let signed = crate::work::grant_envelope(&north, grant["grant_id"].as_str().unwrap()).await;
    let request = below(&north, &south, &grant, signed).await;
    let place = north
        .objects_at(&south)
        .request_upload(request.clone())
        .await
        .unwrap()
        .into_inner();
    put(&south, &place.token, 0, b"abc").await;
    assert!(is_there(&south, &request.key).await);
    let east = Org::start(&north.world).await;
    assert_eq!(
        removed(&east, &south, &[&request.attempt_id]).await,
        (0, false)
    );
    assert_eq!(
        removed(&south, &south, &[&request.attempt_id]).await,
        (0, false)
    );
    assert_eq!(
        removed(&north, &south, &[&request.attempt_id]).await,
        (1, false)
    );
    assert!(!is_there(&south, &request.key).await);
}

/// An upload of North's into storage that South grants.
async fn below(
    north: &Org,
    south: &Org,
    grant: &serde_json::Value,
    envelope: Vec<u8>,
) -> fed::RequestUploadRequest {
    let attempt = crate::work::Attempt::new(grant);
    let parent = oc_trust::Envelope::from_json(&envelope).unwrap().digest();
    let mut delegation = attempt.delegation(north, north, Some(parent));
    delegation.offer = None;
    delegation.output = delegation.output.map(|output| oc_trust::Output {
        owner: south.id,
        ..output
    });
    let signer = north.world.signer(&north.id);
    let signed = oc_trust::seal(&signer, delegation).await.unwrap();
    fed::RequestUploadRequest {
        delegation: vec![envelope, signed.bytes().to_vec()],
        attempt_id: attempt.attempt.to_string(),
        listing_id: "storage.results".into(),
        key: format!("{}/said.txt", attempt.prefix()),
        length: 3,
        sha256: oc_kernel::Digest::of(b"abc").to_string(),
        media_type: String::new(),
    }
}

#[tokio::test]
async fn more_attempts_than_a_call_may_name_are_refused() {
    let (north, _, _) = story().await;
    let ids = (0..101).map(|_| oc_kernel::AttemptId::new().to_string());
    let request = fed::RemoveOutputsRequest {
        listing_id: "storage.results".into(),
        attempt_ids: ids.collect(),
    };
    let refused = north.objects_at(&north).remove_outputs(request).await;
    let refused = CallError::from(refused.unwrap_err());
    assert_eq!(refused.kind, Kind::Malformed);
    assert!(refused.message.contains("100"), "{refused}");
}
