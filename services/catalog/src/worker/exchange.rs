//! Fetching partners' listings: at once when discovery tells of a head or a connection, and regularly, since
//! gossip may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_bus::{Bus, BusError, CloudEvent, Consumer, Subscription};
use oc_kernel::OrgId;
use oc_service::problem::chain;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::{CatalogError, Own, Partners};
use crate::metrics::CatalogMetrics;
use crate::ports::Federation;
use crate::settings::Settings;

const HEAD: &str = "oc.discovery.head.v1";
const PEER: &str = "oc.discovery.peer.v1";
const NETWORK: &str = "oc.discovery.network.v1";

/// How often discovery is asked for everything, since its events may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Pause before discovery is asked again after it did not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A partner that fails is asked again after this, then twice as long each time.
const BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// A partner that lists more than is read at once is left alone for so long, whatever it announces.
const LET_ALONE: Duration = Duration::from_secs(60);
/// The longest time one partner may take to answer everything.
const PULL_LIMIT: Duration = Duration::from_secs(120);

/// Subscribes to what discovery tells.
pub(crate) async fn discovery_events(bus: &dyn Bus) -> Result<Box<dyn Consumer>, BusError> {
    bus.subscribe(Subscription::ephemeral(&[HEAD, PEER, NETWORK])?)
        .await
}

/// The worker's state.
pub(crate) struct Exchange {
    own: Arc<Own>,
    partners: Arc<Partners>,
    federation: Arc<dyn Federation>,
    bus: Arc<dyn Bus>,
    metrics: CatalogMetrics,
    settings: Settings,
    /// When each partner that can be reached is asked next.
    due: BTreeMap<OrgId, Due>,
    running: JoinSet<(OrgId, Result<(), CatalogError>)>,
    busy: BTreeSet<OrgId>,
    /// Partners that list too much, and until when nothing is read of them.
    let_alone: BTreeMap<OrgId, Instant>,
    look_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    failures: u32,
}

#[derive(Deserialize)]
struct HeadEvent {
    org_id: OrgId,
    head: String,
}

#[derive(Deserialize)]
struct PeerEvent {
    org_id: OrgId,
    state: String,
}

