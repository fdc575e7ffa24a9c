//! Asking for a grant, deciding, signing, taking back.

use std::time::Duration;

use http::Method;
use oc_kernel::{Code, Kind};
use oc_proto::federation::v1 as fed;
use oc_service::CallError;
use serde_json::{Value, json};

use crate::node::Org;
use crate::world::{World, eventually};

const MACHINES: &[&str] = &["compute.default"];

async fn pair() -> (World, Org, Org) {
    let world = World::new();
    let (north, south) = (Org::start(&world).await, Org::start(&world).await);
    south.offer_machines().await;
    (world, north, south)
}

#[tokio::test]
async fn a_rule_approves_at_once_and_both_sides_hold_the_same_signed_grant() {
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    assert_eq!(
        (&grant["state"], &grant["given"]),
        (&json!("active"), &json!(false))
    );
    let id = grant["grant_id"].as_str().unwrap();
    let theirs = south.grant(id).await;
    assert_eq!(theirs["envelope"], grant["envelope"]);
    assert_eq!(theirs["price"]["core_hour_micros"], 360_000);
    eventually(async || {
        let told = south.told("oc.compute.grant.v1");
        told.iter()
            .any(|event| event["state"] == "active" && event["envelope"] == grant["envelope"])
    })
    .await;
}

#[tokio::test]
async fn without_a_rule_an_administrator_decides_and_may_give_less() {
    let (_world, north, south) = pair().await;
    let asked = north.ask(&south, MACHINES, "op-1").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap();
    assert_eq!(asked["grant"]["state"], "pending");
    assert!(
        asked["grant"]["cause"]["text"]
            .as_str()
            .unwrap()
            .contains("administrator")
    );

    let less = json!({"limits": {"cores": 1, "memory_bytes": 1 << 20, "concurrent_fragments": 1, "wall_seconds": 60, "core_seconds": 5}});
    south
        .ok(Method::POST, &format!("grants/{id}/approve"), less)
        .await;
    eventually(async || north.grant(id).await["state"] == "active").await;
    assert_eq!(north.grant(id).await["limits"]["cores"], 1);
}

#[tokio::test]
async fn an_administrator_cannot_give_more_than_was_asked_for() {
    let (_world, north, south) = pair().await;
    let asked = north.ask(&south, MACHINES, "op-1").await;
    let path = format!(
        "grants/{}/approve",
        asked["grant"]["grant_id"].as_str().unwrap()
    );
    let more = json!({"limits": {"cores": 64}});
    let (status, text) = south.refused(Method::POST, &path, more).await;
    assert_eq!(status, 422);
    assert!(text.contains("64 cores asked for, 2 allowed"), "{text}");
}

#[tokio::test]
async fn a_denied_request_says_why_on_both_sides() {
    let (_world, north, south) = pair().await;
    let asked = north.ask(&south, MACHINES, "op-1").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap();
    let no = json!({"reason": "not this month"});
    south
        .ok(Method::POST, &format!("grants/{id}/deny"), no)
        .await;
    eventually(async || north.grant(id).await["state"] == "denied").await;
    assert_eq!(north.grant(id).await["cause"]["text"], "not this month");
}

#[tokio::test]
async fn a_request_above_the_offer_is_refused_with_the_number() {
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let mut wish = north.wish(&south, MACHINES, "op-1");
    wish["limits"]["cores"] = json!(16);
    let (status, text) = north.refused(Method::POST, "grants", wish).await;
    assert_eq!(status, 422);
    assert!(text.contains("16 cores asked for, 2 allowed"), "{text}");
}

#[tokio::test]
async fn a_request_above_every_rule_waits_and_says_which_number() {
    let (_world, north, south) = pair().await;
    let rule = json!({"limits": {"cores": 1}, "max_life_seconds": 60});
    south
        .ok(Method::PUT, "rules/small", json!({ "rule": rule }))
        .await;
    let asked = north.ask(&south, MACHINES, "op-1").await;
    assert_eq!(asked["grant"]["state"], "pending");
    let text = asked["grant"]["cause"]["text"].as_str().unwrap();
    assert!(
        text.contains("rule `small`") && text.contains("2 cores asked for, 1 allowed"),
        "{text}"
    );
}

