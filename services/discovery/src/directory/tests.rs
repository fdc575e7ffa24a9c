//! A directory over a store of its own.

use std::io;
use std::sync::Mutex as Lock;

use async_trait::async_trait;
use oc_kernel::{Page, PageRequest, Revision, SystemClock};
use oc_store::{Collection, Document, OutboxEntry, OutboxToken, SqliteStore, StoreError};
use oc_trust::OrgKeys;
use tokio::sync::watch;

use super::*;

struct South {
    keys: OrgKeys,
    peer: PeerId,
    introduction: Introduction,
}

impl South {
    fn new() -> Self {
        let keys = OrgKeys::generate();
        let peer = keys.node.peer_id().as_str().parse().unwrap();
        let introduction = Introduction {
            key_sets: vec![keys.found().unwrap().bytes().to_vec()],
            name: "South".to_owned(),
            version: "0.1.0".to_owned(),
            clock_skew_ms: 0,
        };
        Self {
            keys,
            peer,
            introduction,
        }
    }

    fn org(&self) -> OrgId {
        KeyHistory::start(self.keys.found().unwrap()).unwrap().org()
    }
}

async fn directory(store: &Arc<dyn Store>) -> Directory {
    let own = OrgId::from_digest([1; 32]);
    let clock = Arc::new(SystemClock);
    Directory::load(own, store.clone(), clock).await.unwrap()
}

async fn store() -> Arc<dyn Store> {
    Arc::new(SqliteStore::temporary().await.unwrap())
}

async fn stored(store: &Arc<dyn Store>) -> usize {
    let partners: Documents<PartnerRecord> = Documents::new(store.clone(), &PARTNERS, 1);
    partners.all(&Query::all()).await.unwrap().len()
}

#[tokio::test]
async fn a_partner_is_known_after_a_restart_and_not_connected() {
    let (store, south, network) = (store().await, South::new(), NetworkId::generate());
    let before = directory(&store).await;
    before
        .introduce(network, south.peer, Vec::new(), &south.introduction)
        .await
        .unwrap();
    assert!(before.partner(south.org()).unwrap().record.nodes[0].connected);
    let after = directory(&store).await;
    let partner = after.partner_of(south.peer).unwrap();
    assert_eq!(partner.record.name, "South");
    assert!(!partner.record.nodes[0].connected);
}

#[tokio::test]
async fn who_was_met_in_one_network_only_is_forgotten_with_it_unless_there_are_books() {
    let (store, network) = (store().await, NetworkId::generate());
    let directory = directory(&store).await;
    let (stranger, partner) = (South::new(), South::new());
    for south in [&stranger, &partner] {
        directory
            .introduce(network, south.peer, Vec::new(), &south.introduction)
            .await
            .unwrap();
    }
    directory.keep_for_books(partner.org()).await.unwrap();
    directory.leave(network).await.unwrap();
    assert!(directory.partner(stranger.org()).is_err());
    let kept = directory.partner(partner.org()).unwrap();
    assert!(kept.record.nodes.is_empty());
    assert_eq!(kept.history.org(), partner.org());
    assert!(directory.partner_of(partner.peer).is_none());
    assert_eq!(stored(&store).await, 1);
}

#[tokio::test]
async fn a_blocked_organisation_stays_blocked_when_it_introduces_itself_again() {
    let (store, south, network) = (store().await, South::new(), NetworkId::generate());
    let directory = directory(&store).await;
    let introduce = || directory.introduce(network, south.peer, Vec::new(), &south.introduction);
    introduce().await.unwrap();
    let nodes = directory.block(south.org(), "a test").await.unwrap();
    assert_eq!(nodes, [south.peer]);
    assert_eq!(directory.block_of(south.peer).unwrap().reason, "a test");
    let refused = introduce().await.unwrap_err();
    assert!(matches!(refused, DiscoveryError::Blocked(_)), "{refused}");
    directory.unblock(south.org()).await.unwrap();
    introduce().await.unwrap();
}

