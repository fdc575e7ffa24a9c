//! Networks and peers: made, joined, blocked, left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use oc_federation::{Invitation, SwarmKey};
use oc_kernel::{Clock, GrantId, PageRequest, SystemClock};
use oc_proto::discovery::v1::PublishHeadRequest;
use oc_proto::discovery::v1::peer_service_client::PeerServiceClient;
use oc_store::{Collection, Query};
use oc_trust::event::{Event as _, GrantEvent};
use oc_trust::listing::{Head, Version, listings_digest};
use serde_json::{Value, json};

use crate::org::{Org, event, eventually, met, met_by};

#[tokio::test]
async fn two_organisations_meet_and_know_each_other_by_their_proven_names() {
    let (north, south) = (Org::start("North").await, Org::start("South").await);
    let mut told = north.listen("oc.discovery.peer.v1").await;
    let network = north.create().await;
    let invitation = north.invite(&network).await;
    let (status, body) = south.join(&invitation).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let joined = Instant::now();
    north.sees_become(south.id, "connected").await;
    south.sees_become(north.id, "connected").await;
    assert!(
        joined.elapsed() < Duration::from_secs(2),
        "{:?}",
        joined.elapsed()
    );
    let peer = &north.get("peers").await["peers"][0];
    assert_eq!(peer["name"], "South");
    assert_eq!(peer["org_id"], south.id.to_string());
    assert_eq!(peer["network_id"], network);
    let connected = event(&mut told, |data| data["state"] == "connected").await;
    assert_eq!(connected["org_id"], south.id.to_string());
    let networks = south.get("networks").await;
    assert_eq!(networks["networks"][0]["name"], "East");
    assert_eq!(networks["networks"][0]["peers"], 1);
    assert_eq!(networks["networks"][0]["created_here"], false);
    let keys = south.door("catalog").key_history(north.id).await.unwrap();
    assert_eq!(keys.org(), north.id);
    let (status, body) = south.join(&invitation).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
}

