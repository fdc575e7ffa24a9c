//! What is asked for in vain, each with its reason and before anything is held.

use std::time::Duration;

use oc_client::ClientError;
use oc_kernel::OrgId;
use oc_proto::compute::v1::{Offer, OfferKind, RequestGrantRequest, Rule};
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::{ListingRef, RunRequest, RunState};
use oc_proto::service::v1::ProcessingService;
use oc_proto::types::v1::{Limits, TimeRange};
use oc_testkit::{Node, until};

use crate::scene::{IMAGES, JUNE, MACHINES, SOON, Scene, large, over, start};

const HOUR: Duration = Duration::from_secs(3600);

/// The status and the sentence of a refusal.
fn refusal(error: &ClientError) -> (u16, String) {
    let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
    (problem.status, problem.detail.clone())
}

/// Neither a plan nor a run comes of it, and nothing is held or kept; the sentence.
async fn is_refused(scene: &Scene, request: &RunRequest, status: u16) -> String {
    let north = scene.north();
    let planned = refusal(&north.pipeline().plan(request).await.unwrap_err());
    let started = refusal(&start(&north, request.clone()).await.unwrap_err());
    assert_eq!(
        (planned.0, started.0),
        (status, status),
        "{planned:?} {started:?}"
    );
    assert!(north.pipeline().runs(10).await.unwrap().is_empty());
    assert_eq!(scene.held().await, (0, 0), "nothing is held at South");
    planned.1
}

#[tokio::test]
async fn dates_without_an_image_are_refused_with_the_nearest_one_before_anything_is_held() {
    let scene = Scene::set(&[]).await;
    scene.grant(large(), HOUR).await;
    let july = TimeRange {
        start_ms: JUNE.end_ms + 1,
        end_ms: JUNE.end_ms + 7 * 86_400_000,
    };
    let text = is_refused(&scene, &scene.sleep("1", "", july), 422).await;
    assert_eq!(
        text,
        "input `image`: no image of dataset.sentinel-2-demo matches (count 0); \
         the nearest is `toulouse-20250627-a` of 2025-06-27T10:50:29Z"
    );
}

#[tokio::test]
async fn more_than_a_grant_allows_is_refused_with_both_numbers() {
    let scene = Scene::set(&[]).await;
    let small = Limits {
        cores: 2,
        core_seconds: 100,
        ..large()
    };
    scene.grant(small, HOUR).await;
    let cores = "ResourceRequirement: {coresMin: 3}";
    let text = is_refused(&scene, &scene.sleep("1", cores, JUNE), 409).await;
    assert!(text.contains("it needs 3 cores"), "{text}");
    assert!(text.contains("allows 2 cores"), "{text}");
    let time = "ToolTimeLimit: {timelimit: 200}";
    let text = is_refused(&scene, &scene.sleep("1", time, JUNE), 409).await;
    assert!(
        text.contains("it may take 200 core-seconds, and the grant has 100 left"),
        "{text}"
    );
}

#[tokio::test]
async fn a_step_that_declares_no_time_asks_for_no_more_than_is_left_of_the_grant() {
    let scene = Scene::set(&[]).await;
    let small = Limits {
        core_seconds: 100,
        ..large()
    };
    scene.grant(small, HOUR).await;
    // The longest attempt under the grant, 600 s, would be more than it has.
    let run = start(&scene.north(), scene.sleep("1", "", JUNE))
        .await
        .unwrap();
    let (run, why) = over(&scene.north(), &run.run_id, Duration::from_secs(30)).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
}

