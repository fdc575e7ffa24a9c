//! North and South with a grant of South's to North, and what is needed to play and look at them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use oc_accounting::domain::{Accounting, Ledger};
use oc_accounting::{Parts, Settings, SqliteLedger};
use oc_bus::{Bus, CloudEvent, InProcessBus};
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::{AttemptId, Clock as _, FragmentId, GrantId, Money, RunId, SystemClock};
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{App, Listeners, Node, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store, snapshot};
use oc_trust::BooksKey;
use oc_trust::event::{AttemptEvent, AttemptState, Event as _, GrantEvent, UsageEvent};
use oc_trust::{
    Currency, Grant, GrantedListing, Limits, ListingKind, Outcome, Price, Pseudonyms, UsageRecord,
    countersign, seal,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::discovery::Discovery;

pub(crate) const NETWORK: &str = "0123456789abcdef0123456789abcdef";

/// Books are settled when somebody asks.
const ASKED: u64 = 0;

/// One organisation's accounting, served as it is in a process.
pub(crate) struct Org {
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) ledger: Arc<dyn Ledger>,
    store: Arc<dyn Store>,
    pub(crate) router: Router,
    bus: Arc<dyn Bus>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Drop for Org {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The parts of a service of `discovery`'s organisation.
pub(crate) async fn parts(
    discovery: &Arc<Discovery>,
    folder: &tempfile::TempDir,
    settle_seconds: u64,
) -> Parts {
    let board = Switchboard::new();
    board.register("discovery", discovery.clone().router());
    let clock = Arc::new(SystemClock);
    let ledger = SqliteLedger::open(folder.path().join("usage.db")).await;
    let options = SqliteOptions {
        durable: false,
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open(folder.path().join("store.db"), options).await;
    Parts {
        store: Arc::new(store.unwrap()),
        ledger: Arc::new(ledger.unwrap()),
        bus: Arc::new(InProcessBus::new()),
        clock: clock.clone(),
        door: Door::new(&board, oc_accounting::NAME, clock),
        metrics: Metrics::new(),
        settings: Settings {
            settle_seconds,
            look_seconds: settle_seconds.max(1),
            ..Settings::default()
        },
    }
}

pub(crate) async fn app() -> (App, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(&Discovery::found(), &folder, ASKED).await;
    (oc_accounting::build(parts).await.unwrap(), folder)
}

impl Org {
    async fn start(settle_seconds: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::on(Discovery::found(), folder, settle_seconds, 0).await
    }

    /// The organisation on the files in `folder`.
    async fn on(
        discovery: Arc<Discovery>,
        folder: tempfile::TempDir,
        settle_seconds: u64,
        epoch: u64,
    ) -> Self {
        let mut parts = parts(&discovery, &folder, settle_seconds).await;
        parts.settings.epoch = epoch;
        let (ledger, store, bus) = (parts.ledger.clone(), parts.store.clone(), parts.bus.clone());
        let door = parts.door.clone();
        let app = oc_accounting::build(parts).await.unwrap();
        let tokens = Arc::new(StaticTokens::of_roles());
        let authenticator = Arc::new(DoorAuthenticator::new(door, tokens));
        let node = Node::build(vec![app], authenticator, &Metrics::new()).unwrap();
        let router = node.router();
        let stop = CancellationToken::new();
        let listeners = Listeners::local().await.unwrap();
        tokio::spawn({
            let stop = stop.clone();
            async move { node.serve(listeners, stop, &StopSettings::default()).await }
        });
        Self {
            discovery,
            ledger,
            store,
            router,
            bus,
            stop,
            folder,
        }
    }

    /// Its files as they are now.
    pub(crate) fn back_up(&self) -> tempfile::TempDir {
        let backup = tempfile::tempdir().unwrap();
        let files = ["store.db", "usage.db"];
        snapshot(&files.map(|file| (self.folder.path().join(file), backup.path().join(file))))
            .unwrap();
        backup
    }

    /// Its books without its edge.
    pub(crate) fn accounting(&self) -> Accounting {
        let board = Switchboard::new();
        board.register("discovery", self.discovery.clone().router());
        let clock = Arc::new(SystemClock);
        let door = Door::new(&board, oc_accounting::NAME, clock.clone());
        let discovery = Arc::new(oc_accounting::Discovery::new(door));
        Accounting::new(
            self.store.clone(),
            self.ledger.clone(),
            discovery.clone(),
            discovery,
            clock,
            Currency::EUR,
        )
    }

    pub(crate) async fn publish(&self, kind: &str, subject: &str, data: Value) {
        let id = RunId::new().to_string();
        let event = CloudEvent::new(id, "/test", kind)
            .with_subject(subject)
            .with_data(data);
        let receipt = self.bus.publish(event).await.unwrap();
        let safe = tokio::time::timeout(Duration::from_secs(10), receipt.safe());
        safe.await.expect("the event is taken").unwrap();
    }

    /// A REST call with a role's token; the body of the answer as it came.
    pub(crate) async fn raw(
        &self,
        role: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Vec<u8>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/accounting/v1{path}"))
            .header("authorization", format!("Bearer {role}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, bytes.to_vec())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.raw("operator", Method::GET, path, Value::Null).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn export(&self, query: &str) -> Vec<u8> {
        let path = format!("/exports?{query}");
        let (status, body) = self.raw("operator", Method::GET, &path, Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        body
    }

    pub(crate) async fn settle(&self, grant: GrantId) -> (StatusCode, Value) {
        let path = format!("/books/{grant}/settle");
        let (status, body) = self.raw("operator", Method::POST, &path, Value::Null).await;
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Two organisations that know each other, and a grant.
pub(crate) struct World {
    pub(crate) north: Org,
    pub(crate) south: Org,
    pub(crate) grant: Grant,
}

/// What is played of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) run: RunId,
    pub(crate) fragment: FragmentId,
    pub(crate) attempt: AttemptId,
    pub(crate) submitted_ms: u64,
    pub(crate) wall_ms: u64,
}

impl Attempt {
    pub(crate) fn new() -> Self {
        Self {
            run: RunId::new(),
            fragment: FragmentId::new(),
            attempt: AttemptId::new(),
            submitted_ms: SystemClock.now_ms() - 10_000,
            wall_ms: 4_000,
        }
    }

    /// The event of South's compute-provider.
    pub(crate) fn usage(&self, grant: &str) -> Value {
        let event = UsageEvent {
            grant_id: grant.parse().unwrap(),
            run_id: self.run,
            fragment_id: self.fragment,
            attempt_id: self.attempt,
            pseudonym: "p-4711".parse().unwrap(),
            workflow: "ndvi".to_owned(),
            started_ms: self.submitted_ms + 100,
            ended_ms: self.submitted_ms + 100 + self.wall_ms,
            wall_ms: self.wall_ms,
            cpu_ms: self.wall_ms,
            peak_memory_bytes: 1 << 20,
            bytes_in: 2000,
            bytes_out: 1000,
            storage_byte_seconds: 0,
            cores: 2,
            outcome: Outcome::Succeeded,
        };
        event.data()
    }

    /// The events of North's pipeline-orchestrator.
    pub(crate) fn seen(&self, grant: GrantId, state: AttemptState) -> Value {
        let ended = state == AttemptState::Ended;
        let after = if ended { 200 + self.wall_ms } else { 0 };
        let event = AttemptEvent {
            grant_id: BooksKey::Grant(grant),
            run_id: self.run,
            fragment_id: self.fragment,
            attempt_id: self.attempt,
            user: Some("user".to_owned()),
            pseudonym: Some("p-4711".parse().unwrap()),
            state,
            at_ms: self.submitted_ms + after,
            outcome: ended.then_some(Outcome::Succeeded),
            bytes_out: None,
        };
        event.data()
    }

    /// The record that South's log gets of it, apart from its place.
    pub(crate) fn record(&self, grant: &Grant) -> UsageRecord {
        let mut record = UsageRecord {
            version: UsageRecord::VERSION,
            id: oc_trust::record_id(&self.attempt, 0).unwrap(),
            seq: 0,
            grant: Some(grant.id),
            provider: grant.provider,
            consumer: grant.consumer,
            run: self.run,
            fragment: self.fragment,
            attempt: self.attempt,
            pseudonym: "p-4711".parse().unwrap(),
            workflow: "ndvi".into(),
            started_ms: self.submitted_ms + 100,
            ended_ms: self.submitted_ms + 100 + self.wall_ms,
            wall_ms: self.wall_ms,
            cpu_ms: self.wall_ms,
            peak_memory_bytes: 1 << 20,
            bytes_in: 2000,
            bytes_out: 1000,
            storage_byte_seconds: 0,
            cores: 2,
            outcome: Outcome::Succeeded,
            charge: Money::ZERO,
            corrects: None,
        };
        record.charge = record.charge_at(&grant.price);
        record
    }
}

impl World {
    /// A world in which books are settled when somebody asks.
    pub(crate) async fn start() -> Self {
        Self::settling_every(ASKED).await
    }

    pub(crate) async fn settling_every(seconds: u64) -> Self {
        let (north, south) = (Org::start(seconds).await, Org::start(seconds).await);
        north
            .discovery
            .meet(south.discovery.clone(), south.router.clone());
        south
            .discovery
            .meet(north.discovery.clone(), north.router.clone());
        let grant = grant(&north.discovery, &south.discovery);
        let half = seal(&south.discovery.node.signer(), grant.clone()).await;
        let sealed = countersign(&north.discovery.node.signer(), half.unwrap())
            .await
            .unwrap();
        let event = GrantEvent {
            grant_id: grant.id,
            state: "active".to_owned(),
            generation: 1,
            envelope: STANDARD.encode(sealed.bytes()),
            provider: grant.provider,
            consumer: grant.consumer,
            network_id: grant.network.clone(),
            swept: false,
        };
        for org in [&north, &south] {
            org.publish(GrantEvent::TYPE, &event.subject(), event.data())
                .await;
        }
        Self {
            north,
            south,
            grant,
        }
    }

    /// South goes on with the files of a backup.
    pub(crate) async fn restore_south(&mut self, backup: tempfile::TempDir, epoch: u64) {
        self.south = Org::on(self.south.discovery.clone(), backup, ASKED, epoch).await;
        let (south, router) = (self.south.discovery.clone(), self.south.router.clone());
        self.north.discovery.meet(south, router);
    }

    /// North goes on with the files of a backup.
    pub(crate) async fn restore_north(&mut self, backup: tempfile::TempDir, epoch: u64) {
        self.north = Org::on(self.north.discovery.clone(), backup, ASKED, epoch).await;
        let (north, router) = (self.north.discovery.clone(), self.north.router.clone());
        self.south.discovery.meet(north, router);
    }

    /// North submits, South runs and reports, North sees the end.
    pub(crate) async fn run(&self, attempt: &Attempt) {
        self.observe(attempt).await;
        self.report(attempt.usage(&self.grant.id.to_string())).await;
    }

    pub(crate) async fn report(&self, usage: Value) {
        let subject = self.grant.id.to_string();
        self.south.publish(UsageEvent::TYPE, &subject, usage).await;
    }

    pub(crate) async fn observe(&self, attempt: &Attempt) {
        let subject = self.grant.id.to_string();
        for state in [AttemptState::Submitted, AttemptState::Ended] {
            let seen = attempt.seen(self.grant.id, state);
            self.north.publish(AttemptEvent::TYPE, &subject, seen).await;
        }
    }

    /// South's books without its edge, to be called as anybody.
    pub(crate) fn accounting_of_south(&self) -> Accounting {
        self.south.accounting()
    }

    pub(crate) fn key(&self) -> BooksKey {
        BooksKey::Grant(self.grant.id)
    }

    pub(crate) async fn books(&self, org: &Org) -> Value {
        org.get(&format!("/books/{}", self.grant.id)).await
    }

    /// The JSON export of the grant at both sides, which must be the same bytes.
    pub(crate) async fn agreed_export(&self) -> Value {
        let query = format!("grant_id={}", self.grant.id);
        let (north, south) = (
            self.north.export(&query).await,
            self.south.export(&query).await,
        );
        assert_eq!(
            String::from_utf8_lossy(&north),
            String::from_utf8_lossy(&south)
        );
        serde_json::from_slice(&north).unwrap()
    }
}

fn grant(north: &Discovery, south: &Discovery) -> Grant {
    let now = SystemClock.now_ms();
    Grant {
        id: GrantId::new(),
        network: NETWORK.parse().unwrap(),
        provider: south.org,
        consumer: north.org,
        listings: vec![GrantedListing {
            id: "compute.default".parse().unwrap(),
            kind: ListingKind::Compute,
            limits: None,
        }],
        limits: Limits {
            cores: 4,
            memory_bytes: 8 << 30,
            fragments: 4,
            core_seconds: 36_000,
            egress_bytes: 10 << 30,
            storage_bytes: 0,
            run_wall_seconds: 3600,
        },
        price: Price {
            currency: Currency::EUR,
            core_hour: Money(250_000),
            egress_gib: Money(10_000),
            storage_gib_month: Money(0),
        },
        not_before: now - 3_600_000,
        not_after: now + 3_600_000,
        generation: 1,
        tools: None,
        pseudonyms: Pseudonyms::PerGrant,
    }
}

/// Waits until `holds`, for ten seconds at most.
pub(crate) async fn until<F, T>(what: &str, mut holds: F)
where
    F: FnMut() -> T,
    T: Future<Output = bool>,
{
    let begin = Instant::now();
    while !holds().await {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
