//! Networks: made, joined by an invitation, left, and kept running.

mod addresses;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use oc_federation::bulk::{self, BulkLimits};
use oc_federation::grpc::{self, ServeLimits};
use oc_federation::{
    AddressPart, Invitation, Limits, Multiaddr, Network, NetworkError, NetworkId, NetworkSettings,
    PeerState, SwarmKey,
};
use oc_proto::discovery::v1 as proto;
use oc_store::{Expect, Query};
use tokio::task::JoinSet;

use self::addresses::{candidates, checked_port, invitable, listen_on, parse, port_of, with_port};
use crate::discovery::{Discovery, Running};
use crate::domain::error::DiscoveryError;
use crate::domain::network::{NetworkRecord, check_name};
use crate::door::bulk::BulkDoor;
use crate::door::inbound::InboundDoor;

/// A wrong key shows within the 9 s that a connection may take to be made.
const JOIN: Duration = Duration::from_secs(11);
const REJOIN: Duration = Duration::from_secs(10);

/// What answers the peers of a network. Streams wait until it runs, so that a member that is faster than the rest of
/// a join is answered a moment later and not refused.
struct Doors {
    calls: BoxFuture<'static, ()>,
    bulk: BoxFuture<'static, ()>,
}

impl Discovery {
    /// Makes a network with a fresh key.
    pub(crate) async fn create_network(
        self: &Arc<Self>,
        name: &str,
        port: u32,
    ) -> Result<proto::Network, DiscoveryError> {
        check_name(name)?;
        let port = checked_port(port)?;
        let _changing = self.changing.lock().await;
        let name = name.trim().to_owned();
        if self
            .list_networks()
            .await?
            .iter()
            .any(|known| known.name == name)
        {
            return Err(DiscoveryError::NameTaken(name));
        }
        let mut record = NetworkRecord {
            network_id: NetworkId::generate(),
            name,
            key: SwarmKey::generate().to_file(),
            port: 0,
            created_here: true,
            joined_at_ms: self.clock.now_ms(),
            addresses: Vec::new(),
            leaving: false,
        };
        let (network, doors) = self.start_swarm(&record, port).await?;
        record.port = port_of(&network.listeners().await?).unwrap_or_default();
        self.enter(record, network, doors).await
    }

    /// Joins a network by an invitation; it is joined once a member has introduced itself.
    pub(crate) async fn join_network(
        self: &Arc<Self>,
        invitation: &str,
        port: u32,
    ) -> Result<proto::Network, DiscoveryError> {
        let invitation: Invitation = invitation.parse()?;
        let port = checked_port(port)?;
        let _changing = self.changing.lock().await;
        let id = invitation.network_id;
        if self.networks.get(&id.to_string()).await?.is_some() {
            return Err(DiscoveryError::AlreadyJoined(invitation.name));
        }
        let addresses = invitation.addresses.iter();
        let mut record = NetworkRecord {
            network_id: id,
            name: invitation.name,
            key: invitation.key.to_file(),
            port: 0,
            created_here: false,
            joined_at_ms: self.clock.now_ms(),
            addresses: addresses.map(ToString::to_string).collect(),
            leaving: false,
        };
        let (network, doors) = self.start_swarm(&record, port).await?;
        if let Err(error) = network.join(&invitation.addresses, JOIN).await {
            network.leave().await?;
            return Err(error.into());
        }
        record.port = port_of(&network.listeners().await?).unwrap_or_default();
        self.enter(record, network, doors).await
    }

    async fn enter(
        self: &Arc<Self>,
        record: NetworkRecord,
        network: Network,
        doors: Doors,
    ) -> Result<proto::Network, DiscoveryError> {
        let id = record.network_id;
        let event = record.event("joined");
        let stored = self
            .networks
            .create(&id.to_string(), &record, vec![event])
            .await;
        if let Err(error) = stored {
            network.leave().await?;
            return Err(error.into());
        }
        self.run(&record, network, doors).await?;
        tracing::info!(network = %id, name = record.name, "joined a network");
        self.network_view(&record).await
    }

    /// Leaves a network: closes it, forgets its key, and whoever was met nowhere else. Each step may be
    /// done twice, so that a crash in between is finished by the next start.
    pub(crate) async fn leave_network(&self, id: &str) -> Result<(), DiscoveryError> {
        let _changing = self.changing.lock().await;
        let unknown = || DiscoveryError::UnknownNetwork(id.chars().take(80).collect());
        let network_id: NetworkId = id.parse().map_err(|_| unknown())?;
        if self.networks.get(id).await?.is_none() {
            return Err(unknown());
        }
        self.networks
            .update::<DiscoveryError, _>(id, |record| {
                record.leaving = true;
                Ok(Vec::new())
            })
            .await?;
        self.finish_leaving(network_id).await
    }

