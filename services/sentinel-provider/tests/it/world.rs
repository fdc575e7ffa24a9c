//! South's data provider with its neighbours, and North and East who call it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use oc_bus::InProcessBus;
use oc_door::{Door, DoorAuthenticator, STATEMENT};
use oc_kernel::{Clock as _, FixedClock, SystemClock};
use oc_objects::FolderObjects;
use oc_proto::federation::v1::data_service_client::DataServiceClient;
use oc_sentinel_provider::{NAME, Parts, Settings};
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{App, Channel, Listeners, Node, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store};
use oc_trust::{Caller, seal};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::neighbours::{Catalogue, Discovery, Grants, Org};

pub(crate) const NETWORK: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const DEMO: &str = "sentinel-2-demo";

/// South, served as it is in a process, with its partners.
pub(crate) struct World {
    pub(crate) south: Org,
    pub(crate) north: Org,
    pub(crate) east: Org,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) board: Switchboard,
    pub(crate) settings: Settings,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) node: Running,
}

/// A node that can be stopped and started anew.
pub(crate) struct Running {
    pub(crate) router: Router,
    pub(crate) store: Arc<dyn Store>,
    stop: CancellationToken,
    ended: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// South without any dataset.
    pub(crate) async fn empty() -> Self {
        Self::with(Settings {
            recheck_seconds: 0,
            ..Settings::default()
        })
        .await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let (south, north, east) = (Org::found(), Org::found(), Org::found());
        let board = Switchboard::new();
        let discovery = Discovery::of(&south, &[&north, &east]);
        board.register("discovery", discovery.router());
        let (grants, catalogue) = (Arc::<Grants>::default(), Arc::<Catalogue>::default());
        board.register("compute-provider", grants.clone().router());
        board.register("catalog", catalogue.clone().router());
        let clock = Arc::new(FixedClock::new(SystemClock.now()));
        let bus = Arc::new(InProcessBus::new());
        let folder = tempfile::tempdir().unwrap();
        let node = start(&folder, &settings, &board, &clock, &bus).await;
        Self {
            south,
            north,
            east,
            clock,
            bus,
            grants,
            catalogue,
            board,
            settings,
            folder,
            node,
        }
    }

    /// South with the six scenes of `testdata/sentinel`.
    pub(crate) async fn demo() -> Self {
        let world = Self::empty().await;
        let collection = std::fs::read_to_string(samples().join("collection.json")).unwrap();
        let request = json!({"collection_json": collection});
        let (status, answer) = world
            .post("operator", "/api/data/v1/datasets", &request)
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        for scene in scenes() {
            for band in ["B02", "B03", "B04", "B08"] {
                let name = format!("{band}.tif");
                let bytes = std::fs::read(samples().join(&scene).join(&name)).unwrap();
                let (status, answer) = world
                    .put_file(DEMO, &format!("{scene}/{name}"), bytes)
                    .await;
                assert_eq!(status, StatusCode::CREATED, "{answer}");
            }
            let (status, answer) = world.import(DEMO, &scene_json(&scene)).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        }
        world
    }

    /// Stops South and starts it again on what it had stored.
    pub(crate) async fn restart(&mut self) {
        self.node.stop.cancel();
        if let Some(ended) = self.node.ended.take() {
            tokio::time::timeout(SOON, ended)
                .await
                .expect("it stops")
                .unwrap();
        }
        self.node = start(
            &self.folder,
            &self.settings,
            &self.board,
            &self.clock,
            &self.bus,
        )
        .await;
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        let answer = self.node.router.clone().oneshot(request).await.unwrap();
        answer.map(Body::new)
    }