#[tokio::test]
async fn more_than_an_offer_has_is_not_granted() {
    let scene = Scene::set(&[]).await;
    let request = RequestGrantRequest {
        provider: scene.pair.south_id.clone(),
        listing_ids: vec![MACHINES.to_owned()],
        limits: Some(Limits {
            cores: 64,
            ..large()
        }),
        not_after_ms: u64::try_from(JUNE.end_ms).unwrap() + 5 * 365 * 86_400_000,
        ..RequestGrantRequest::default()
    };
    let error = scene.north().compute().request_grant(&request).await;
    let (status, text) = refusal(&error.unwrap_err());
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("64 cores asked for, 4 allowed"), "{text}");
    assert!(
        scene
            .south()
            .compute()
            .grants(false)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_expired_grant_opens_nothing() {
    let scene = Scene::set(&[]).await;
    let grant = scene.grant(large(), Duration::from_secs(3)).await;
    for side in [scene.north(), scene.south()] {
        scene
            .reaches(&side, &grant.grant_id, GrantState::Expired)
            .await;
    }
    let text = is_refused(&scene, &scene.sleep("1", "", JUNE), 409).await;
    let wanted = format!("the grant on dataset `{IMAGES}` ended ");
    assert!(text.contains(&wanted), "{text}");
    assert!(text.ends_with("ask South for a new one"), "{text}");
}

#[tokio::test]
async fn a_revoked_grant_opens_nothing_from_that_moment_on() {
    let scene = Scene::set(&[]).await;
    let grant = scene.grant(large(), HOUR).await;
    let request = scene.sleep("1", "", JUNE);
    scene.north().pipeline().plan(&request).await.unwrap();
    scene.revoke(&grant.grant_id, "no more students").await;
    // North may not have heard of it yet: then South says so.
    let error = scene.north().pipeline().plan(&request).await.unwrap_err();
    let (_, text) = refusal(&error);
    assert!(text.contains("revoked"), "{text}");
    let known = scene
        .reaches(&scene.north(), &grant.grant_id, GrantState::Revoked)
        .await;
    assert_eq!(known.cause.unwrap().text, "no more students");
    let text = is_refused(&scene, &request, 409).await;
    assert!(text.contains("South revoked the grant on"), "{text}");
    assert!(text.contains("ask South for a new one"), "{text}");
}

#[tokio::test]
async fn a_peer_that_was_never_seen_is_named() {
    let node = Node::start("North").await;
    let stranger = OrgId::from_digest([7; 32]).to_string();
    let request = RequestGrantRequest {
        provider: stranger.clone(),
        listing_ids: vec![MACHINES.to_owned()],
        limits: Some(large()),
        not_after_ms: u64::try_from(JUNE.end_ms).unwrap() + 5 * 365 * 86_400_000,
        ..RequestGrantRequest::default()
    };
    let error = node.client().compute().request_grant(&request).await;
    let (status, text) = refusal(&error.unwrap_err());
    let wanted =
        format!("the organisation {stranger} is not known here: join a network that it is in");
    assert_eq!((status, text), (404, wanted));
    let output = node.run(&["peers", "block", "--yes", "nobody"]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("nobody"), "{errors}");
}

/// South offers a service, and lets nothing else read its images; North has machines as well.
async fn list_the_only_service(scene: &Scene, cwl: String) -> ListingRef {
    let (north, south) = (scene.north(), scene.south());
    let service = ProcessingService {
        name: "nap".to_owned(),
        version: "1.0".to_owned(),
        description: "Rests beside an image".to_owned(),
        cwl,
        ..ProcessingService::default()
    };
    south.services().create(&service).await.unwrap();
    let listed = ListingRef {
        owner: scene.pair.south_id.clone(),
        listing_id: "processing.nap.1.0".to_owned(),
    };
    let rule = Rule {
        name: "members".to_owned(),
        limits: Some(large()),
        max_life_seconds: 86_400,
        tools: vec![format!("{}/{}", listed.owner, listed.listing_id)],
        ..Rule::default()
    };
    south.compute().put_rule(&rule).await.unwrap();
    let machines = Offer {
        name: "home".to_owned(),
        kind: OfferKind::Compute.into(),
        capacity: Some(Limits {
            cores: 4,
            memory_bytes: 4 << 30,
            concurrent_fragments: 4,
            wall_seconds: 3600,
            ..Limits::default()
        }),
        ..Offer::default()
    };
    north.compute().create_offer(&machines).await.unwrap();
    until("both are listed", SOON, async || {
        let catalog = north.catalog();
        let own = scene.pair.north_id.as_str();
        catalog
            .listing(&listed.owner, &listed.listing_id)
            .await
            .ok()?;
        catalog.listing(own, "compute.home").await.ok()
    })
    .await;
    listed
}

#[tokio::test]
async fn a_grant_that_names_its_tools_runs_them_at_their_owner_and_nothing_else() {
    let scene = Scene::set(&[]).await;
    let nap = scene.sleep("0", "", JUNE);
    let listed = list_the_only_service(&scene, nap.cwl.clone()).await;
    scene.grant(large(), HOUR).await;

    let other = RunRequest {
        cwl: nap.cwl.replace("[sleep, \"0\"]", "[sha256sum]"),
        ..nap.clone()
    };
    let text = is_refused(&scene, &other, 409).await;
    let only = "South lets only `processing.nap.1.0` read dataset `dataset.sentinel-2-demo`";
    assert!(text.contains(only), "{text}");
    let changed = scene.sleep("0", "EnvVarRequirement: {envDef: {PATH: /tmp}}", JUNE);
    let text = is_refused(&scene, &changed, 409).await;
    assert!(text.contains("whole and unchanged"), "{text}");
    let at_home = RunRequest {
        placement: [("main".to_owned(), "North".to_owned())].into(),
        ..nap.clone()
    };
    let text = is_refused(&scene, &at_home, 409).await;
    assert!(text.contains("only at its own machines"), "{text}");

    let asked = RunRequest {
        cwl: String::new(),
        workflow: Some(listed),
        ..nap
    };
    let north = scene.north();
    let run = start(&north, asked).await.unwrap();
    let (run, story) = over(&north, &run.run_id, SOON).await;
    assert_eq!(run.state(), RunState::Succeeded, "{story}");
    assert_eq!(run.fragments[0].site, scene.pair.south_id);
}
