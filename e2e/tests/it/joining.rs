//! Joining a network, and what cannot be joined.

use std::time::{Duration, Instant};

use oc_client::ListingFilter;
use oc_proto::compute::v1::{Offer, OfferKind};
use oc_proto::discovery::v1::{
    BlockPeerRequest, CreateNetworkRequest, InviteRequest, JoinNetworkRequest, PeerState,
};
use oc_proto::types::v1::Limits;
use oc_testkit::{Node, Pair, until};

use crate::terminal::Terminal;

#[tokio::test]
async fn a_wrong_swarm_key_is_reported_as_the_likely_cause() {
    let (north, south) = (Node::start("North").await, Node::start("South").await);
    let invitation = async |node: &Node| {
        let create = CreateNetworkRequest {
            name: "a".to_owned(),
            port: 0,
        };
        let network = node
            .client()
            .discovery()
            .create_network(&create)
            .await
            .unwrap();
        let invite = InviteRequest {
            network_id: network.network_id.clone(),
            ..InviteRequest::default()
        };
        (
            network,
            node.client().discovery().invite(&invite).await.unwrap(),
        )
    };
    // South's own network has another key; its invitation with North's address is a wrong key for North.
    let (north_network, _) = invitation(&north).await;
    let (south_network, _) = invitation(&south).await;
    let invite = InviteRequest {
        network_id: south_network.network_id,
        addresses: north_network.listen,
    };
    let wrong = south.client().discovery().invite(&invite).await.unwrap();
    let third = Node::start("Third").await;
    let begin = Instant::now();
    let join = JoinNetworkRequest {
        invitation: wrong,
        port: 0,
    };
    let error = third
        .client()
        .discovery()
        .join_network(&join)
        .await
        .unwrap_err();
    assert!(
        begin.elapsed() < Duration::from_secs(12),
        "{:?}",
        begin.elapsed()
    );
    assert!(error.to_string().contains("key"), "{error}");
}

#[tokio::test]
async fn a_damaged_invitation_is_refused() {
    let node = Node::start("North").await;
    for text in ["", "hello", "opencloud-join:v1:AAAA"] {
        let join = JoinNetworkRequest {
            invitation: text.to_owned(),
            port: 0,
        };
        let error = node
            .client()
            .discovery()
            .join_network(&join)
            .await
            .unwrap_err();
        let status = error.problem().map(|problem| problem.status);
        assert!(matches!(status, Some(400 | 422)), "{text}: {error}");
    }
}

#[tokio::test]
async fn an_offer_shows_up_at_a_partner_and_vanishes_when_it_is_withdrawn_or_the_partner_is_blocked()
 {
    let pair = Pair::meet().await;
    let (north, south) = (pair.north.client(), pair.south.client());
    let offer = |name: &str| Offer {
        name: name.to_owned(),
        kind: OfferKind::Storage.into(),
        capacity: Some(Limits {
            storage_bytes: 1 << 20,
            ..Limits::default()
        }),
        ..Offer::default()
    };
    for name in ["one", "two"] {
        south.compute().create_offer(&offer(name)).await.unwrap();
    }
    let seen = async || {
        let filter = ListingFilter {
            owner: Some(pair.south_id.clone()),
            ..ListingFilter::default()
        };
        let found = north.catalog().search(&filter).await.unwrap().listings;
        let mut ids: Vec<_> = found
            .into_iter()
            .map(|listing| listing.listing_id)
            .collect();
        ids.sort();
        ids
    };
    let limit = Duration::from_secs(10);
    until("both offers are seen", limit, async || {
        (seen().await == ["storage.one", "storage.two"]).then_some(())
    })
    .await;
    south.compute().withdraw_offer("one").await.unwrap();
    until("one is gone", limit, async || {
        (seen().await == ["storage.two"]).then_some(())
    })
    .await;

    let block = BlockPeerRequest {
        peer: pair.south_id.clone(),
        reason: "test".to_owned(),
    };
    north.discovery().block(&block).await.unwrap();
    until("a blocked peer's offers are gone", limit, async || {
        seen().await.is_empty().then_some(())
    })
    .await;
    let peers = north.discovery().peers().await.unwrap();
    assert!(
        peers
            .iter()
            .any(|peer| peer.state == i32::from(PeerState::Blocked)),
        "{peers:?}"
    );
}

#[tokio::test]
async fn peers_find_each_other_again_after_one_was_killed() {
    let mut pair = Pair::meet().await;
    pair.south.kill();
    let north = pair.north.client();
    until("South is lost", Duration::from_secs(30), async || {
        let peers = north.discovery().peers().await.unwrap();
        peers
            .iter()
            .any(|peer| peer.state == i32::from(PeerState::Lost))
            .then_some(())
    })
    .await;
    pair.south.begin().await;
    pair.connected().await;
}

#[tokio::test]
async fn a_join_without_trouble_logs_none() {
    for _ in 0..3 {
        let pair = Pair::meet().await;
        for node in [&pair.north, &pair.south] {
            let log = node.log();
            assert!(!log.contains("is not introduced"), "{log}");
        }
    }
}

#[tokio::test]
async fn an_invitation_need_not_stand_in_the_list_of_processes() {
    let (north, south) = (Node::start("North").await, Node::start("South").await);
    let folder = tempfile::tempdir().unwrap();
    let north = Terminal::open(&north, folder.path());
    let south = Terminal::open(&south, folder.path());
    north.types("opencloud network create alliance");
    let networks = north.json("opencloud network list");
    let address = networks[0]["listen"][0].as_str().unwrap();
    let invite = format!("opencloud network invite alliance --address {address}");
    north.types(&format!("{invite} > invitation"));
    south.is_refused("opencloud network join --file elsewhere", &["elsewhere"]);
    south.is_refused("echo nonsense | opencloud network join -", &["invitation"]);
    for join in [
        "opencloud network join - < invitation",
        "opencloud network join < invitation",
        "opencloud network join --file invitation",
    ] {
        south.reads(join, &["name alliance"]);
        south.types("opencloud network leave alliance --yes");
    }
    let help = "opencloud network join --help";
    south.reads(help, &["seen by others on this machine"]);
}