    /// A REST call with a role's token.
    pub(crate) async fn call(
        &self,
        role: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "south.example")
            .header("authorization", format!("Bearer {role}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.send(request.body(body).unwrap()).await;
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, bytes.to_vec())
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, _, body) = self
            .call("user", Method::GET, path, &[], Body::empty())
            .await;
        (status, json_of(&body))
    }

    pub(crate) async fn post(&self, role: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let headers = [("content-type", "application/json")];
        let body = Body::from(body.to_string());
        let (status, _, body) = self.call(role, Method::POST, path, &headers, body).await;
        (status, json_of(&body))
    }

    pub(crate) async fn put_file(
        &self,
        dataset: &str,
        name: &str,
        bytes: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let path = format!("/api/data/v1/datasets/{dataset}/files/{name}");
        let headers = [("content-type", "image/tiff")];
        let put = self.call("operator", Method::PUT, &path, &headers, bytes.into());
        let (status, _, body) = put.await;
        (status, json_of(&body))
    }

    pub(crate) async fn import(&self, dataset: &str, item: &Value) -> (StatusCode, Value) {
        let path = format!("/api/data/v1/datasets/{dataset}/items");
        let request = json!({"item_json": item.to_string()});
        self.post("operator", &path, &request).await
    }

    pub(crate) async fn delete(&self, dataset: &str) -> (StatusCode, Value) {
        let path = format!("/api/data/v1/datasets/{dataset}");
        let (status, _, body) = self
            .call("operator", Method::DELETE, &path, &[], Body::empty())
            .await;
        (status, json_of(&body))
    }

    /// The data role as one of South's own services sees it.
    pub(crate) fn own(&self) -> DataServiceClient<Channel> {
        DataServiceClient::new(self.board.channel("compute-provider", NAME))
    }

    /// The data role as a partner sees it, through the door.
    pub(crate) fn partner(&self, org: &Org) -> DataServiceClient<ThroughTheDoor> {
        DataServiceClient::new(ThroughTheDoor {
            router: self.node.router.clone(),
            signer: self.south.signer.clone(),
            caller: Caller {
                org: org.id,
                peer: org.node.peer_id(),
                network: NETWORK.parse().unwrap(),
                method: String::new(),
                nonce: String::new(),
                not_before: self.clock.now_ms(),
                not_after: self.clock.now_ms() + 30_000,
            },
        })
    }

    /// Fetches by token, as discovery and compute-provider do.
    pub(crate) async fn bulk(&self, token: &str, offset: u64) -> (StatusCode, HeaderMap, Vec<u8>) {
        let path = format!("/api/data/internal/bulk?offset={offset}");
        let headers = [("oc-bulk-token", token)];
        self.call("service", Method::GET, &path, &headers, Body::empty())
            .await
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

async fn start(
    folder: &tempfile::TempDir,
    settings: &Settings,
    board: &Switchboard,
    clock: &Arc<FixedClock>,
    bus: &Arc<InProcessBus>,
) -> Running {
    let options = SqliteOptions {
        durable: false,
        clock: clock.clone(),
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open(folder.path().join("store.db"), options).await;
    let store: Arc<dyn Store> = Arc::new(store.unwrap());
    let app = app(folder.path(), store.clone(), settings, board, clock, bus).await;
    let door = Door::new(board, NAME, clock.clone());
    let tokens = Arc::new(StaticTokens::of_roles());
    let authenticator = Arc::new(DoorAuthenticator::new(door, tokens));
    let node = Node::build(vec![app], authenticator, &Metrics::new()).unwrap();
    let router = node.router();
    board.register(NAME, router.clone());
    let stop = CancellationToken::new();
    let listeners = Listeners::local().await.unwrap();
    let ended = tokio::spawn({
        let stop = stop.clone();
        async move {
            node.serve(listeners, stop, &StopSettings::default())
                .await
                .unwrap();
        }
    });
    Running {
        router,
        store,
        stop,
        ended: Some(ended),
    }
}

pub(crate) async fn app(
    folder: &Path,
    store: Arc<dyn Store>,
    settings: &Settings,
    board: &Switchboard,
    clock: &Arc<FixedClock>,
    bus: &Arc<InProcessBus>,
) -> App {
    let objects = FolderObjects::open(folder.join("objects")).await.unwrap();
    oc_sentinel_provider::build(Parts {
        store,
        bus: bus.clone(),
        objects: Arc::new(objects),
        clock: clock.clone(),
        switchboard: board.clone(),
        door: Door::new(board, NAME, clock.clone()),
        metrics: Metrics::new(),
        settings: settings.clone(),
    })
    .await
    .unwrap()
}

pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/sentinel")
}

/// The ids of the sample scenes.
pub(crate) fn scenes() -> Vec<String> {
    let entries = std::fs::read_dir(samples()).unwrap();
    let folders = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir());
    let mut scenes: Vec<_> = folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    scenes.sort();
    scenes
}

pub(crate) fn scene_json(scene: &str) -> Value {
    let text = std::fs::read(samples().join(scene).join(format!("{scene}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A partner's call as South's door lets it in: with a fresh statement about the caller.
#[derive(Clone)]
pub(crate) struct ThroughTheDoor {
    router: Router,
    signer: oc_trust::LocalSigner,
    caller: Caller,
}

impl tower::Service<Request<tonic::body::Body>> for ThroughTheDoor {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let Self {
            router,
            signer,
            mut caller,
        } = self.clone();
        caller.method = request.uri().path().to_owned();
        caller.nonce = Caller::nonce();
        async move {
            let statement = seal(&signer, caller).await.unwrap();
            let statement = URL_SAFE_NO_PAD.encode(statement.bytes());
            let mut request = request.map(Body::new);
            let statement = HeaderValue::from_str(&statement).unwrap();
            request.headers_mut().insert(STATEMENT, statement);
            router.oneshot(request).await
        }
        .boxed()
    }
}