    async fn finish_leaving(&self, id: NetworkId) -> Result<(), DiscoveryError> {
        let running = {
            let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
            running.remove(&id)
        };
        if let Some(running) = running {
            running.network.leave().await?;
        }
        self.stopped().remove(&id);
        self.directory.leave(id).await?;
        let key = id.to_string();
        self.heads.delete(&key, Expect::Any, Vec::new()).await?;
        if let Some(record) = self.networks.get(&key).await? {
            let event = record.value.event("left");
            self.networks.delete(&key, Expect::Any, vec![event]).await?;
        }
        tracing::info!(network = %id, "left a network");
        Ok(())
    }

    /// One string by which another organisation can join.
    pub(crate) async fn invite(
        &self,
        id: &str,
        addresses: &[String],
    ) -> Result<String, DiscoveryError> {
        let unknown = || DiscoveryError::UnknownNetwork(id.chars().take(80).collect());
        let record = self.networks.get(id).await?.ok_or_else(unknown)?.value;
        let network =
            self.network(record.network_id)
                .ok_or_else(|| DiscoveryError::NotRunning {
                    network: record.name.clone(),
                    cause: self.why_stopped(record.network_id),
                })?;
        let addresses = if addresses.is_empty() {
            let announced = self.announced(record.port)?;
            let listened = if self.swarm.announce_only {
                Vec::new()
            } else {
                invitable(network.listeners().await?)
            };
            announced.into_iter().chain(listened).collect()
        } else {
            addresses
                .iter()
                .map(|text| parse(text))
                .collect::<Result<Vec<_>, _>>()?
        };
        let me = network.local_peer();
        let named = |address: Multiaddr| match address.iter().last() {
            Some(AddressPart::P2p(_)) => address,
            _ => address.with(AddressPart::P2p(me)),
        };
        let mut addresses: Vec<_> = addresses.into_iter().map(named).collect();
        addresses.truncate(Invitation::MAX_ADDRESSES);
        let invitation = Invitation {
            network_id: record.network_id,
            name: record.name.clone(),
            addresses,
            key: record.swarm_key()?,
        };
        Ok(invitation.to_string())
    }

    /// Every network this node is in, by name.
    pub(crate) async fn list_networks(&self) -> Result<Vec<proto::Network>, DiscoveryError> {
        let mut views = Vec::new();
        for stored in self.networks.all(&Query::all()).await? {
            views.push(self.network_view(&stored.value).await?);
        }
        views.sort_by(|a, b| (&a.name, &a.network_id).cmp(&(&b.name, &b.network_id)));
        Ok(views)
    }

    async fn network_view(&self, record: &NetworkRecord) -> Result<proto::Network, DiscoveryError> {
        let network = self.network(record.network_id);
        let (listen, peers) = match &network {
            Some(network) => (
                network.listeners().await.unwrap_or_default(),
                network.peers(),
            ),
            None => (Vec::new(), Vec::new()),
        };
        let connected = peers.iter().filter(|p| p.state == PeerState::Connected);
        let cause = match &network {
            Some(_) => String::new(),
            None => self.why_stopped(record.network_id),
        };
        Ok(proto::Network {
            network_id: record.network_id.to_string(),
            name: record.name.clone(),
            kind: "private".to_owned(),
            listen: listen.iter().map(ToString::to_string).collect(),
            peers: u32::try_from(connected.count()).unwrap_or(u32::MAX),
            joined_at_ms: record.joined_at_ms,
            created_here: record.created_here,
            cause,
        })
    }

    fn why_stopped(&self, id: NetworkId) -> String {
        let cause = self.stopped().get(&id).cloned();
        cause.unwrap_or_else(|| "it is being started".to_owned())
    }

    /// Finishes what a crash interrupted and starts what should run and does not.
    pub(crate) async fn start_networks(self: &Arc<Self>) -> Result<(), DiscoveryError> {
        let _changing = self.changing.lock().await;
        for stored in self.networks.all(&Query::all()).await? {
            let mut record = stored.value;
            let id = record.network_id;
            if record.leaving {
                self.finish_leaving(id).await?;
                continue;
            }
            if self.network(id).is_some() {
                continue;
            }
            let (network, doors) = match self.start_swarm(&record, None).await {
                Ok(started) => started,
                Err(error) => {
                    tracing::warn!(network = %id, %error, "a network does not start");
                    self.stopped().insert(id, error.to_string());
                    continue;
                }
            };
            let port = port_of(&network.listeners().await?).unwrap_or_default();
            if port != record.port {
                record.port = port;
                let changed = |record: &mut NetworkRecord| {
                    record.port = port;
                    Ok(Vec::new())
                };
                self.networks
                    .update::<DiscoveryError, _>(&id.to_string(), changed)
                    .await?;
            }
            self.run(&record, network, doors).await?;
        }
        Ok(())
    }

