//! From a write to a subscriber: store, outbox, relay and bus together.

use std::sync::Arc;
use std::time::Duration;

use oc_bus::{Bus, InProcessBus, Relay, Subscription};
use oc_store::{Collection, Documents, Expect, OutboxEvent, SqliteStore, Store, StoreOutbox};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

static THINGS: Collection = Collection::new("things", &[]);
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_event_leaves_with_its_write_until_the_outbox_is_empty() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::temporary().await.unwrap());
    let bus = Arc::new(InProcessBus::new());
    let wanted = Subscription::durable("test", &["oc.thing.>"]).unwrap();
    let mut consumer = bus.subscribe(wanted).await.unwrap();
    let stop = CancellationToken::new();
    let outbox = Arc::new(StoreOutbox::new(store.clone(), "/north/test"));
    let relay = tokio::spawn(Relay::new(outbox, bus.clone()).run(stop.clone()));

    let things: Documents<Value> = Documents::new(store.clone(), &THINGS, 1);
    let event = |kind: &str| vec![OutboxEvent::new(kind, "k", json!({"n": 1}))];
    let written = things
        .create("k", &json!({}), event("oc.thing.made.v1"))
        .await
        .unwrap();
    let deleted = things.delete("k", Expect::Any, event("oc.thing.gone.v1"));
    let deleted = deleted.await.unwrap().unwrap();

    for (kind, revision) in [("oc.thing.made.v1", written), ("oc.thing.gone.v1", deleted)] {
        let delivery = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        let event = &delivery.event;
        assert_eq!(event.kind, kind);
        assert_eq!(event.source, "/north/test");
        assert_eq!(event.id, format!("things/k@{revision}.0"));
        assert_eq!(event.subject.as_deref(), Some("k"));
        assert_eq!(event.document_key(), Some("k"));
        assert_eq!(event.revision(), Some(revision.0));
        assert_eq!(event.data, Some(json!({"n": 1})));
        delivery.ack().await.unwrap();
    }
    let out = async {
        while !store.outbox(1).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, out).await.expect("the outbox empties");
    stop.cancel();
    timeout(SOON, relay).await.unwrap().unwrap();
}