#[tokio::test]
async fn the_seventeenth_request_that_waits_is_refused_and_says_how_many_wait() {
    let (_, north, south) = pair().await;
    let mut asked = Vec::new();
    for at in 0..16 {
        let answer = north
            .ask(&south, &["compute.default"], &format!("op-{at}"))
            .await;
        asked.push(answer["grant"]["grant_id"].as_str().unwrap().to_owned());
    }
    let wish = north.wish(&south, &["compute.default"], "op-16");
    let (status, text) = north.refused(Method::POST, "grants", wish.clone()).await;
    assert_eq!(status, 429);
    assert!(
        text.contains("16 requests") && text.contains("end one"),
        "{text}"
    );
    // One that was asked before is no further one.
    north.ask(&south, &["compute.default"], "op-3").await;
    assert_eq!(
        south.ok(Method::GET, "grants", Value::Null).await["grants"]
            .as_array()
            .unwrap()
            .len(),
        16
    );

    let path = format!("grants/{}/end", asked[5]);
    north.ok(Method::POST, &path, json!({})).await;
    north.ok(Method::POST, "grants", wish).await;
}

#[tokio::test]
async fn a_request_that_waits_shows_the_listed_price_on_both_sides() {
    let (_, north, south) = pair().await;
    let listed = async || !south.catalogue.ids().is_empty();
    eventually(listed).await;
    let listing = south.catalogue.0.lock().unwrap()["compute.default"].clone();
    north.catalogue.list(listing);
    let asked = north.ask(&south, MACHINES, "op-1").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap();
    for side in [&north, &south] {
        let grant = side.grant(id).await;
        assert_eq!(grant["state"], "pending");
        assert_eq!(grant["price"]["core_hour_micros"], 360_000, "{grant}");
    }
}