    /// Closes every network in an orderly way; they are joined again at the next start.
    pub(crate) async fn stop_networks(&self) {
        let _changing = self.changing.lock().await;
        let running = {
            let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        for (id, running) in running {
            if let Err(error) = running.network.leave().await {
                tracing::warn!(network = %id, %error, "a network did not close in time");
            }
        }
    }

    async fn run(
        self: &Arc<Self>,
        record: &NetworkRecord,
        network: Network,
        doors: Doors,
    ) -> Result<(), DiscoveryError> {
        let id = record.network_id;
        let mut tasks = JoinSet::new();
        tasks.spawn(doors.calls);
        tasks.spawn(doors.bulk);
        tasks.spawn(self.clone().watch_heads(network.clone()).await?);
        tasks.spawn(self.clone().watch_peers(network.clone()));
        tasks.spawn(rejoin(network.clone(), record.known_addresses()));
        for peer in self.directory.blocked_nodes() {
            network.block(peer).await?;
        }
        for partner in self.directory.partners() {
            for node in &partner.record.nodes {
                if partner.record.blocked.is_some() {
                    network.block(node.peer_id).await?;
                } else if node.network_id == id {
                    network
                        .remember(node.peer_id, node.addresses.clone())
                        .await?;
                }
            }
        }
        self.stopped().remove(&id);
        let running = Running {
            network,
            _tasks: tasks,
        };
        let mut all = self.running.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, running);
        Ok(())
    }

    /// Starts to take part, with the doors set: from here on a peer finds the protocols that it asks for.
    async fn start_swarm(
        self: &Arc<Self>,
        record: &NetworkRecord,
        wanted: Option<u16>,
    ) -> Result<(Network, Doors), DiscoveryError> {
        let ports = match wanted {
            Some(port) => vec![port],
            None => candidates(self.swarm.first_port, self.swarm.last_port, record.port),
        };
        for port in ports {
            let settings = NetworkSettings {
                id: record.network_id,
                key: record.swarm_key()?,
                node: self.identity.node.clone(),
                listen: vec![listen_on(self.swarm.host, port)?],
                announce: self.announced(port)?,
                announce_only: self.swarm.announce_only,
                agent: format!("opencloud/{}", env!("CARGO_PKG_VERSION")),
                clock: self.clock.clone(),
                limits: Limits::default(),
            };
            match Network::start(settings).await {
                Err(NetworkError::AddressInUse { .. }) if wanted.is_none() => {}
                started => {
                    let network = started?;
                    let doors = self.set_doors(&network)?;
                    return Ok((network, doors));
                }
            }
        }
        Err(DiscoveryError::NoFreePort {
            first: self.swarm.first_port,
            last: self.swarm.last_port,
        })
    }

    fn set_doors(self: &Arc<Self>, network: &Network) -> Result<Doors, DiscoveryError> {
        let door = InboundDoor::new(self.clone(), network.id(), Instant::now());
        let bulk_door = Arc::new(BulkDoor::new(self.clone()));
        Ok(Doors {
            calls: grpc::serve(network, door, ServeLimits::default())?.boxed(),
            bulk: bulk::serve(network, bulk_door, BulkLimits::default())?.boxed(),
        })
    }

    fn announced(&self, port: u16) -> Result<Vec<Multiaddr>, DiscoveryError> {
        let addresses = self.swarm.announce.iter();
        addresses
            .map(|address| Ok(with_port(parse(address)?, port)))
            .collect()
    }
}

/// While nobody is connected, asks at the addresses of the invitation again.
async fn rejoin(network: Network, addresses: Vec<Multiaddr>) {
    if addresses.is_empty() {
        return;
    }
    let mut pause = tokio::time::interval(REJOIN);
    loop {
        pause.tick().await;
        let alone = network.peers().iter().all(|peer| peer.connections == 0);
        if alone && let Err(error) = network.join(&addresses, REJOIN).await {
            tracing::debug!(network = %network.id(), %error, "no member answers yet");
        }
    }
}