#[tokio::test]
async fn a_wrong_swarm_key_is_named_as_the_likely_cause_and_nothing_is_kept() {
    let (north, south) = (Org::start("North").await, Org::start("South").await);
    let network = north.create().await;
    let mut invitation: Invitation = north.invite(&network).await.parse().unwrap();
    invitation.key = SwarmKey::generate();
    let started = Instant::now();
    let (status, body) = south.join(&invitation.to_string()).await;
    assert!(started.elapsed() < Duration::from_secs(12));
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("the swarm key is likely wrong"),
        "{body}"
    );
    assert_eq!(south.get("networks").await["networks"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_a_network_is_refused_with_a_reason() {
    let north = Org::start("North").await;
    let network = north.create().await;
    let cut = north.invite(&network).await;
    let cases = [
        (
            Method::POST,
            "networks/join".to_owned(),
            json!({ "invitation": &cut[..60] }),
            400,
            "cut short",
        ),
        (
            Method::POST,
            "networks/join".to_owned(),
            json!({ "invitation": cut }),
            409,
            "already",
        ),
        (
            Method::POST,
            "networks".to_owned(),
            json!({ "name": "" }),
            422,
            "1 to 64",
        ),
        (
            Method::POST,
            "networks".to_owned(),
            json!({ "name": "x", "port": 70000 }),
            400,
            "70000",
        ),
        (
            Method::POST,
            "networks".to_owned(),
            json!({ "name": " East " }),
            409,
            "network `East` already",
        ),
        (
            Method::DELETE,
            "networks/none".to_owned(),
            Value::Null,
            404,
            "none",
        ),
        (
            Method::POST,
            format!("networks/{network}/invitations"),
            json!({ "addresses": ["x"] }),
            400,
            "`x`",
        ),
        (Method::GET, "peers/x".to_owned(), Value::Null, 400, "`x`"),
        (
            Method::PUT,
            format!("peers/{}/block", north.id),
            json!({}),
            409,
            "our own",
        ),
    ];
    for (method, path, body, expected, text) in cases {
        let (status, body) = north.rest(method, &path, body).await;
        assert_eq!(status.as_u16(), expected, "{path}: {body}");
        assert!(
            body["detail"].as_str().unwrap().contains(text),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let north = Org::start("North").await;
    let body = json!({ "name": "East", "port": port });
    let (status, body) = north.rest(Method::POST, "networks", body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert!(
        body["detail"].as_str().unwrap().contains(&port.to_string()),
        "{body}"
    );
}

#[tokio::test]
async fn a_blocked_organisation_is_refused_until_it_is_unblocked() {
    let (north, south, network) = met().await;
    let mut told = north.listen("oc.discovery.peer.v1").await;
    let block = format!("peers/{}/block", south.id);
    let body = json!({ "reason": "a test" });
    let (status, body) = north.rest(Method::PUT, &block, body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    event(&mut told, |data| data["state"] == "blocked").await;
    assert_eq!(north.sees(south.id).await, "blocked");
    let peer = &north.get(&format!("peers/{}", south.id)).await["peer"];
    assert_eq!(peer["cause"], "blocked here: a test");
    south.sees_become(north.id, "lost").await;
    // Nor by the front door: the invitation is good and South is refused.
    let left = south
        .rest(Method::DELETE, &format!("networks/{network}"), Value::Null)
        .await;
    assert_eq!(left.0, StatusCode::OK, "{}", left.1);
    let (status, body) = south.join(&north.invite(&network).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let (status, _) = north.rest(Method::DELETE, &block, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = south.join(&north.invite(&network).await).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    north.sees_become(south.id, "connected").await;
}

#[tokio::test]
async fn a_block_shows_a_partner_in_the_networks_it_was_seen_in_and_no_other() {
    let (north, south, network) = met().await;
    let body = json!({ "name": "West" });
    let (status, body) = north.rest(Method::POST, "networks", body).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let block = format!("peers/{}/block", south.id);
    for method in [Method::PUT, Method::DELETE] {
        let (status, body) = north.rest(method.clone(), &block, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let peers = north.get("peers").await["peers"].clone();
        let seen: Vec<_> = peers.as_array().unwrap().iter().collect();
        assert_eq!(seen.len(), 1, "{method}: {peers}");
        assert_eq!(seen[0]["network_id"], network);
    }
}

#[tokio::test]
async fn after_a_restart_the_networks_and_the_partners_come_back_by_themselves() {
    let (north, south, network) = met().await;
    let (id, listen) = (
        south.id,
        south.get("networks").await["networks"][0]["listen"].clone(),
    );
    let south = south.restart().await;
    assert_eq!(south.id, id);
    south.sees_become(north.id, "connected").await;
    north.sees_become(south.id, "connected").await;
    let networks = south.get("networks").await;
    assert_eq!(networks["networks"][0]["network_id"], network);
    assert_eq!(networks["networks"][0]["listen"], listen);
}

async fn documents(org: &Org, collection: &'static str) -> usize {
    static NETWORKS: Collection = Collection::new("networks", &[]);
    static PARTNERS: Collection = Collection::new("partners", &[]);
    static HEADS: Collection = Collection::new("heads", &[]);
    let collection = match collection {
        "networks" => &NETWORKS,
        "partners" => &PARTNERS,
        _ => &HEADS,
    };
    let (all, page) = (Query::all(), PageRequest::default());
    let page = org.store.list(collection, &all, &page).await;
    page.unwrap().items.len()
}

#[tokio::test]
async fn leaving_forgets_the_key_and_everyone_met_there_but_for_the_keys_of_the_books() {
    let (north, south, network) = met().await;
    let east = Org::start("East").await;
    east.join(&north.invite(&network).await).await;
    south.sees_become(east.id, "connected").await;
    let grant = GrantEvent {
        grant_id: GrantId::new(),
        state: "active".to_owned(),
        generation: 1,
        envelope: String::new(),
        provider: south.id,
        consumer: north.id,
        network_id: network.parse().unwrap(),
        swept: false,
    };
    let granted = oc_bus::CloudEvent::new("1", "/test", GrantEvent::TYPE).with_data(grant.data());
    let noted = oc_bus::Bus::publish(&*south.bus, granted).await.unwrap();
    noted.safe().await.unwrap();
    let mut told = south.listen("oc.discovery.>").await;
    let path = format!("networks/{network}");
    let (status, body) = south.rest(Method::DELETE, &path, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    event(&mut told, |data| {
        data["network_id"] == network && data["state"] == "left"
    })
    .await;
    assert_eq!(documents(&south, "networks").await, 0);
    assert_eq!(documents(&south, "heads").await, 0);
    // Of North the KeySets are kept, of East nothing.
    assert_eq!(documents(&south, "partners").await, 1);
    assert!(south.door("accounting").key_history(north.id).await.is_ok());
    assert!(south.door("accounting").key_history(east.id).await.is_err());
    assert_eq!(south.get("peers").await["peers"], json!([]));
    north.sees_become(south.id, "lost").await;
    let south = south.restart().await;
    assert_eq!(south.get("networks").await["networks"], json!([]));
}

#[tokio::test]
async fn a_head_reaches_the_partners_catalogue_and_a_foreign_one_is_refused() {
    let (north, south, network) = met().await;
    let mut told = south.listen("oc.discovery.head.v1").await;
    let door = north.door("catalog");
    let head = |owner| Head {
        owner,
        network: network.parse().unwrap(),
        revision: Version { epoch: 1, seq: 7 },
        count: 0,
        digest: listings_digest(&Default::default()),
        not_before: 1,
        not_after: u64::from(u32::MAX) * 1000,
    };
    let mut client = PeerServiceClient::new(north.board.channel("catalog", "discovery"));
    let mut publish = async |owner| {
        let sealed = oc_trust::seal(&door, head(owner)).await.unwrap();
        let request = PublishHeadRequest {
            network_id: network.clone(),
            head: sealed.bytes().to_vec(),
        };
        client.publish_head(request).await
    };
    publish(north.id).await.unwrap();
    let event = event(&mut told, |data| data["org_id"] == north.id.to_string()).await;
    assert_eq!(event["network_id"], network);
    let refused = publish(south.id).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    let mut other = PeerServiceClient::new(north.board.channel("accounting", "discovery"));
    let refused = other.publish_head(PublishHeadRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
    eventually(async || documents(&north, "heads").await == 1).await;
}

/// The machine's clock, set forward by a minute and a half.
#[derive(Debug)]
struct Fast;

impl Clock for Fast {
    fn now(&self) -> jiff::Timestamp {
        SystemClock.now() + Duration::from_secs(90)
    }
}

#[tokio::test]
async fn both_sides_see_that_their_clocks_differ() {
    let (north, south, _) = met_by(Arc::new(Fast)).await;
    let seen = async |org: &Org| {
        let peer = org.get("peers").await["peers"][0].clone();
        assert_eq!(peer["state"], "connected", "{peer}");
        let cause = peer["cause"].as_str().unwrap().to_owned();
        (peer["clock_skew_ms"].as_i64().unwrap(), cause)
    };
    let (ahead, cause) = seen(&north).await;
    assert!((60_000..=90_000).contains(&ahead), "{ahead}");
    assert!(cause.contains("ahead of ours"), "{cause}");
    let (behind, cause) = seen(&south).await;
    assert!((-120_000..=-60_000).contains(&behind), "{behind}");
    assert!(cause.contains("behind ours"), "{cause}");
}

#[tokio::test]
async fn clocks_that_agree_are_not_spoken_of() {
    let (north, _south, _) = met().await;
    let peer = north.get("peers").await["peers"][0].clone();
    let skew = peer["clock_skew_ms"].as_i64().unwrap();
    assert!(skew.abs() < 30_000, "{peer}");
    assert!(!peer["cause"].as_str().unwrap().contains("clock"), "{peer}");
}