#[tokio::test]
async fn a_request_that_nobody_decides_about_lapses_on_both_sides() {
    let (world, north, south) = pair().await;
    let mut wish = north.wish(&south, &["compute.default"], "op-1");
    wish["not_after_ms"] = json!(world.now_ms() + 90 * 86_400_000);
    let asked = north.ok(Method::POST, "grants", wish).await;
    let id = asked["grant"]["grant_id"].as_str().unwrap();
    world.clock.advance(Duration::from_secs(29 * 86_400));
    assert_eq!(south.grant(id).await["state"], "pending");
    world.clock.advance(Duration::from_secs(2 * 86_400));
    eventually(async || south.grant(id).await["state"] == "expired").await;
    eventually(async || north.grant(id).await["state"] == "ended").await;
    let cause = north.grant(id).await["cause"]["text"].to_string();
    assert!(cause.contains("nobody decided"), "{cause}");
    let (status, _) = south
        .refused(Method::POST, &format!("grants/{id}/approve"), json!({}))
        .await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn the_same_operation_asks_once_and_another_body_is_a_conflict() {
    let (_world, north, south) = pair().await;
    let first = north.ask(&south, MACHINES, "op-1").await;
    let again = north.ask(&south, MACHINES, "op-1").await;
    assert_eq!(first["grant"]["grant_id"], again["grant"]["grant_id"]);

    let mut client = north.compute_at(&south);
    let other = fed::RequestGrantRequest {
        operation_id: "op-1".into(),
        listing_ids: vec!["compute.default".into()],
        not_after_ms: north.world.now_ms() + 5000,
        ..Default::default()
    };
    let error = CallError::from(client.request_grant(other).await.unwrap_err());
    assert_eq!(error.kind, Kind::Conflict);
    let grants = south.ok(Method::GET, "grants", Value::Null).await;
    assert_eq!(grants["grants"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_partner_may_not_see_does_not_exist_for_it() {
    let (_world, north, south) = pair().await;
    let hidden = json!({
        "name": "hidden", "kind": "compute", "visible_to": [south.id.to_string()],
        "capacity": {"cores": 2, "memory_bytes": 1 << 30, "concurrent_fragments": 2, "wall_seconds": 60},
    });
    south.offer(hidden).await;
    for listing in ["compute.hidden", "compute.none", "dataset.none"] {
        let wish = north.wish(&south, &[listing], "op-1");
        let (status, text) = north.refused(Method::POST, "grants", wish).await;
        assert_eq!(
            (status, text),
            (404, format!("no listing `{listing}` here"))
        );
    }
}

#[tokio::test]
async fn a_grant_of_others_does_not_exist_for_a_partner() {
    let (world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let east = Org::start(&world).await;
    let request = fed::GetGrantRequest {
        grant_id: grant["grant_id"].as_str().unwrap().into(),
    };
    let error = CallError::from(
        east.compute_at(&south)
            .get_grant(request)
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test]
async fn a_revoked_grant_is_known_as_revoked_at_its_consumer() {
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let id = grant["grant_id"].as_str().unwrap();
    let why = json!({"reason": "maintenance"});
    let revoked = south
        .ok(Method::POST, &format!("grants/{id}/revoke"), why)
        .await;
    assert_eq!(revoked["grant"]["generation"], 2);
    eventually(async || north.grant(id).await["state"] == "revoked").await;
    assert_eq!(north.grant(id).await["cause"]["text"], "maintenance");
}

/// Long before a consumer would ask by itself about a grant in force.
const TOLD: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_consumer_is_told_that_a_grant_has_news_and_asks_at_once() {
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let id = grant["grant_id"].as_str().unwrap();
    south
        .ok(Method::POST, &format!("grants/{id}/revoke"), json!({}))
        .await;
    let known = eventually(async || north.grant(id).await["state"] == "revoked");
    tokio::time::timeout(TOLD, known).await.unwrap();
}

#[tokio::test]
async fn a_note_of_a_stranger_is_answered_alike_for_every_grant() {
    let (world, north, south) = pair().await;
    let stranger = Org::start(&world).await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let unknown = oc_kernel::GrantId::new().to_string();
    for grant_id in [grant["grant_id"].as_str().unwrap(), &unknown] {
        let note = fed::NoteGrantRequest {
            grant_id: grant_id.to_owned(),
        };
        let heard = stranger.compute_at(&north).note_grant(note).await;
        assert_eq!(heard.unwrap().into_inner(), fed::NoteGrantResponse {});
    }
    assert_eq!(
        north.grant(grant["grant_id"].as_str().unwrap()).await["state"],
        "active"
    );
}

#[tokio::test]
async fn an_end_by_the_consumer_reaches_the_provider_even_later() {
    let (world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let id = grant["grant_id"].as_str().unwrap();
    world.change(&south.id, |member| member.cut = true);
    let ended = north
        .ok(Method::POST, &format!("grants/{id}/end"), json!({}))
        .await;
    assert_eq!(ended["grant"]["state"], "ended");
    assert_eq!(south.grant(id).await["state"], "active");
    world.change(&south.id, |member| member.cut = false);
    eventually(async || south.grant(id).await["state"] == "ended").await;
}

#[tokio::test]
async fn a_grant_past_its_end_is_expired_and_good_for_nothing() {
    let (world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let id = grant["grant_id"].as_str().unwrap();
    world.clock.advance(Duration::from_secs(3600));
    let capacity = fed::GetCapacityRequest {
        listing_id: "compute.default".into(),
        grant_id: id.to_owned(),
    };
    let error = CallError::from(
        north
            .compute_at(&south)
            .get_capacity(capacity)
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.message.contains("expired"), "{}", error.message);
    eventually(async || south.grant(id).await["state"] == "expired").await;
    eventually(async || north.grant(id).await["state"] == "expired").await;
}

#[tokio::test]
async fn a_grant_agreed_while_nobody_signs_is_offered_once_somebody_does() {
    let (world, north, south) = pair().await;
    south.approve_all().await;
    world.change(&south.id, |member| member.silent = true);
    let asked = north.ask(&south, MACHINES, "op-1").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap();
    assert_eq!(asked["grant"]["state"], "pending");
    world.change(&south.id, |member| member.silent = false);
    eventually(async || north.grant(id).await["state"] == "active").await;
}

#[tokio::test]
async fn a_withdrawn_offer_revokes_its_grants_and_leaves_the_catalogue() {
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    eventually(async || south.catalogue.ids() == ["compute.default"]).await;
    let grant = north.granted_by(&south, MACHINES).await;
    let answer = south
        .ok(Method::DELETE, "offers/default", Value::Null)
        .await;
    assert_eq!(answer["grants_revoked"], 1);
    let id = grant["grant_id"].as_str().unwrap();
    eventually(async || north.grant(id).await["state"] == "revoked").await;
    eventually(async || south.catalogue.ids().is_empty()).await;
    eventually(async || {
        let offers = south.ok(Method::GET, "offers", Value::Null).await;
        offers["offers"].as_array().unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_offer_that_is_not_there_is_not_withdrawn() {
    let (_world, _north, south) = pair().await;
    let path = "offers/nope";
    let (status, text) = south.refused(Method::DELETE, path, Value::Null).await;
    assert_eq!(status, 404, "{text}");
    assert!(text.contains("`nope`"), "{text}");
}

#[tokio::test]
async fn a_data_provider_learns_whether_a_grant_is_good() {
    use oc_proto::compute::v1 as pb;
    use oc_proto::compute::v1::grant_service_client::GrantServiceClient;
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let channel = south
        .switchboard
        .channel("sentinel-provider", "compute-provider");
    let mut client = GrantServiceClient::new(channel);
    let check = |listing: &str, consumer: &Org| pb::CheckGrantRequest {
        grant_id: grant["grant_id"].as_str().unwrap().into(),
        listing_id: listing.into(),
        consumer: consumer.id.to_string(),
    };
    let good = client
        .check_grant(check("compute.default", &north))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(good.generation, 1);
    let other = client
        .check_grant(check("dataset.s2", &north))
        .await
        .unwrap_err();
    assert_eq!(CallError::from(other).kind, Kind::Forbidden);
    let stranger = client
        .check_grant(check("compute.default", &south))
        .await
        .unwrap_err();
    assert_eq!(CallError::from(stranger).kind, Kind::NotFound);
}

#[tokio::test]
async fn what_a_data_provider_sends_counts_against_the_grant() {
    use oc_proto::compute::v1 as pb;
    use oc_proto::compute::v1::grant_service_client::GrantServiceClient;
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let id = grant["grant_id"].as_str().unwrap();
    let limit = grant["limits"]["egress_bytes"].as_u64().unwrap();
    let channel = south
        .switchboard
        .channel("sentinel-provider", "compute-provider");
    let mut client = GrantServiceClient::new(channel);
    let count = |bytes: u64, consumer: &Org| pb::CountEgressRequest {
        grant_id: id.to_owned(),
        listing_id: "compute.default".to_owned(),
        consumer: consumer.id.to_string(),
        bytes,
    };
    client.count_egress(count(limit - 1, &north)).await.unwrap();
    let over = client.count_egress(count(2, &north)).await.unwrap_err();
    let over = CallError::from(over);
    assert_eq!(over.kind, Kind::Exhausted);
    let numbers = format!("allows {limit} bytes to leave: {} have left, 2", limit - 1);
    assert!(over.message.contains(&numbers), "{over}");
    client.count_egress(count(1, &north)).await.unwrap();
    let stranger = client.count_egress(count(0, &south)).await.unwrap_err();
    assert_eq!(CallError::from(stranger).kind, Kind::NotFound);
    assert_eq!(south.grant(id).await["used"]["egress_bytes"], limit);
}

#[tokio::test]
async fn while_its_books_are_disputed_nothing_begins_under_a_grant() {
    use crate::work::Attempt;
    let (_world, north, south) = pair().await;
    south.approve_all().await;
    let grant = north.granted_by(&south, MACHINES).await;
    let objection = oc_proto::types::v1::Cause {
        text: "9 ms of cpu time are recorded, 2 ms are possible".into(),
        ..Default::default()
    };
    south.accounting.0.lock().unwrap().push(objection);
    let told = json!({"grant_id": grant["grant_id"], "position": 0});
    south
        .world
        .tell(&south.id, "oc.accounting.disputed.v1", told)
        .await;
    eventually(async || Attempt::new(&grant).reserve(&north, &south).await.is_err()).await;
    let error = CallError::from(
        Attempt::new(&grant)
            .reserve(&north, &south)
            .await
            .unwrap_err(),
    );
    assert_eq!(error.kind, Kind::Precondition);
    assert_eq!(error.code, Some(Code::BooksDisputed));
    assert!(error.message.contains("9 ms of cpu time"), "{error}");
    south.accounting.0.lock().unwrap().clear();
    Attempt::new(&grant).reserve(&north, &south).await.unwrap();
}
