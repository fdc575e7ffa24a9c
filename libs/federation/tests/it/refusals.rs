//! Wrong keys, wrong addresses, blocked peers.

use std::time::{Duration, Instant};

use oc_federation::{
    JoinError, Multiaddr, Network, NetworkError, PeerState, Protocol, StreamError, SwarmKey,
};
use oc_kernel::Classify as _;
use tokio::net::TcpListener;

use crate::nodes::{LIMIT, Realm, address, connected, until};

#[tokio::test]
async fn a_wrong_key_is_named_as_the_likely_cause_within_twelve_seconds() {
    let realm = Realm::new();
    let a = realm.node().await;
    let at = address(&a).await;
    let mut settings = realm.settings();
    settings.key = SwarmKey::generate();
    let stranger = Network::start(settings).await.unwrap();
    let started = Instant::now();
    let refused = stranger.join(std::slice::from_ref(&at), LIMIT).await;
    assert!(started.elapsed() < Duration::from_secs(12));
    let likely = JoinError::LikelyWrongKey {
        address: at.to_string(),
    };
    assert_eq!(refused, Err(likely));
    assert!(a.peers().is_empty());
}

#[tokio::test]
async fn an_address_where_nothing_answers_is_told_apart() {
    let realm = Realm::new();
    let node = realm.node().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let nowhere: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let refused = node.join(&[nowhere], Duration::from_secs(1)).await;
    assert!(
        matches!(refused, Err(JoinError::Unreachable { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_is_not_taken_for_a_wrong_key() {
    let realm = Realm::new();
    let node = realm.node().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = other.accept().await {
            drop(socket);
        }
    });
    let at: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let refused = node.join(&[at], LIMIT).await;
    assert!(
        matches!(refused, Err(JoinError::NotAPeer { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_peer_that_is_not_up_yet_is_tried_again() {
    let realm = Realm::new();
    let late = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", late.local_addr().unwrap().port())
        .parse()
        .unwrap();
    drop(late);
    let b = realm.node().await;
    let addresses = [at.clone()];
    let joining = b.join(&addresses, LIMIT);
    let starting = async {
        // Dials begin in the order in which they are asked for: when this one, which has no time for a second, has
        // failed, the other's first has too.
        let refused = b.join(&addresses, Duration::from_millis(400)).await;
        assert!(
            matches!(refused, Err(JoinError::Unreachable { .. })),
            "{refused:?}"
        );
        let mut settings = realm.settings();
        settings.listen = vec![at];
        Network::start(settings).await.unwrap()
    };
    let (joined, a) = tokio::join!(joining, starting);
    assert_eq!(joined, Ok(a.local_peer()));
}

#[tokio::test]
async fn the_nodes_own_address_is_refused_in_each_spelling() {
    let node = Realm::new().node().await;
    let at = address(&node).await;
    let named: Multiaddr = format!("{at}/p2p/{}", node.local_peer()).parse().unwrap();
    let port = at.to_string().rsplit('/').next().unwrap().to_owned();
    let other_name: Multiaddr = format!("/dns4/localhost/tcp/{port}").parse().unwrap();
    for own in [at, named, other_name] {
        let refused = node.join(std::slice::from_ref(&own), LIMIT).await;
        assert!(
            matches!(refused, Err(JoinError::OwnAddress { .. })),
            "{own}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_invitation_that_names_another_node_is_reported() {
    let realm = Realm::new();
    let (a, b) = (realm.node().await, realm.node().await);
    let gone = realm.settings().node.peer_id();
    let at = format!("{}/p2p/{gone}", address(&a).await).parse().unwrap();
    let refused = b.join(&[at], LIMIT).await;
    let found = a.local_peer();
    assert!(
        matches!(&refused, Err(JoinError::WrongPeer { found: f, .. }) if *f == found),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_network_with_the_same_key_and_another_id_is_told_apart() {
    let realm = Realm::new();
    let mut other = Realm::new();
    other.key = realm.key.clone();
    let (a, b) = (realm.node().await, other.node().await);
    let refused = b.join(&[address(&a).await], LIMIT).await;
    assert!(
        matches!(refused, Err(JoinError::OtherNetwork { .. })),
        "{refused:?}"
    );
    until(|| !connected(&a, b.local_peer())).await;
}

#[tokio::test]
async fn what_is_no_address_of_a_peer_is_refused_at_once() {
    let node = Realm::new().node().await;
    let refused = node.join(&[], LIMIT).await;
    assert_eq!(refused, Err(JoinError::NoAddress));
    let udp = "/ip4/127.0.0.1/udp/4001".parse().unwrap();
    let refused = node.join(&[udp], LIMIT).await;
    assert!(
        matches!(refused, Err(JoinError::BadAddress { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port())
        .parse()
        .unwrap();
    let realm = Realm::new();
    let mut settings = realm.settings();
    settings.listen = vec![at.clone()];
    let refused = Network::start(settings.clone()).await.unwrap_err();
    let address = at.to_string();
    assert_eq!(refused, NetworkError::AddressInUse { address });
    // Another node of ours holds its port no less.
    let node = realm.node().await;
    settings.listen = vec![address_of(&node).await];
    let refused = Network::start(settings).await.unwrap_err();
    assert!(
        matches!(refused, NetworkError::AddressInUse { .. }),
        "{refused:?}"
    );
}

async fn address_of(node: &Network) -> Multiaddr {
    address(node).await
}

#[tokio::test]
async fn a_blocked_peer_is_cut_off_and_refused_in_both_directions() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    a.block(b.local_peer()).await.unwrap();
    until(|| !connected(&b, a.local_peer())).await;
    assert_eq!(a.peer(b.local_peer()).unwrap().state, PeerState::Blocked);
    let refused = b.join(&[address(&a).await], LIMIT).await;
    let peer = a.local_peer();
    assert!(
        matches!(&refused, Err(JoinError::Refused { peer: p, .. }) if *p == peer),
        "{refused:?}"
    );
    let refused = a.open_stream(b.local_peer(), Protocol::Grpc).await;
    let peer = b.local_peer();
    assert_eq!(refused.unwrap_err(), StreamError::Blocked { peer });
    a.unblock(b.local_peer()).await.unwrap();
    b.join(&[address(&a).await], LIMIT).await.unwrap();
    until(|| connected(&a, b.local_peer())).await;
}

#[tokio::test]
async fn what_a_blocked_author_announces_through_others_is_dropped() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    let c = realm.node().await;
    c.join(&[address(&b).await], LIMIT).await.unwrap();
    until(|| connected(&c, a.local_peer())).await;
    let mut at_c = c.subscribe("heads").await.unwrap();
    let _at_b = b.subscribe("heads").await.unwrap();
    c.block(a.local_peer()).await.unwrap();
    let published = async {
        // b hears a first and would pass it on; then b's own word reaches c and a's has not.
        while !a.publish("heads", b"from a".to_vec()).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while !b.publish("heads", b"from b".to_vec()).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, published).await.unwrap();
    let heard = tokio::time::timeout(LIMIT, at_c.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard.author, b.local_peer());
}

#[tokio::test]
async fn an_unknown_peer_and_a_protocol_nobody_takes_are_told_apart() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    let nobody = realm.settings().node.peer_id();
    let refused = a.open_stream(nobody, Protocol::Grpc).await.unwrap_err();
    assert_eq!(refused, StreamError::Unknown { peer: nobody });
    // A member behind NAT looks like that until it has connected again.
    assert!(refused.kind().retryable());
    let peer = b.local_peer();
    let refused = a.open_stream(peer, Protocol::Bulk).await.unwrap_err();
    let protocol = "/opencloud/bulk/1";
    assert_eq!(refused, StreamError::Unsupported { peer, protocol });
}
