//! STAC searches through the whole service: answered, or refused as a problem of the asker's, and never a fault of
//! ours.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode, Uri};
use oc_bus::InProcessBus;
use oc_door::Door;
use oc_kernel::SystemClock;
use oc_objects::FolderObjects;
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::{
    GetIdentityRequest, GetIdentityResponse, GetKeySetsRequest, GetKeySetsResponse, SignRequest,
    SignResponse,
};
use oc_sentinel_provider::{NAME, Parts, Settings, build};
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{Node, Switchboard};
use oc_store::SqliteStore;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt as _;

use crate::world::WORLD;

struct Service {
    runtime: Runtime,
    router: Router,
}

static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let router = runtime.block_on(start());
    Service { runtime, router }
});

pub(crate) fn take(data: &[u8]) -> bool {
    let request = match data.strip_prefix(b"?") {
        Some(query) => {
            let Ok(uri) = Uri::try_from([b"/stac/search?", query].concat()) else {
                return false;
            };
            Request::get(uri).body(Body::empty())
        }
        None => Request::post("/stac/search")
            .header("content-type", "application/json")
            .body(Body::from(data.to_vec())),
    };
    let status = SERVICE
        .runtime
        .block_on(answer(&SERVICE.router, request.unwrap()));
    assert!(
        !status.is_server_error(),
        "a search is answered with {status}"
    );
    status == StatusCode::OK
}

async fn answer(router: &Router, mut request: Request<Body>) -> StatusCode {
    let bearer = http::HeaderValue::from_static("Bearer operator");
    request.headers_mut().insert("authorization", bearer);
    router.clone().oneshot(request).await.unwrap().status()
}

/// The service with the sample scenes, each with one file of no bytes to speak of.
async fn start() -> Router {
    let folder = tempfile::tempdir().unwrap().keep();
    let board = Switchboard::new();
    board.register(
        "discovery",
        Routes::new(IdentityServiceServer::new(Discovery)).into_axum_router(),
    );
    let clock = Arc::new(SystemClock);
    let app = build(Parts {
        store: Arc::new(SqliteStore::temporary().await.unwrap()),
        bus: Arc::new(InProcessBus::new()),
        objects: Arc::new(FolderObjects::open(folder).await.unwrap()),
        clock: clock.clone(),
        switchboard: board.clone(),
        door: Door::new(&board, NAME, clock),
        metrics: Metrics::new(),
        settings: Settings::default(),
    });
    let tokens = Arc::new(StaticTokens::of_roles());
    let node = Node::build(vec![app.await.unwrap()], tokens, &Metrics::new()).unwrap();
    let router = node.router();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let collection = std::fs::read_to_string(samples.join("collection.json")).unwrap();
    let request = json!({"collection_json": collection}).to_string();
    send(&router, Request::post("/api/data/v1/datasets"), &request).await;
    for entry in std::fs::read_dir(&samples).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let Ok(text) = std::fs::read(entry.path().join(format!("{name}.json"))) else {
            continue;
        };
        let mut item: Value = serde_json::from_slice(&text).unwrap();
        item["assets"] = json!({"B02": {"href": "./B02.tif", "type": "image/tiff"}});
        let file = Request::put(format!("{DEMO}/files/{name}/B02.tif"));
        send(&router, file, "no picture").await;
        let item = json!({"item_json": item.to_string()}).to_string();
        send(&router, Request::post(format!("{DEMO}/items")), &item).await;
    }
    router
}

/// discovery, as far as it says whose datasets these are.
struct Discovery;

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: tonic::Request<GetIdentityRequest>,
    ) -> Result<tonic::Response<GetIdentityResponse>, Status> {
        Ok(tonic::Response::new(GetIdentityResponse {
            org_id: WORLD.south.id.to_string(),
            ..GetIdentityResponse::default()
        }))
    }

    async fn get_key_sets(
        &self,
        _: tonic::Request<GetKeySetsRequest>,
    ) -> Result<tonic::Response<GetKeySetsResponse>, Status> {
        Err(Status::not_found("nobody was met"))
    }

    async fn sign(
        &self,
        _: tonic::Request<SignRequest>,
    ) -> Result<tonic::Response<SignResponse>, Status> {
        Err(Status::permission_denied("nothing is signed"))
    }
}

const DEMO: &str = "/api/data/v1/datasets/sentinel-2-demo";

async fn send(router: &Router, request: http::request::Builder, body: &str) {
    let request = request.header("content-type", "application/json");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let status = answer(router, request).await;
    assert_eq!(status, StatusCode::CREATED);
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let search = json!({
        "bbox": [1.0, 43.0, 2.0, 44.0], "datetime": "2025-06-01T00:00:00Z/..", "limit": 2,
        "collections": ["sentinel-2-demo"],
        "sortby": [{"field": "properties.datetime", "direction": "desc"}],
        "fields": {"include": ["id", "properties.datetime"], "exclude": ["links"]},
    });
    let area = json!({"intersects": {"type": "Polygon", "coordinates": [[[1, 43], [2, 43], [2, 44], [1, 43]]]}});
    vec![
        ("search", search.to_string().into_bytes()),
        ("area", area.to_string().into_bytes()),
        (
            "query",
            b"?bbox=1,43,2,44&datetime=../2025-07-01T00:00:00Z&sortby=-datetime&fields=id&limit=1"
                .to_vec(),
        ),
    ]
}
