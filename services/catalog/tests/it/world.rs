//! Organisations on one network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use jiff::Timestamp;
use oc_bus::{Bus, CloudEvent, InProcessBus};
use oc_catalog::{Parts, Settings, build};
use oc_door::{Door, DoorAuthenticator, PARTNER, PURPOSE, STATEMENT};
use oc_kernel::{Clock, FixedClock, OrgId};
use oc_proto::catalog::v1 as pb;
use oc_proto::catalog::v1::listing_service_client::ListingServiceClient;
use oc_proto::catalog::v1::search_service_client::SearchServiceClient;
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::network_service_server::{NetworkService, NetworkServiceServer};
use oc_proto::discovery::v1::peer_service_server::{PeerService, PeerServiceServer};
use oc_proto::discovery::v1::*;
use oc_service::access::{Access, Role, StaticTokens};
use oc_service::telemetry::Metrics;
use oc_service::{App, Channel, Listeners, Node, ServeError, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store};
use oc_trust::{Caller, LocalSigner, OrgKeys, Signer as _, seal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request as Rpc, Response as Answer, Status};
use tower::ServiceExt as _;

pub(crate) const NETWORK: &str = "net-a";
const LIMIT: Duration = Duration::from_secs(10);

/// Every organisation, and what lies between them.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    orgs: Arc<Mutex<BTreeMap<OrgId, Member>>>,
}

/// What the others see of an organisation.
#[derive(Clone)]
struct Member {
    name: String,
    signer: LocalSigner,
    key_sets: Vec<Vec<u8>>,
    networks: BTreeSet<String>,
    blocked: BTreeSet<OrgId>,
    cut: bool,
    silent: bool,
    router: Option<axum::Router>,
    bus: Option<Arc<InProcessBus>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let begin: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        Self {
            clock: Arc::new(FixedClock::new(begin)),
            orgs: Arc::default(),
        }
    }

    /// A new organisation, a member of the network that nobody reaches yet.
    pub(crate) fn found(&self, name: &str) -> (OrgId, LocalSigner) {
        let keys = OrgKeys::generate();
        let first = keys.found().unwrap();
        let org = OrgId::from_digest(*first.digest().as_bytes());
        let member = Member {
            name: name.to_owned(),
            signer: keys.node.signer(),
            key_sets: vec![first.bytes().to_vec()],
            networks: BTreeSet::from([NETWORK.to_owned()]),
            blocked: BTreeSet::new(),
            cut: false,
            silent: false,
            router: None,
            bus: None,
        };
        self.orgs.lock().unwrap().insert(org, member);
        (org, keys.node.signer())
    }

    /// Lets an app answer the calls to `org`.
    pub(crate) fn answer(&self, org: OrgId, router: axum::Router) {
        self.orgs.lock().unwrap().get_mut(&org).unwrap().router = Some(router);
    }

    fn member(&self, org: &OrgId) -> Member {
        self.orgs.lock().unwrap()[org].clone()
    }

    fn change(&self, org: &OrgId, change: impl FnOnce(&mut Member)) {
        change(self.orgs.lock().unwrap().get_mut(org).unwrap());
    }

    /// Cuts an organisation off from all others, or connects it again.
    pub(crate) async fn set_cut(&self, org: OrgId, cut: bool) {
        self.change(&org, |member| member.cut = cut);
        self.tell_peers(org, if cut { "lost" } else { "connected" })
            .await;
    }

    /// discovery of `org` refuses to sign, or signs again.
    pub(crate) fn set_silent(&self, org: OrgId, silent: bool) {
        self.change(&org, |member| member.silent = silent);
    }

    pub(crate) async fn block(&self, who: OrgId, blocked: OrgId) {
        self.change(&who, |member| {
            member.blocked.insert(blocked);
        });
        let bus = self.member(&who).bus.unwrap();
        let data = serde_json::json!({"org_id": blocked, "peer_id": "", "network_id": "", "state": "blocked", "name": ""});
        bus.publish(event("oc.discovery.peer.v1", data))
            .await
            .unwrap();
    }

    pub(crate) async fn leave(&self, who: OrgId) {
        self.change(&who, |member| member.networks.clear());
        let bus = self.member(&who).bus.unwrap();
        let data = serde_json::json!({"network_id": NETWORK, "state": "left"});
        bus.publish(event("oc.discovery.network.v1", data))
            .await
            .unwrap();
    }

    async fn tell_peers(&self, org: OrgId, state: &str) {
        let buses: Vec<_> = {
            let orgs = self.orgs.lock().unwrap();
            orgs.iter()
                .filter(|(id, _)| **id != org)
                .filter_map(|(_, m)| m.bus.clone())
                .collect()
        };
        for bus in buses {
            let data = serde_json::json!({"org_id": org, "peer_id": "p", "network_id": NETWORK, "state": state, "name": ""});
            bus.publish(event("oc.discovery.peer.v1", data))
                .await
                .unwrap();
        }
    }

    /// Gossips a head of `org` to everyone.
    pub(crate) async fn gossip(&self, org: OrgId, head: &[u8]) {
        if self.member(&org).cut {
            return;
        }
        let buses: Vec<_> = {
            let orgs = self.orgs.lock().unwrap();
            let others = orgs
                .iter()
                .filter(|(id, member)| **id != org && !member.cut);
            others
                .filter_map(|(_, member)| member.bus.clone())
                .collect()
        };
        for bus in buses {
            let data = serde_json::json!({"org_id": org, "network_id": NETWORK, "head": STANDARD.encode(head)});
            bus.publish(event("oc.discovery.head.v1", data))
                .await
                .unwrap();
        }
    }

    /// Carries a call to another organisation, with the statement its discovery makes about the caller.
    async fn carry(&self, from: OrgId, to: OrgId, path: String, request: Request) -> Response {
        let (caller, target) = (self.member(&from), self.member(&to));
        let shared = caller
            .networks
            .intersection(&target.networks)
            .next()
            .cloned();
        let (Some(network), Some(router), false) =
            (shared, target.router, caller.cut || target.cut)
        else {
            return Status::unavailable("cut off").into_http::<Body>();
        };
        let now_ms = self.clock.now_ms();
        let statement = Caller {
            org: from,
            peer: OrgKeys::generate().node.peer_id(),
            network: network.parse().unwrap(),
            method: path.clone(),
            nonce: Caller::nonce(),
            not_before: now_ms,
            not_after: now_ms + 30_000,
        };
        let sealed = seal(&target.signer, statement).await.unwrap();
        let (mut parts, body) = request.into_parts();
        parts.uri = path.parse().unwrap();
        parts.extensions.clear();
        parts.headers.insert(
            STATEMENT,
            URL_SAFE_NO_PAD.encode(sealed.bytes()).parse().unwrap(),
        );
        router
            .oneshot(Request::from_parts(parts, body))
            .await
            .unwrap()
    }
}