impl Exchange {
    pub(crate) fn new(
        own: Arc<Own>,
        partners: Arc<Partners>,
        federation: Arc<dyn Federation>,
        bus: Arc<dyn Bus>,
        metrics: CatalogMetrics,
        settings: Settings,
    ) -> Self {
        Self {
            own,
            partners,
            federation,
            bus,
            metrics,
            settings,
            due: BTreeMap::new(),
            running: JoinSet::new(),
            busy: BTreeSet::new(),
            let_alone: BTreeMap::new(),
            look_at: Instant::now(),
        }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(
        mut self,
        mut events: Box<dyn Consumer>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            if self.look_at <= Instant::now() {
                self.look().await;
            }
            self.start_pulls();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(self.next_time()) => {}
                Some(done) = self.running.join_next() => self.finish(done?).await,
                event = events.next() => match event {
                    Some(delivery) => {
                        self.hear(&delivery.event).await;
                        delivery.ack().await?;
                    }
                    None => {
                        // The queue was full: events were lost, so everything is asked for.
                        events = discovery_events(&*self.bus).await?;
                        self.look_at = Instant::now();
                    }
                },
            }
        }
    }

    /// Asks discovery for networks and peers.
    async fn look(&mut self) {
        let looked = async {
            let networks = self.federation.networks().await?;
            let peers = self.federation.peers().await?;
            let seen = self.partners.look_around(&peers, &networks).await?;
            if let Err(error) = self.own.set_networks(networks).await {
                tracing::debug!(
                    error = chain(&error),
                    "listings cannot be signed now, trying again"
                );
            }
            Ok::<_, CatalogError>(seen)
        };
        match looked.await {
            Ok(seen) => {
                self.look_at = Instant::now() + LOOK_EVERY;
                self.due.retain(|org, _| seen.connected.contains(org));
                let now = Instant::now();
                for org in seen.connected {
                    self.due.entry(org).or_insert(Due {
                        at: now,
                        failures: 0,
                    });
                }
            }
            Err(error) => {
                tracing::debug!(
                    error = chain(&error),
                    "discovery cannot be asked now, trying again"
                );
                self.look_at = Instant::now() + LOOK_AGAIN;
            }
        }
    }

    /// An event is a hint: what holds is asked for.
    async fn hear(&mut self, event: &CloudEvent) {
        let data = event.data.clone().unwrap_or_default();
        match event.kind.as_str() {
            HEAD => {
                let Ok(HeadEvent { org_id, head }) = serde_json::from_value(data) else {
                    return;
                };
                let Ok(head) = STANDARD.decode(head) else {
                    return;
                };
                if !self.due.contains_key(&org_id) {
                    // Whoever speaks may be reached again, whatever the last look said.
                    self.look_at = self.look_at.min(Instant::now() + LOOK_AGAIN);
                    return;
                }
                match self.partners.note_head(org_id, &head).await {
                    Ok(true) => self.pull_now(org_id),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::debug!(%org_id, error = chain(&error), "a head cannot be checked now");
                        self.pull_now(org_id);
                    }
                }
            }
            PEER => {
                self.look_at = Instant::now();
                if let Ok(PeerEvent { org_id, state }) = serde_json::from_value(data)
                    && state == "connected"
                {
                    self.due.insert(
                        org_id,
                        Due {
                            at: Instant::now(),
                            failures: 0,
                        },
                    );
                }
            }
            _ => self.look_at = Instant::now(),
        }
    }

    /// Only partners that can be reached are asked.
    fn pull_now(&mut self, org: OrgId) {
        if let Some(due) = self.due.get_mut(&org) {
            due.at = Instant::now();
        }
    }

    fn start_pulls(&mut self) {
        let now = Instant::now();
        self.let_alone.retain(|_, until| *until > now);
        let waiting = self.due.iter().filter(|(org, due)| {
            due.at <= now && !self.busy.contains(*org) && !self.let_alone.contains_key(*org)
        });
        let room = self.settings.parallel_pulls.saturating_sub(self.busy.len());
        let ready: Vec<OrgId> = waiting.map(|(org, _)| *org).take(room).collect();
        for org in ready {
            // Whatever is heard of while it runs makes it due again.
            if let Some(due) = self.due.get_mut(&org) {
                due.at = now + PULL_LIMIT;
            }
            self.busy.insert(org);
            let partners = Arc::clone(&self.partners);
            self.running.spawn(async move {
                let pulled = tokio::time::timeout(PULL_LIMIT, partners.pull(org)).await;
                let late = || crate::ports::PortError::nonsense("it took too long to answer");
                (org, pulled.unwrap_or_else(|_| Err(late().into())))
            });
        }
    }

    async fn finish(&mut self, (org, pulled): (OrgId, Result<(), CatalogError>)) {
        self.busy.remove(&org);
        self.metrics.pulled(pulled.is_ok());
        let longest = Duration::from_secs(self.settings.poll_seconds);
        let patience = self.partners.patience(&org, longest).await;
        let now = Instant::now();
        if let Err(CatalogError::TooMuch { .. }) = pulled {
            self.let_alone.insert(org, now + LET_ALONE);
        }
        let Some(due) = self.due.get_mut(&org) else {
            return;
        };
        let wait = match pulled {
            Ok(()) => {
                due.failures = 0;
                patience
            }
            Err(error) => {
                tracing::info!(%org, error = chain(&error), "its listings cannot be fetched now");
                due.failures = due.failures.saturating_add(1);
                let doubled = BACK_OFF.saturating_mul(1 << due.failures.min(6).saturating_sub(1));
                doubled.min(LONGEST_BACK_OFF)
            }
        };
        // Something was heard of it meanwhile: then it is due already.
        if due.at > now {
            due.at = now + wait;
        }
    }

    fn next_time(&self) -> Instant {
        let idle = self.due.iter().filter(|(org, _)| !self.busy.contains(*org));
        let first = idle.map(|(org, due)| {
            self.let_alone
                .get(org)
                .map_or(due.at, |until| due.at.max(*until))
        });
        let first = first.min();
        let full = self.busy.len() >= self.settings.parallel_pulls;
        match first {
            Some(first) if !full => first.min(self.look_at),
            _ => self.look_at,
        }
    }
}
