//! What becomes of the pseudonyms of somebody whose account is removed.

use std::sync::Arc;
use std::time::Duration;

use oc_bus::{Bus as _, CloudEvent, InProcessBus};
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{Listeners, Node, StopSettings};
use oc_store::{Collection, Documents, Query, SqliteStore, Store};
use oc_trust::event::{Event as _, UserEvent, UserState};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::faces::app;

static PSEUDONYMS: Collection = Collection::new("pseudonyms", &[]);

#[tokio::test]
async fn the_service_forgets_who_a_removed_user_was() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::temporary().await.unwrap());
    let bus = Arc::new(InProcessBus::new());
    let app = app(store.clone(), bus.clone()).await;
    let tokens = Arc::new(StaticTokens::of_roles());
    let node = Node::build(vec![app], tokens, &Metrics::new()).unwrap();
    let stop = CancellationToken::new();
    let (listeners, stopped) = (Listeners::local().await.unwrap(), stop.clone());
    let served = tokio::spawn(async move {
        let settings = StopSettings::default();
        node.serve(listeners, stopped, &settings).await.unwrap();
    });
    let pseudonyms: Documents<Value> = Documents::new(store, &PSEUDONYMS, 1);
    for key in ["user-1/own", "user-1/grant-1", "user-2/own"] {
        let made = json!({ "pseudonym": "user-x" });
        pseudonyms.create(key, &made, Vec::new()).await.unwrap();
    }

    let removed = UserEvent {
        user: "user-1".to_owned(),
        state: UserState::Removed,
    };
    let event = CloudEvent::new("1", "/test", UserEvent::TYPE)
        .with_subject(removed.subject())
        .with_data(removed.data());
    let receipt = bus.publish(event).await.unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(10), receipt.safe()).await;
    taken.unwrap().unwrap();

    let left = pseudonyms.all(&Query::all()).await.unwrap();
    let left: Vec<_> = left.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(left, ["user-2/own"]);
    stop.cancel();
    served.await.unwrap();
}