fn event(kind: &str, data: serde_json::Value) -> CloudEvent {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let id = NUMBER
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        .to_string();
    CloudEvent::new(id, "/discovery", kind).with_data(data)
}

/// Plays discovery for one organisation.
#[derive(Clone)]
struct Discovery {
    world: World,
    org: OrgId,
}

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: Rpc<GetIdentityRequest>,
    ) -> Result<Answer<GetIdentityResponse>, Status> {
        let name = self.world.member(&self.org).name;
        Ok(Answer::new(GetIdentityResponse {
            org_id: self.org.to_string(),
            name,
            ..Default::default()
        }))
    }

    async fn get_key_sets(
        &self,
        request: Rpc<GetKeySetsRequest>,
    ) -> Result<Answer<GetKeySetsResponse>, Status> {
        let org = request.into_inner().org_id.parse().unwrap();
        let key_sets = self.world.member(&org).key_sets;
        Ok(Answer::new(GetKeySetsResponse { key_sets }))
    }

    async fn sign(&self, request: Rpc<SignRequest>) -> Result<Answer<SignResponse>, Status> {
        let member = self.world.member(&self.org);
        if member.silent {
            return Err(Status::unavailable("the keys are locked"));
        }
        let request = request.into_inner();
        let envelope = member
            .signer
            .sign(&request.payload_type, &request.payload)
            .await
            .unwrap();
        Ok(Answer::new(SignResponse {
            envelope: envelope.to_json(),
        }))
    }
}

#[tonic::async_trait]
impl NetworkService for Discovery {
    async fn list_networks(
        &self,
        _: Rpc<ListNetworksRequest>,
    ) -> Result<Answer<ListNetworksResponse>, Status> {
        let networks = self.world.member(&self.org).networks.into_iter();
        let networks = networks.map(|network_id| Network {
            network_id,
            ..Default::default()
        });
        Ok(Answer::new(ListNetworksResponse {
            networks: networks.collect(),
        }))
    }