#[tokio::test]
async fn a_node_that_shows_anothers_key_set_is_refused_and_nothing_is_stored() {
    let (store, south) = (store().await, South::new());
    let directory = directory(&store).await;
    let thief = South::new().peer;
    let refused = directory
        .introduce(
            NetworkId::generate(),
            thief,
            Vec::new(),
            &south.introduction,
        )
        .await
        .unwrap_err();
    assert!(
        matches!(refused, DiscoveryError::Introduction { .. }),
        "{refused}"
    );
    assert_eq!(stored(&store).await, 0);
}

#[tokio::test]
async fn a_node_blocked_by_its_own_name_is_refused_until_it_is_unblocked() {
    let (store, peer) = (store().await, South::new().peer);
    directory(&store)
        .await
        .block_node(peer, "noise")
        .await
        .unwrap();
    let after = directory(&store).await;
    assert_eq!(after.block_of(peer).unwrap().reason, "noise");
    after.unblock_node(peer).await.unwrap();
    assert!(after.block_of(peer).is_none());
}

/// A store whose writes are there before they are answered: while `answers` is locked, they are not.
#[derive(Debug)]
struct Late {
    store: Arc<dyn Store>,
    answers: Arc<Mutex<()>>,
}

#[async_trait]
impl Store for Late {
    async fn get(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        self.store.get(collection, key).await
    }
    async fn put(
        &self,
        collection: &'static Collection,
        key: &str,
        expect: Expect,
        value: Vec<u8>,
        events: Vec<OutboxEvent>,
    ) -> Result<Revision, StoreError> {
        let answer = self.store.put(collection, key, expect, value, events).await;
        let _answered = self.answers.lock().await;
        answer
    }
    async fn delete(
        &self,
        collection: &'static Collection,
        key: &str,
        expect: Expect,
        events: Vec<OutboxEvent>,
    ) -> Result<Option<Revision>, StoreError> {
        self.store.delete(collection, key, expect, events).await
    }
    async fn list(
        &self,
        collection: &'static Collection,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<Document>, StoreError> {
        self.store.list(collection, query, page).await
    }
    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        self.store.outbox(limit).await
    }
    async fn acknowledge(&self, tokens: &[OutboxToken]) -> Result<(), StoreError> {
        self.store.acknowledge(tokens).await
    }
    fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.store.outbox_changes()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

#[tokio::test]
async fn whoever_heard_of_a_partner_by_its_event_finds_it() {
    let (store, south, network) = (store().await, South::new(), NetworkId::generate());
    let answers = Arc::new(Mutex::new(()));
    let late: Arc<dyn Store> = Arc::new(Late {
        store: store.clone(),
        answers: answers.clone(),
    });
    let directory = Arc::new(directory(&late).await);
    let held = answers.lock().await;
    let (peer, org) = (south.peer, south.org());
    let introduced = tokio::spawn({
        let directory = directory.clone();
        async move {
            directory
                .introduce(network, peer, Vec::new(), &south.introduction)
                .await
        }
    });
    let mut changes = store.outbox_changes();
    while store.outbox(1).await.unwrap().is_empty() {
        changes.changed().await.unwrap();
    }
    assert!(directory.partners().is_empty(), "the event is out first");
    let mut asked = std::pin::pin!(directory.settled_partner(org));
    assert!(futures::poll!(&mut asked).is_pending());
    drop(held);
    assert_eq!(asked.await.unwrap().record.org_id, org);
    introduced.await.unwrap().unwrap();
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Lock<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn alarms(&self) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let alarm = |line: &&str| line.contains("WARN") && line.contains("95 s ahead of ours");
        text.lines().filter(alarm).count()
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_warned_of_once_a_connection() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let (store, mut south, network) = (store().await, South::new(), NetworkId::generate());
    south.introduction.clock_skew_ms = 95_000;
    let directory = directory(&store).await;
    let introduce = || directory.introduce(network, south.peer, Vec::new(), &south.introduction);
    introduce().await.unwrap();
    introduce().await.unwrap();
    assert_eq!(log.alarms(), 1);
    directory.lose(network, south.peer, "cut").await.unwrap();
    introduce().await.unwrap();
    assert_eq!(log.alarms(), 2);
}
