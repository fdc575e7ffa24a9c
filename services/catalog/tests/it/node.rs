//! A running catalogue and what is asked of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oc_bus::InProcessBus;
use oc_catalog::{Parts, Settings, build};
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::OrgId;
use oc_proto::catalog::v1 as pb;
use oc_proto::catalog::v1::listing_service_client::ListingServiceClient;
use oc_proto::catalog::v1::search_service_client::SearchServiceClient;
use oc_service::access::StaticTokens;
use oc_service::telemetry::Metrics;
use oc_service::{Channel, Listeners, Node, ServeError, StopSettings, Switchboard};
use oc_store::{SqliteOptions, SqliteStore, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::discovery::{self, Discovery};
use super::world::World;

const LIMIT: Duration = Duration::from_secs(10);

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
        Self::run(world, id, folder.path().join(name), 0).await
    }

    async fn run(world: &World, id: OrgId, folder: PathBuf, epoch: u64) -> Self {
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
            settings: Settings {
                epoch,
                ..Settings::default()
            },
        })
        .await
        .unwrap();
        let discovery = discovery::app(Discovery {
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
        Self::run(&world, id, folder, 0).await
    }

    /// Copies the store as it is now.
    pub(crate) fn back_up(&self) {
        let [from, to] = ["catalog.db", "backup.db"].map(|name| self.folder.join(name));
        oc_store::snapshot(&[(from, to)]).unwrap();
    }

    /// Stops the catalogue, puts the copy in place of its store, and starts it in this epoch.
    pub(crate) async fn restore(self, epoch: u64) -> Self {
        let (world, id, folder) = (self.world.clone(), self.id, self.folder.clone());
        self.end().await;
        for log in ["catalog.db-wal", "catalog.db-shm"] {
            let _ = std::fs::remove_file(folder.join(log));
        }
        std::fs::copy(folder.join("backup.db"), folder.join("catalog.db")).unwrap();
        Self::run(&world, id, folder, epoch).await
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
