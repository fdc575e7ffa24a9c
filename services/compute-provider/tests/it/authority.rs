//! Chains that do not hold: changed, stolen, late, wider, for someone or something else.

use oc_kernel::{Code, Kind};
use oc_proto::federation::v1 as fed;
use oc_service::CallError;
use oc_trust::dsse::Envelope;
use oc_trust::{Delegation, seal};
use serde_json::Value;

use crate::attempts::story;
use crate::node::Org;
use crate::work::{Attempt, grant_envelope};

/// A submission whose delegation was made otherwise.
async fn submission_with(
    attempt: &Attempt,
    north: &Org,
    south: &Org,
    change: impl FnOnce(&mut Delegation),
) -> fed::SubmitRequest {
    let held = attempt.reserve(north, south).await.unwrap();
    let mut submission = attempt.submission(north, south, &held).await;
    let grant = grant_envelope(north, &attempt.grant).await;
    let parent = Envelope::from_json(&grant).unwrap().digest();
    let mut delegation = attempt.delegation(north, south, Some(parent));
    change(&mut delegation);
    let signed = seal(&north.world.signer(&north.id), delegation)
        .await
        .unwrap();
    submission.delegation = vec![grant, signed.bytes().to_vec()];
    submission
}

async fn is_refused(
    (north, south, grant): &(Org, Org, Value),
    change: impl FnOnce(&mut Delegation),
) -> CallError {
    let attempt = Attempt::new(grant);
    let submission = submission_with(&attempt, north, south, change).await;
    let error = CallError::from(attempt.refused(north, south, submission).await);
    assert!(!south.stage.is_running(attempt.attempt));
    attempt.release(north, south).await;
    error
}

#[tokio::test]
async fn a_delegation_for_another_attempt_run_offer_or_audience_opens_nothing() {
    let story = story().await;
    let later = story.0.world.now_ms();
    let refusals = [
        is_refused(&story, |d| d.attempt = oc_kernel::AttemptId::new()).await,
        is_refused(&story, |d| d.run = oc_kernel::RunId::new()).await,
        is_refused(&story, |d| d.fragment = oc_kernel::FragmentId::new()).await,
        is_refused(&story, |d| d.audience = d.issuer).await,
        is_refused(&story, |d| d.request = oc_kernel::Digest::of(b"other work")).await,
        is_refused(&story, |d| d.offer = Some("compute.other".parse().unwrap())).await,
        is_refused(&story, |d| d.offer = None).await,
        is_refused(&story, |d| d.network = "net-b".parse().unwrap()).await,
        is_refused(&story, |d| d.output = None).await,
        is_refused(&story, |d| d.limits.cores = 0).await,
        is_refused(&story, |d| d.limits.cores = 64).await,
        is_refused(&story, |d| d.not_after = later + 36_000_000).await,
    ];
    for error in refusals {
        assert!(
            matches!(error.kind, Kind::Forbidden | Kind::Exhausted),
            "{error} {:?}",
            error.kind
        );
    }
}

#[tokio::test]
async fn a_delegation_past_its_end_opens_nothing() {
    let story = story().await;
    let now = story.0.world.now_ms();
    let error = is_refused(&story, |d| {
        d.not_before = now - 2000;
        d.not_after = now - 1000;
    })
    .await;
    assert!(error.message.contains("ended 1000 ms ago"), "{error}");
    assert_eq!(error.code, Some(Code::NoLongerValid));
}

#[tokio::test]
async fn a_tampered_delegation_opens_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let mut submission = submission_with(&attempt, &north, &south, |d| d.limits.cores = 1).await;
    let mut envelope: Value = serde_json::from_slice(&submission.delegation[1]).unwrap();
    let payload = STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let payload = String::from_utf8(payload)
        .unwrap()
        .replace("\"cores\":1", "\"cores\":2");
    envelope["payload"] = STANDARD.encode(payload).into();
    submission.delegation[1] = serde_json::to_vec(&envelope).unwrap();
    let error = CallError::from(attempt.refused(&north, &south, submission).await);
    assert_eq!(error.kind, Kind::Unauthenticated);
    assert!(error.message.contains("changed on its way"), "{error}");
}

#[tokio::test]
async fn garbage_oversized_and_endless_chains_are_refused() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let good = submission_with(&attempt, &north, &south, |_| {}).await;
    let link = good.delegation[1].clone();
    let chains = [
        vec![],
        vec![b"{".to_vec()],
        vec![vec![0xff; 40]],
        vec![b"[".repeat(100_000)],
        vec![vec![b' '; (1 << 20) + 1]],
        vec![link.clone(); 100],
        vec![link],
    ];
    for delegation in chains {
        let request = fed::SubmitRequest {
            delegation,
            ..good.clone()
        };
        let error = CallError::from(attempt.refused(&north, &south, request).await);
        let refused = matches!(
            error.kind,
            Kind::Malformed | Kind::Invalid | Kind::Forbidden
        );
        assert!(refused, "{error} {:?}", error.kind);
    }
}

#[tokio::test]
async fn another_organisation_cannot_use_what_was_delegated() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let good = submission_with(&attempt, &north, &south, |_| {}).await;
    let east = Org::start(&north.world).await;
    let error = CallError::from(east.compute_at(&south).submit(good).await.unwrap_err());
    assert_eq!(error.kind, Kind::NotFound);
    let error = CallError::from(attempt.reserve(&east, &south).await.unwrap_err());
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test]
async fn inputs_and_outputs_that_were_not_signed_for_are_refused() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    let good = submission_with(&attempt, &north, &south, |_| {}).await;
    let mut elsewhere = good.clone();
    let output = elsewhere
        .fragment
        .as_mut()
        .unwrap()
        .output
        .as_mut()
        .unwrap();
    output.prefix = format!("other/{}", attempt.attempt);
    let error = CallError::from(attempt.refused(&north, &south, elsewhere).await);
    assert!(error.message.contains("does not let `other/"), "{error}");
    for climbing in ["../x", "a/../../b", "/etc", "a//b", ""] {
        let mut request = good.clone();
        request
            .fragment
            .as_mut()
            .unwrap()
            .output
            .as_mut()
            .unwrap()
            .prefix = climbing.into();
        let error = CallError::from(attempt.refused(&north, &south, request).await);
        assert_eq!(error.kind, Kind::Malformed, "{climbing}");
    }
}