    async fn create_network(
        &self,
        _: Rpc<CreateNetworkRequest>,
    ) -> Result<Answer<CreateNetworkResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn invite(&self, _: Rpc<InviteRequest>) -> Result<Answer<InviteResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn join_network(
        &self,
        _: Rpc<JoinNetworkRequest>,
    ) -> Result<Answer<JoinNetworkResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn leave_network(
        &self,
        _: Rpc<LeaveNetworkRequest>,
    ) -> Result<Answer<LeaveNetworkResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

#[tonic::async_trait]
impl PeerService for Discovery {
    async fn list_peers(
        &self,
        _: Rpc<ListPeersRequest>,
    ) -> Result<Answer<ListPeersResponse>, Status> {
        let me = self.world.member(&self.org);
        let orgs = self.world.orgs.lock().unwrap().clone();
        let peers = orgs
            .into_iter()
            .filter(|(org, _)| *org != self.org)
            .filter_map(|(org, peer)| {
                let blocked = me.blocked.contains(&org);
                let shared = me.networks.intersection(&peer.networks).next().cloned();
                let state = match (blocked, peer.cut || me.cut || peer.router.is_none()) {
                    (true, _) => PeerState::Blocked,
                    (false, true) => PeerState::Lost,
                    (false, false) => PeerState::Connected,
                };
                Some(Peer {
                    org_id: org.to_string(),
                    name: peer.name,
                    network_id: if blocked { String::new() } else { shared? },
                    state: state.into(),
                    ..Default::default()
                })
            });
        Ok(Answer::new(ListPeersResponse {
            peers: peers.collect(),
        }))
    }

    async fn publish_head(
        &self,
        request: Rpc<PublishHeadRequest>,
    ) -> Result<Answer<PublishHeadResponse>, Status> {
        self.world
            .gossip(self.org, &request.into_inner().head)
            .await;
        Ok(Answer::new(PublishHeadResponse {}))
    }

    async fn get_peer(&self, _: Rpc<GetPeerRequest>) -> Result<Answer<GetPeerResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn block_peer(
        &self,
        _: Rpc<BlockPeerRequest>,
    ) -> Result<Answer<BlockPeerResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn unblock_peer(
        &self,
        _: Rpc<UnblockPeerRequest>,
    ) -> Result<Answer<UnblockPeerResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

async fn outbound(
    State(discovery): State<Discovery>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    let purpose = request.headers()[PURPOSE].clone();
    let to = request.headers()[PARTNER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(purpose, "catalogue");
    let path = format!("/{service}/{method}");
    discovery
        .world
        .carry(discovery.org, to, path, request)
        .await
        .into_response()
}

fn discovery_app(discovery: Discovery) -> App {
    let door = "/api/discovery/internal/door/{service}/{method}";
    let mut access = vec![
        Access::rest(Method::POST, door, Role::Service)
            .bulk()
            .undocumented(),
    ];
    let methods = [
        (
            "IdentityService",
            &["GetIdentity", "GetKeySets", "Sign"][..],
        ),
        (
            "NetworkService",
            &[
                "CreateNetwork",
                "Invite",
                "JoinNetwork",
                "LeaveNetwork",
                "ListNetworks",
            ],
        ),
        (
            "PeerService",
            &[
                "ListPeers",
                "GetPeer",
                "BlockPeer",
                "UnblockPeer",
                "PublishHead",
            ],
        ),
    ];
    for (service, methods) in methods {
        for method in methods {
            let path = format!("/oc.discovery.v1.{service}/{method}");
            access.push(Access::rpc(path, Role::Service));
        }
    }
    App {
        rest: axum::Router::new()
            .route(door, post(outbound))
            .with_state(discovery.clone()),
        grpc: tonic::service::Routes::new(IdentityServiceServer::new(discovery.clone()))
            .add_service(NetworkServiceServer::new(discovery.clone()))
            .add_service(PeerServiceServer::new(discovery)),
        descriptors: oc_proto::DESCRIPTORS,
        access,
        ..App::new("discovery")
    }
}

/// A running catalogue.
pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) url: String,
    world: World,
    channel: Channel,
    switchboard: Switchboard,
    folder: PathBuf,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), ServeError>>,
}

impl Org {
    /// Founds an organisation and starts its catalogue; the store lies in `folder`.
    pub(crate) async fn start(world: &World, name: &str, folder: &tempfile::TempDir) -> Self {
        let (id, _) = world.found(name);
        Self::run(world, id, folder.path().join(name)).await
    }

