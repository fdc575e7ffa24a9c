//! An organisation with a node of its own.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use oc_bus::{Bus, Consumer, InProcessBus, Subscription};
use oc_discovery::{Parts, Settings, SwarmSettings};
use oc_door::{Door, DoorAuthenticator, PartnerChannel, Purpose};
use oc_kernel::{Clock, OrgId, SystemClock};
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{App, Listeners, Node, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::behind::{self, Shelf};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) board: Switchboard,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shelf: Shelf,
    folder: Arc<tempfile::TempDir>,
    name: &'static str,
    router: Router,
    stop: CancellationToken,
    served: Option<JoinHandle<()>>,
}

pub(crate) fn settings(name: &str, keys: PathBuf) -> Settings {
    Settings {
        name: Some(name.parse().unwrap()),
        keys,
        root_key: None,
        swarm: SwarmSettings {
            host: Ipv4Addr::LOCALHOST.into(),
            first_port: 0,
            last_port: 0,
            announce: Vec::new(),
            announce_only: false,
        },
    }
}

/// discovery alone, not served.
pub(crate) async fn app() -> (App, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts {
        store: Arc::new(SqliteStore::temporary().await.unwrap()),
        bus: Arc::new(InProcessBus::new()),
        clock: Arc::new(SystemClock),
        switchboard: Switchboard::new(),
        metrics: Metrics::new(),
        settings: settings("North", folder.path().join("keys")),
    };
    (oc_discovery::build(parts).await.unwrap(), folder)
}

impl Org {
    pub(crate) async fn start(name: &'static str) -> Self {
        Self::start_by(name, Arc::new(SystemClock)).await
    }

    /// Starts a node that goes by another clock than the machine's.
    pub(crate) async fn start_by(name: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), name, clock).await
    }

    async fn start_in(
        folder: Arc<tempfile::TempDir>,
        name: &'static str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let board = Switchboard::new();
        let bus = Arc::new(InProcessBus::new());
        let file = folder.path().join("discovery.db");
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(file, SqliteOptions::default())
                .await
                .unwrap(),
        );
        let shelf = Shelf::default();
        let metrics = Metrics::new();
        let discovery = oc_discovery::build(Parts {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            switchboard: board.clone(),
            metrics: metrics.clone(),
            settings: settings(name, folder.path().join("keys")),
        });
        let door = Door::new(&board, "catalog", clock);
        let apps = vec![
            discovery.await.unwrap(),
            behind::catalogue(door.clone()),
            behind::objects(shelf.clone()),
        ];
        let tokens = Arc::new(StaticTokens::of_roles());
        let authenticator = Arc::new(DoorAuthenticator::new(door.clone(), tokens));
        let node = Node::build(apps, authenticator, &metrics).unwrap();
        let router = node.router();
        for name in ["discovery", "catalog", "compute-provider"] {
            board.register(name, router.clone());
        }
        let stop = CancellationToken::new();
        let listeners = Listeners::local().await.unwrap();
        let stopped = stop.clone();
        let served = tokio::spawn(async move {
            let settings = StopSettings::default();
            node.serve(listeners, stopped, &settings).await.unwrap();
        });
        let id = door.identity().await.unwrap().org;
        Self {
            id,
            board,
            bus,
            store,
            shelf,
            folder,
            name,
            router,
            stop,
            served: Some(served),
        }
    }

    /// Stops the node and starts it again on the same folder.
    pub(crate) async fn restart(mut self) -> Self {
        let (folder, name) = (self.folder.clone(), self.name);
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            served.await.unwrap();
        }
        drop(self);
        Self::start_in(folder, name, Arc::new(SystemClock)).await
    }

    pub(crate) fn door(&self, service: &'static str) -> Door {
        Door::new(&self.board, service, Arc::new(SystemClock))
    }

    /// A service's way to a partner.
    pub(crate) async fn partner(
        &self,
        service: &'static str,
        org: OrgId,
        purpose: Purpose,
    ) -> PartnerChannel {
        self.door(service).partner(org, purpose).await.unwrap()
    }

    /// A REST call as the administrator.
    pub(crate) async fn rest(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/discovery/v1/{path}"))
            .header(header::AUTHORIZATION, "Bearer admin");
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        let Ok(response) = self
            .router
            .clone()
            .oneshot(request.body(body).unwrap())
            .await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.rest(Method::GET, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn create(&self) -> String {
        let (status, body) = self
            .rest(Method::POST, "networks", json!({ "name": "East" }))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["network"]["network_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn invite(&self, network: &str) -> String {
        let path = format!("networks/{network}/invitations");
        let (status, body) = self.rest(Method::POST, &path, json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["invitation"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn join(&self, invitation: &str) -> (StatusCode, Value) {
        let body = json!({ "invitation": invitation });
        self.rest(Method::POST, "networks/join", body).await
    }

    /// What this organisation sees of another.
    pub(crate) async fn sees(&self, other: OrgId) -> String {
        let (status, body) = self
            .rest(Method::GET, &format!("peers/{other}"), Value::Null)
            .await;
        match status {
            StatusCode::OK => body["peer"]["state"].as_str().unwrap().to_owned(),
            _ => status.to_string(),
        }
    }

    pub(crate) async fn sees_become(&self, other: OrgId, state: &str) {
        eventually(async || self.sees(other).await == state).await;
    }

    /// The newest calls at this organisation's door, as (direction, method, outcome).
    pub(crate) async fn calls(&self) -> Vec<(String, String, String)> {
        let body = self.get("calls").await;
        let calls = body["calls"].as_array().unwrap().iter();
        let text = |call: &Value, name: &str| call[name].as_str().unwrap().to_owned();
        calls
            .map(|call| {
                (
                    text(call, "direction"),
                    text(call, "method"),
                    text(call, "outcome"),
                )
            })
            .collect()
    }

    pub(crate) async fn listen(&self, kind: &str) -> Box<dyn Consumer> {
        let subscription = Subscription::ephemeral(&[kind]).unwrap();
        self.bus.subscribe(subscription).await.unwrap()
    }
}

impl Drop for Org {
    fn drop(&mut self) {
        self.stop.cancel();
        self.board.clear();
    }
}

/// The data of the next event that is wanted.
pub(crate) async fn event(
    consumer: &mut Box<dyn Consumer>,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let waiting = async {
        loop {
            let delivery = consumer.next().await.unwrap();
            let data = delivery.event.data.clone().unwrap_or_default();
            delivery.ack().await.unwrap();
            if wanted(&data) {
                return data;
            }
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap()
}

/// Waits for a condition, at most [`LIMIT`].
#[track_caller]
pub(crate) fn eventually(condition: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::time::timeout(LIMIT, waiting).await;
        assert!(done.is_ok(), "the condition at {caller} did not come true");
    }
}

/// North and South, met in a network of North's.
pub(crate) async fn met() -> (Org, Org, String) {
    met_by(Arc::new(SystemClock)).await
}

/// The same; South goes by a clock of its own.
pub(crate) async fn met_by(clock: Arc<dyn Clock>) -> (Org, Org, String) {
    let north = Org::start("North").await;
    let south = Org::start_by("South", clock).await;
    let network = north.create().await;
    let (status, body) = south.join(&north.invite(&network).await).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    north.sees_become(south.id, "connected").await;
    south.sees_become(north.id, "connected").await;
    (north, south, network)
}
