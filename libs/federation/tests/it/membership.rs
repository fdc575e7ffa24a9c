//! Joining, being found, announcing, leaving.

use std::time::Duration;

use oc_federation::{NetworkError, NetworkEvent, NodeKey, PeerState};
use tokio::time::timeout;

use crate::nodes::{LIMIT, Realm, address, connected, event, until};

#[tokio::test]
async fn two_nodes_with_the_key_and_one_address_list_each_other() {
    let realm = Realm::new();
    let (a, b) = (realm.node().await, realm.node().await);
    let mut events = a.events();
    let joined = b.join(&[address(&a).await], LIMIT).await;
    assert_eq!(joined, Ok(a.local_peer()));
    until(|| connected(&a, b.local_peer()) && connected(&b, a.local_peer())).await;
    let seen = event(&mut events, |e| {
        matches!(e, NetworkEvent::PeerJoined { .. })
    })
    .await;
    let agent = "opencloud/test".to_owned();
    let peer = b.local_peer();
    assert_eq!(seen, NetworkEvent::PeerJoined { peer, agent });
    // Where b listens came with its introduction, not with its connection.
    let listed = a.peer(peer).unwrap();
    assert!(listed.addresses.contains(&address(&b).await));
    assert!(listed.last_seen.is_some());
    until(|| a.peer(peer).is_some_and(|p| p.rtt.is_some())).await;
}

#[tokio::test]
async fn a_node_that_announces_only_what_is_set_tells_nobody_where_it_listens() {
    let realm = Realm::new();
    let outside = "/dns4/north.example.org/tcp/31001";
    let mut settings = realm.settings();
    settings.announce = vec![outside.parse().unwrap()];
    settings.announce_only = true;
    let north = oc_federation::Network::start(settings).await.unwrap();
    let south = realm.node().await;
    // North dials, so that South knows of it nothing but what North says.
    north.join(&[address(&south).await], LIMIT).await.unwrap();
    until(|| connected(&south, north.local_peer())).await;
    let told = south.peer(north.local_peer()).unwrap().addresses;
    assert_eq!(told, [outside.parse().unwrap()]);
}

#[tokio::test]
async fn a_third_node_finds_the_first_through_the_second() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    let c = realm.node().await;
    c.join(&[address(&b).await], LIMIT).await.unwrap();
    until(|| connected(&c, a.local_peer()) && connected(&a, c.local_peer())).await;
}

#[tokio::test]
async fn two_networks_in_one_process_do_not_mix() {
    let (east, west) = (Realm::new(), Realm::new());
    let (a, b) = east.pair().await;
    let (c, d) = west.pair().await;
    assert_eq!(a.peers().len(), 1);
    assert_eq!(d.peers().len(), 1);
    assert!(connected(&c, d.local_peer()));
    assert!(b.peer(c.local_peer()).is_none());
}

#[tokio::test]
async fn a_node_without_an_inbound_port_joins_and_is_called() {
    let realm = Realm::new();
    let a = realm.node().await;
    let mut settings = realm.settings();
    settings.listen.clear();
    let hidden = oc_federation::Network::start(settings).await.unwrap();
    hidden.join(&[address(&a).await], LIMIT).await.unwrap();
    until(|| connected(&a, hidden.local_peer())).await;
    assert!(hidden.listeners().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_announcement_reaches_every_subscriber_with_its_author() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    let c = realm.node().await;
    c.join(&[address(&b).await], LIMIT).await.unwrap();
    let mut at_b = b.subscribe("heads").await.unwrap();
    let mut at_c = c.subscribe("heads").await.unwrap();
    let published = async {
        while !a.publish("heads", b"head 7".to_vec()).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, published).await.unwrap();
    for receiver in [&mut at_b, &mut at_c] {
        let announcement = timeout(LIMIT, receiver.recv()).await.unwrap().unwrap();
        assert_eq!(announcement.author, a.local_peer());
        assert_eq!(&announcement.data[..], b"head 7");
    }
}

#[tokio::test]
async fn an_announcement_over_the_limit_is_refused_with_the_number() {
    let node = Realm::new().node().await;
    let refused = node.publish("heads", vec![0; 64 * 1024 + 1]).await;
    let (size, limit) = (65537, 65536);
    assert_eq!(refused, Err(NetworkError::TooLarge { size, limit }));
}

#[tokio::test]
async fn leaving_closes_everything_and_the_others_notice() {
    let realm = Realm::new();
    let (a, b) = realm.pair().await;
    let mut events = a.events();
    let port = address(&b).await;
    b.leave().await.unwrap();
    event(
        &mut events,
        |e| matches!(e, NetworkEvent::PeerAway { peer, .. } if *peer == b.local_peer()),
    )
    .await;
    assert_eq!(a.peer(b.local_peer()).unwrap().state, PeerState::Away);
    assert_eq!(b.listeners().await, Err(NetworkError::Closed));
    assert_eq!(b.leave().await, Ok(()));
    // The port is free again.
    let mut settings = realm.settings();
    settings.listen = vec![port];
    oc_federation::Network::start(settings).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_comes_back_at_its_old_address_is_connected_again_by_itself() {
    let realm = Realm::new();
    let a = realm.node().await;
    let mut settings = realm.settings();
    settings.node = NodeKey::from_seed(&[7; 32]);
    let b = oc_federation::Network::start(settings.clone())
        .await
        .unwrap();
    let at = address(&b).await;
    a.join(std::slice::from_ref(&at), LIMIT).await.unwrap();
    b.leave().await.unwrap();
    until(|| !connected(&a, b.local_peer())).await;
    settings.listen = vec![at];
    let back = oc_federation::Network::start(settings).await.unwrap();
    until(|| connected(&a, back.local_peer())).await;
}

#[tokio::test]
async fn a_remembered_peer_is_dialled_without_an_invitation() {
    let realm = Realm::new();
    let (a, b) = (realm.node().await, realm.node().await);
    b.remember(a.local_peer(), vec![address(&a).await])
        .await
        .unwrap();
    until(|| connected(&b, a.local_peer())).await;
}
