//! A running compute provider and what is asked of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use oc_bus::{Bus, InProcessBus, Subscription};
use oc_compute_provider::{NAME, Parts, Settings, build_over};
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::OrgId;
use oc_objects::FolderObjects;
use oc_service::access::{AnyOf, Authenticator, Principal, Role, StaticTokens, User};
use oc_service::telemetry::Metrics;
use oc_service::{Listeners, Node, ServeError, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::accounting::{self, Accounting};
use crate::catalogue::{self, Catalogue};
use crate::discovery::{self, Discovery};
use crate::stage::Stage;
use crate::world::{LIMIT, World, eventually};

/// An organisation with a running compute provider.
pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) world: World,
    pub(crate) stage: Stage,
    pub(crate) catalogue: Catalogue,
    pub(crate) accounting: Accounting,
    pub(crate) switchboard: Switchboard,
    pub(crate) router: axum::Router,
    pub(crate) folder: Arc<tempfile::TempDir>,
    settings: Settings,
    told: Arc<Mutex<Vec<(String, Value)>>>,
    stop: CancellationToken,
    ended: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Org {
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_with(world, Stage::new(world), Settings::default()).await
    }

    pub(crate) async fn start_with(world: &World, stage: Stage, settings: Settings) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::run(world, world.found(), folder, stage, settings).await
    }

    async fn run(
        world: &World,
        id: OrgId,
        folder: Arc<tempfile::TempDir>,
        stage: Stage,
        settings: Settings,
    ) -> Self {
        let path = folder.path().join("compute.db");
        let store = SqliteStore::open(path, SqliteOptions::default())
            .await
            .unwrap();
        let objects = FolderObjects::open(folder.path().join("objects"))
            .await
            .unwrap();
        let bus = Arc::new(InProcessBus::new());
        let told: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let mut consumer = bus
            .subscribe(Subscription::durable("test", &["oc.compute.>"]).unwrap())
            .await
            .unwrap();
        let heard = told.clone();
        tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                let data = delivery.event.data.clone().unwrap_or_default();
                heard
                    .lock()
                    .unwrap()
                    .push((delivery.event.kind.clone(), data));
                delivery.ack().await.unwrap();
            }
        });
        let switchboard = Switchboard::new();
        let door = Door::new(&switchboard, NAME, world.clock.clone());
        let metrics = Metrics::new();
        let parts = Parts {
            store: Arc::new(store),
            bus: bus.clone(),
            objects: Arc::new(objects),
            work: folder.path().join("work"),
            address: String::new(),
            clock: world.clock.clone(),
            switchboard: switchboard.clone(),
            door: door.clone(),
            metrics: metrics.clone(),
            settings: settings.clone(),
        };
        let app = build_over(parts, Arc::new(stage.clone())).await.unwrap();
        let catalogue = Catalogue::default();
        let accounting = Accounting::default();
        let discovery = discovery::app(Discovery {
            world: world.clone(),
            org: id,
        });
        let apps = vec![
            app,
            discovery,
            catalogue::app(catalogue.clone()),
            accounting::app(accounting.clone()),
        ];
        let people = ["alice", "bob"].map(|name| (name.to_owned(), person(name)));
        let both = [StaticTokens::of_roles(), StaticTokens::new(people)];
        let both = both.map(|tokens| -> Arc<dyn Authenticator> { Arc::new(tokens) });
        let tokens = Arc::new(AnyOf::new(both));
        let authenticator = Arc::new(DoorAuthenticator::new(door, tokens));
        let node = Node::build(apps, authenticator, &metrics).unwrap();
        let router = node.router();
        for name in [NAME, "discovery", "catalog", "accounting"] {
            switchboard.register(name, router.clone());
        }
        world.change(&id, |member| {
            member.node = Some((router.clone(), switchboard.clone(), bus));
        });
        let stop = CancellationToken::new();
        let (told_to_stop, listeners) = (stop.clone(), Listeners::local().await.unwrap());
        let ended = tokio::spawn(async move {
            let settings = StopSettings {
                lame_duck_seconds: 0,
                grace_seconds: 5,
            };
            node.serve(listeners, told_to_stop, &settings).await
        });
        Self {
            id,
            world: world.clone(),
            stage,
            catalogue,
            accounting,
            switchboard,
            router,
            folder,
            settings,
            told,
            stop,
            ended: Some(ended),
        }
    }

    /// Stops the node and starts it again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(async |_| {}).await
    }

    /// The same, with something done to the folder in between.
    pub(crate) async fn restart_after(self, change: impl AsyncFnOnce(&std::path::Path)) -> Self {
        let (world, id, folder) = (self.world.clone(), self.id, self.folder.clone());
        let (stage, settings) = (Stage::new(&world), self.settings.clone());
        self.end().await;
        change(folder.path()).await;
        Self::run(&world, id, folder, stage, settings).await
    }

    /// Stops the node without its having a chance to tidy up, and starts it again.
    pub(crate) async fn crash(self) -> Self {
        let (world, id) = (self.world.clone(), self.id);
        let settings = self.settings.clone();
        // The store as it is on disk at this moment: what a killed process leaves.
        let copy = Arc::new(tempfile::tempdir().unwrap());
        copy_folder(self.folder.path(), copy.path());
        self.end().await;
        let stage = Stage::new(&world);
        Self::run(&world, id, copy, stage, settings).await
    }

    pub(crate) async fn end(mut self) {
        self.world.change(&self.id, |member| member.node = None);
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.ended.take().unwrap())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        self.switchboard.clear();
    }

    /// The data of all events of a kind that were told.
    pub(crate) fn told(&self, kind: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter(|(it, _)| it == kind)
            .map(|(_, data)| data.clone())
            .collect()
    }

    /// A REST call with the token of a role.
    pub(crate) async fn rest_as(
        &self,
        role: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/compute/v1/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {role}"));
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        let (status, bytes) = self.send(request.body(body).unwrap()).await;
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(crate) async fn rest(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        self.rest_as("operator", method, path, body).await
    }

    /// A REST call that goes well.
    pub(crate) async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.rest(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// A REST call that is refused; the status and what it says.
    pub(crate) async fn refused(&self, method: Method, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.rest(method, path, body).await;
        assert!(!status.is_success(), "{path}: {answer}");
        (
            status.as_u16(),
            answer["detail"].as_str().unwrap_or_default().to_owned(),
        )
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, bytes.to_vec())
    }

    /// Offers two cores for two fragments at a time.
    pub(crate) async fn offer_machines(&self) {
        self.offer(json!({
            "name": "default", "kind": "compute", "title": "Two cores",
            "capacity": {"cores": 2, "memory_bytes": 1 << 30, "concurrent_fragments": 2, "wall_seconds": 600},
            "price": {"currency": "EUR", "core_hour_micros": 360_000},
        }))
        .await;
    }

    /// Offers room for a mebibyte.
    pub(crate) async fn offer_room(&self) {
        let offer = json!({
            "name": "results", "kind": "storage", "title": "A shelf",
            "capacity": {"storage_bytes": 1 << 20},
        });
        self.offer(offer).await;
    }

    pub(crate) async fn offer(&self, offer: Value) {
        self.ok(Method::POST, "offers", json!({ "offer": offer }))
            .await;
    }

    /// Approves every request up to the limits of [`limits`].
    pub(crate) async fn approve_all(&self) {
        let rule = json!({"name": "all", "limits": limits(), "max_life_seconds": 86_400});
        self.ok(Method::PUT, "rules/all", json!({ "rule": rule }))
            .await;
    }

    /// A grant of `provider` that is in force.
    pub(crate) async fn granted_by(&self, provider: &Org, listings: &[&str]) -> Value {
        let asked = self.ask(provider, listings, "op-1").await;
        let id = asked["grant"]["grant_id"].as_str().unwrap().to_owned();
        eventually(async || provider.grant(&id).await["state"] == "active").await;
        self.grant(&id).await
    }

    /// Asks for a grant with the limits of [`limits`] for an hour.
    pub(crate) async fn ask(&self, provider: &Org, listings: &[&str], operation: &str) -> Value {
        self.ok(
            Method::POST,
            "grants",
            self.wish(provider, listings, operation),
        )
        .await
    }

    pub(crate) fn wish(&self, provider: &Org, listings: &[&str], operation: &str) -> Value {
        json!({
            "provider": provider.id.to_string(),
            "listing_ids": listings,
            "limits": limits(),
            "not_after_ms": self.world.now_ms() + 3_600_000,
            "message": "for the demo",
            "operation_id": operation,
        })
    }

    pub(crate) async fn grant(&self, id: &str) -> Value {
        self.ok(Method::GET, &format!("grants/{id}"), Value::Null)
            .await["grant"]
            .take()
    }

    /// What of an offer is held or in use.
    pub(crate) async fn used(&self, name: &str) -> Value {
        let offers = self.ok(Method::GET, "offers", Value::Null).await;
        let offers = offers["offers"].as_array().unwrap();
        offers.iter().find(|offer| offer["name"] == name).unwrap()["used"].clone()
    }
}

impl Drop for Org {
    fn drop(&mut self) {
        self.stop.cancel();
        self.switchboard.clear();
    }
}

/// A user whose id and token are their name.
fn person(name: &str) -> Principal {
    Principal::User(User {
        id: name.to_owned(),
        name: name.to_owned(),
        roles: BTreeSet::from([Role::User]),
    })
}

pub(crate) fn limits() -> Value {
    json!({
        "cores": 2, "memory_bytes": 1 << 30, "concurrent_fragments": 2, "wall_seconds": 600,
        "core_seconds": 10_000, "egress_bytes": 100_000, "storage_bytes": 100_000,
    })
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
