//! What the catalogue needs of others: discovery for identity, networks, peers, keys and signatures, and
//! partners' catalogues behind it.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use oc_door::{Door, DoorError, Purpose};
use oc_kernel::{Classify, Code, Kind, Name, OrgId};
use oc_proto::discovery::v1::network_service_client::NetworkServiceClient;
use oc_proto::discovery::v1::peer_service_client::PeerServiceClient;
use oc_proto::discovery::v1::{
    ListNetworksRequest, ListPeersRequest, PeerState, PublishHeadRequest,
};
use oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient;
use oc_proto::federation::v1::{GetHeadRequest, ListDeltasRequest};
use oc_service::{CallError, Channel, Switchboard};
use oc_trust::dsse::Envelope;
use oc_trust::{KeyHistory, SignError, Signer};
use tonic::Status;

/// Why someone else gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PortError(CallError);

impl PortError {
    /// An answer that makes no sense.
    pub(crate) fn nonsense(message: impl Into<String>) -> Self {
        Self(CallError::new(Kind::Unavailable, message))
    }
}

impl Classify for PortError {
    fn kind(&self) -> Kind {
        self.0.kind()
    }

    fn code(&self) -> Option<Code> {
        self.0.code()
    }

    fn advice(&self) -> Option<String> {
        self.0.advice()
    }
}

impl From<DoorError> for PortError {
    fn from(error: DoorError) -> Self {
        Self(CallError::of(&error))
    }
}

impl From<Status> for PortError {
    fn from(status: Status) -> Self {
        Self(status.into())
    }
}

/// Our own organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Me {
    /// Its id.
    pub(crate) org: OrgId,
    /// Its name for people.
    pub(crate) name: String,
}

/// Another organisation, as discovery sees it on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its id.
    pub(crate) org: OrgId,
    /// Its name for people.
    pub(crate) name: String,
    /// The network; none for one that is blocked everywhere.
    pub(crate) network: Option<Name>,
    /// Whether it can be reached there.
    pub(crate) state: PeerState,
}

/// One answer of a partner's catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Signed listings.
    pub(crate) listings: Vec<Vec<u8>>,
    /// Ids that we may see no more.
    pub(crate) gone: Vec<String>,
    /// Where to go on.
    pub(crate) cursor: String,
    /// There is more behind the cursor.
    pub(crate) more: bool,
    /// What follows begins from nothing.
    pub(crate) restart: bool,
}

/// Everything outside of the catalogue.
#[async_trait]
pub(crate) trait Federation: Signer + 'static {
    /// Our own organisation.
    async fn me(&self) -> Result<Me, PortError>;
    /// The networks we are in.
    async fn networks(&self) -> Result<BTreeSet<Name>, PortError>;
    /// The other organisations on them.
    async fn peers(&self) -> Result<Vec<Peer>, PortError>;
    /// Hands our newest head to a network.
    async fn publish_head(&self, network: &Name, head: Vec<u8>) -> Result<(), PortError>;
    /// An organisation's keys; `anew` when the known ones did not fit.
    async fn keys(&self, org: OrgId, anew: bool) -> Result<Arc<KeyHistory>, PortError>;
    /// A partner's newest head.
    async fn head(&self, org: OrgId) -> Result<Vec<u8>, PortError>;
    /// What changed at a partner after the cursor.
    async fn deltas(&self, org: OrgId, cursor: &str) -> Result<Page, PortError>;
}

/// The federation behind the door.
#[derive(Debug, Clone)]
pub(crate) struct BehindTheDoor {
    door: Door,
    discovery: Channel,
}

impl BehindTheDoor {
    /// As the service `me` reaches it.
    pub(crate) fn new(door: Door, switchboard: &Switchboard, me: &'static str) -> Self {
        Self {
            door,
            discovery: switchboard.channel(me, "discovery"),
        }
    }
}

#[async_trait]
impl Signer for BehindTheDoor {
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        self.door.sign(payload_type, payload).await
    }
}

#[async_trait]
impl Federation for BehindTheDoor {
    async fn me(&self) -> Result<Me, PortError> {
        let identity = self.door.identity().await?;
        Ok(Me {
            org: identity.org,
            name: identity.name.clone(),
        })
    }

    async fn networks(&self) -> Result<BTreeSet<Name>, PortError> {
        let mut client = NetworkServiceClient::new(self.discovery.clone());
        let answer = client
            .list_networks(ListNetworksRequest {})
            .await?
            .into_inner();
        let names = answer
            .networks
            .iter()
            .map(|network| network.network_id.parse());
        names
            .collect::<Result<_, _>>()
            .map_err(|_| PortError::nonsense("a network id is no name"))
    }

    async fn peers(&self) -> Result<Vec<Peer>, PortError> {
        let mut client = PeerServiceClient::new(self.discovery.clone());
        let answer = client
            .list_peers(ListPeersRequest::default())
            .await?
            .into_inner();
        let peers = answer.peers.into_iter().filter_map(|peer| {
            let state = peer.state();
            // A peer without an OrgId has not introduced itself yet.
            let org = peer.org_id.parse().ok()?;
            let network = peer.network_id.parse().ok();
            Some(Peer {
                org,
                name: peer.name,
                network,
                state,
            })
        });
        Ok(peers.collect())
    }

    async fn publish_head(&self, network: &Name, head: Vec<u8>) -> Result<(), PortError> {
        let mut client = PeerServiceClient::new(self.discovery.clone());
        let request = PublishHeadRequest {
            network_id: network.to_string(),
            head,
        };
        client.publish_head(request).await?;
        Ok(())
    }

    async fn keys(&self, org: OrgId, anew: bool) -> Result<Arc<KeyHistory>, PortError> {
        Ok(if anew {
            self.door.fetch_key_history(org).await?
        } else {
            self.door.key_history(org).await?
        })
    }

    async fn head(&self, org: OrgId) -> Result<Vec<u8>, PortError> {
        let channel = self.door.partner(org, Purpose::Catalogue).await?;
        let mut client = CatalogueServiceClient::new(channel);
        Ok(client.get_head(GetHeadRequest {}).await?.into_inner().head)
    }

    async fn deltas(&self, org: OrgId, cursor: &str) -> Result<Page, PortError> {
        let channel = self.door.partner(org, Purpose::Catalogue).await?;
        let mut client = CatalogueServiceClient::new(channel);
        let request = ListDeltasRequest {
            cursor: cursor.to_owned(),
            page_size: 0,
        };
        let answer = client.list_deltas(request).await?.into_inner();
        Ok(Page {
            listings: answer.listings,
            gone: answer.gone,
            cursor: answer.cursor,
            more: answer.more,
            restart: answer.restart,
        })
    }
}
