//! Calls from one organisation to another: a unary gRPC call over real libp2p on loopback, through the door of the
//! one that calls and the door of the one that answers. Both are in this process, each with discovery and the
//! catalogue, on stores of their own.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{Method, Request};
use oc_bus::{Bus, InProcessBus};
use oc_discovery::SwarmSettings;
use oc_door::{Door, DoorAuthenticator, PartnerChannel, Purpose};
use oc_kernel::{Clock, OrgId, SystemClock};
use oc_proto::federation::v1::GetHeadRequest;
use oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient;
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{Listeners, Node, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store};
use oc_testkit::until;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::figures::{Bar, Row, Times, timed_async};

const LONG: Duration = Duration::from_secs(6);
const IN_FLIGHT: usize = 64;
const MEET_LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let (north, south) = (Org::start("North").await?, Org::start("South").await?);
    north.meet(&south).await?;
    let channel = south.door.partner(north.id, Purpose::Catalogue).await?;
    ask(&channel).await?;
    let alone = timed_async(3_000, async || {
        let _ = ask(&channel).await;
    })
    .await;
    let (rate, loaded) = flood(&channel).await?;
    Ok(vec![
        Row::new(
            "one call between organisations, p50",
            alone.median_ms(),
            "ms",
            format!(
                "GetHead of the catalogue, 3,000 one after the other; p99 {:.2} ms; both nodes in one process",
                alone.quantile_ms(0.99)
            ),
        )
        .bar(Bar::AtMost(0.6)),
        Row::new(
            format!("calls between organisations, {IN_FLIGHT} in flight"),
            rate,
            "/s",
            format!("for {} s; p99 {:.1} ms", LONG.as_secs(), loaded.quantile_ms(0.99)),
        )
        .bar(Bar::AtLeast(10_000.0)),
    ])
}

async fn ask(channel: &PartnerChannel) -> anyhow::Result<()> {
    let mut client = CatalogueServiceClient::new(channel.clone());
    client.get_head(GetHeadRequest {}).await?;
    Ok(())
}

async fn flood(channel: &PartnerChannel) -> anyhow::Result<(f64, Times)> {
    let start = Instant::now();
    let callers = (0..IN_FLIGHT).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < LONG {
                let begun = Instant::now();
                ask(&channel).await?;
                times.push(begun.elapsed());
            }
            anyhow::Ok(times)
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await??);
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    Ok((rate, Times::of(times)))
}

struct Org {
    id: OrgId,
    door: Door,
    router: Router,
    board: Switchboard,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Org {
    fn drop(&mut self) {
        self.stop.cancel();
        self.board.clear();
    }
}

impl Org {
    async fn start(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let board = Switchboard::new();
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Metrics::new();
        let store = async |name: &str| {
            let file = folder.path().join(format!("{name}.db"));
            let store = SqliteStore::open(file, SqliteOptions::default()).await?;
            anyhow::Ok(Arc::new(store) as Arc<dyn Store>)
        };
        let discovery = oc_discovery::build(oc_discovery::Parts {
            store: store("discovery").await?,
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            switchboard: board.clone(),
            metrics: metrics.clone(),
            settings: oc_discovery::Settings {
                name: Some(name.parse()?),
                keys: folder.path().join("keys"),
                root_key: None,
                swarm: SwarmSettings {
                    host: Ipv4Addr::LOCALHOST.into(),
                    first_port: 0,
                    last_port: 0,
                    announce: Vec::new(),
                    announce_only: false,
                },
            },
        });
        let door = Door::new(&board, oc_catalog::NAME, Arc::clone(&clock));
        let catalog = oc_catalog::build(oc_catalog::Parts {
            store: store("catalog").await?,
            bus,
            clock,
            switchboard: board.clone(),
            door: door.clone(),
            metrics: metrics.clone(),
            settings: oc_catalog::Settings::default(),
        });
        let apps = vec![discovery.await?, catalog.await?];
        let tokens = Arc::new(StaticTokens::of_roles());
        let authenticator = Arc::new(DoorAuthenticator::new(door.clone(), tokens));
        let node = Node::build(apps, authenticator, &metrics)?;
        let router = node.router();
        for name in [oc_discovery::NAME, oc_catalog::NAME] {
            board.register(name, router.clone());
        }
        let stop = CancellationToken::new();
        let listeners = Listeners::local().await?;
        let stopped = stop.clone();
        tokio::spawn(async move {
            node.serve(listeners, stopped, &StopSettings::default())
                .await
        });
        Ok(Self {
            id: door.identity().await?.org,
            door,
            router,
            board,
            stop,
            _folder: folder,
        })
    }

    /// Makes a network, lets the other one join it, and waits until both see each other.
    async fn meet(&self, other: &Self) -> anyhow::Result<()> {
        let made = self.post("networks", &json!({"name": "East"})).await?;
        let network = made["network"]["network_id"].as_str();
        let path = format!("networks/{}/invitations", network.context("no network")?);
        let invited = self.post(&path, &json!({})).await?;
        let join = json!({"invitation": invited["invitation"]});
        other.post("networks/join", &join).await?;
        for (org, partner) in [(self, other.id), (other, self.id)] {
            let path = format!("peers/{partner}");
            until("both see each other", MEET_LIMIT, async || {
                let seen = org.rest(Method::GET, &path, &Value::Null).await.ok()?;
                (seen["peer"]["state"] == "connected").then_some(())
            })
            .await;
        }
        Ok(())
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.rest(Method::POST, path, body).await
    }

    async fn rest(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        use tower::ServiceExt as _;
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/discovery/v1/{path}"))
            .header("authorization", "Bearer admin")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))?;
        let Ok(answer) = self.router.clone().oneshot(request).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}