    async fn run(world: &World, id: OrgId, folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("catalog.db");
        let store = SqliteStore::open(path, SqliteOptions::default())
            .await
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let bus = Arc::new(InProcessBus::new());
        let switchboard = Switchboard::new();
        let door = Door::new(&switchboard, "catalog", world.clock.clone());
        let metrics = Metrics::new();
        let app = build(Parts {
            store,
            bus: bus.clone(),
            clock: world.clock.clone(),
            switchboard: switchboard.clone(),
            door: door.clone(),
            metrics: metrics.clone(),
            settings: Settings::default(),
        })
        .await
        .unwrap();
        let discovery = discovery_app(Discovery {
            world: world.clone(),
            org: id,
        });
        let tokens = Arc::new(StaticTokens::of_roles());
        let authenticator = Arc::new(DoorAuthenticator::new(door, tokens));
        let node = Node::build(vec![app, discovery], authenticator, &metrics).unwrap();
        for name in ["catalog", "discovery"] {
            switchboard.register(name, node.router());
        }
        let router = node.router();
        world.change(&id, |member| {
            member.router = Some(router);
            member.bus = Some(bus);
        });
        world.tell_peers(id, "connected").await;
        let listeners = Listeners::local().await.unwrap();
        let url = format!("http://{}", listeners.api_addr());
        let stop = CancellationToken::new();
        let told = stop.clone();
        let ended = tokio::spawn(async move {
            let settings = StopSettings {
                lame_duck_seconds: 0,
                grace_seconds: 1,
            };
            node.serve(listeners, told, &settings).await
        });
        let channel = switchboard.channel("test", "catalog");
        Self {
            id,
            url,
            world: world.clone(),
            channel,
            switchboard,
            folder,
            stop,
            ended,
        }
    }

    /// Stops the catalogue and starts it again on the same store.
    pub(crate) async fn restart(self) -> Self {
        let (world, id, folder) = (self.world.clone(), self.id, self.folder.clone());
        self.end().await;
        Self::run(&world, id, folder).await
    }

    pub(crate) async fn end(self) {
        self.world.change(&self.id, |member| {
            member.router = None;
            member.bus = None;
        });
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        self.switchboard.clear();
    }

    /// Lists as a service does.
    pub(crate) async fn publish(&self, listing: pb::Listing) -> pb::Listing {
        let mut client = ListingServiceClient::new(self.channel.clone());
        let request = pb::PublishListingRequest {
            listing: Some(listing),
        };
        client
            .publish_listing(request)
            .await
            .unwrap()
            .into_inner()
            .listing
            .unwrap()
    }

    pub(crate) async fn withdraw(&self, id: &str) {
        let mut client = ListingServiceClient::new(self.channel.clone());
        let request = pb::WithdrawListingRequest {
            listing_id: id.to_owned(),
        };
        client.withdraw_listing(request).await.unwrap();
    }

    pub(crate) async fn search(&self, request: pb::SearchRequest) -> pb::SearchResponse {
        let mut client = SearchServiceClient::new(self.channel.clone());
        client.search(request).await.unwrap().into_inner()
    }

    pub(crate) async fn get(
        &self,
        owner: OrgId,
        id: &str,
    ) -> Result<pb::GetListingResponse, Status> {
        let mut client = SearchServiceClient::new(self.channel.clone());
        let request = pb::GetListingRequest {
            owner: owner.to_string(),
            listing_id: id.to_owned(),
        };
        Ok(client.get_listing(request).await?.into_inner())
    }

    /// The ids of all that can be found, with a `?` behind stale ones.
    pub(crate) async fn ids(&self) -> Vec<String> {
        let found = self.search(pb::SearchRequest::default()).await;
        let mark = |listing: &pb::Listing| if listing.stale { "?" } else { "" };
        found
            .listings
            .iter()
            .map(|l| format!("{}{}", l.listing_id, mark(l)))
            .collect()
    }

    /// Waits until exactly these can be found.
    pub(crate) async fn sees(&self, expected: &[&str]) {
        let mut last = Vec::new();
        let seen = async {
            loop {
                last = self.ids().await;
                if last == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let limit = tokio::time::timeout(LIMIT, seen).await;
        assert!(limit.is_ok(), "expected {expected:?}, found {last:?}");
    }
}

/// A dataset to list.
pub(crate) fn dataset(name: &str) -> pb::Listing {
    pb::Listing {
        listing_id: format!("dataset.{name}"),
        kind: pb::ListingKind::Dataset.into(),
        name: name.to_owned(),
        title: format!("Images of {name}"),
        body_json: "{\"items\":4}".to_owned(),
        ttl_seconds: 60,
        ..Default::default()
    }
}
