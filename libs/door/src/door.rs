//! Questions to discovery: who we are, a signature, somebody's keys, the way to a partner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use oc_kernel::{Classify, Clock, Code, Kind, OrgId};
use oc_proto::discovery::v1::identity_service_client::IdentityServiceClient;
use oc_proto::discovery::v1::peer_service_client::PeerServiceClient;
use oc_proto::discovery::v1::{
    GetIdentityRequest, GetKeySetsRequest, GetPeerRequest, Peer, SignRequest,
};
use oc_service::{CallError, Channel, Problem, Switchboard};
use oc_trust::SignError;
use oc_trust::dsse::Envelope;
use oc_trust::envelope::Signer;
use oc_trust::keyset::KeyHistory;
use tokio::sync::OnceCell;
use tonic::Status;

use crate::partner::{PartnerChannel, Purpose};

/// How long keys that were fetched are used before they are asked for again. A key that is not found in
/// them is asked for at once, so this only bounds how long a replaced key is believed.
const KEYS_LIVE: Duration = Duration::from_secs(10);
/// Organisations whose keys are kept at hand.
const KEYS_MOST: usize = 4096;

/// Why the door gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// discovery, or the partner through it, refuses or cannot be reached.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The same, said over HTTP.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// An answer that makes no sense.
    #[error("the answer cannot be used: {0}")]
    Answer(String),
}

impl From<Status> for DoorError {
    fn from(status: Status) -> Self {
        Self::Call(status.into())
    }
}

impl Classify for DoorError {
    fn kind(&self) -> Kind {
        match self {
            DoorError::Call(error) => error.kind(),
            DoorError::Refused(problem) => problem.kind().unwrap_or(Kind::Internal),
            DoorError::Answer(_) => Kind::Internal,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            DoorError::Call(error) => error.code(),
            DoorError::Refused(problem) => problem.code,
            DoorError::Answer(_) => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            DoorError::Call(error) => error.advice(),
            DoorError::Refused(problem) => problem.advice.as_deref().map(str::to_owned),
            DoorError::Answer(_) => None,
        }
    }
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our organisation.
    pub org: OrgId,
    /// Its name for people.
    pub name: String,
}

type KnownKeys = BTreeMap<OrgId, (Instant, Arc<KeyHistory>)>;

/// A service's way to discovery.
#[derive(Clone)]
pub struct Door {
    switchboard: Switchboard,
    me: &'static str,
    clock: Arc<dyn Clock>,
    identity: Arc<OnceCell<Identity>>,
    keys: Arc<Mutex<KnownKeys>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// The door as the service `me` sees it.
    pub fn new(switchboard: &Switchboard, me: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self {
            switchboard: switchboard.clone(),
            me,
            clock,
            identity: Arc::new(OnceCell::new()),
            keys: Arc::default(),
        }
    }

    pub(crate) fn discovery(&self) -> Channel {
        self.switchboard.channel(self.me, "discovery")
    }

    pub(crate) fn backend(&self) -> Channel {
        self.switchboard.channel(self.me, "generic-backend")
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Our own organisation; asked once.
    ///
    /// # Errors
    /// When discovery cannot be reached.
    pub async fn identity(&self) -> Result<&Identity, DoorError> {
        self.identity
            .get_or_try_init(|| async {
                let mut client = IdentityServiceClient::new(self.discovery());
                let answer = client
                    .get_identity(GetIdentityRequest {})
                    .await?
                    .into_inner();
                let org = answer.org_id.parse();
                let org =
                    org.map_err(|_| DoorError::Answer("it names no organisation".to_owned()))?;
                Ok(Identity {
                    org,
                    name: answer.name,
                })
            })
            .await
    }

    /// The verified KeySets of an organisation, ours among them. At most ten seconds old.
    ///
    /// # Errors
    /// When discovery does not know them.
    pub async fn key_history(&self, org: OrgId) -> Result<Arc<KeyHistory>, DoorError> {
        let known = self.lock_keys().get(&org).cloned();
        if let Some((since, history)) = known
            && since.elapsed() < KEYS_LIVE
        {
            return Ok(history);
        }
        self.fetch_key_history(org).await
    }

    /// The same, asked for anew: for a signature by a key that [`Door::key_history`] did not have.
    ///
    /// # Errors
    /// When discovery does not know them.
    pub async fn fetch_key_history(&self, org: OrgId) -> Result<Arc<KeyHistory>, DoorError> {
        let mut client = IdentityServiceClient::new(self.discovery());
        let request = GetKeySetsRequest {
            org_id: org.to_string(),
        };
        let answer = client.get_key_sets(request).await?.into_inner();
        let history = KeyHistory::verify(&org, &answer.key_sets)
            .map_err(|error| DoorError::Answer(error.to_string()))?;
        let history = Arc::new(history);
        let mut keys = self.lock_keys();
        if keys.len() >= KEYS_MOST {
            keys.clear();
        }
        keys.insert(org, (Instant::now(), history.clone()));
        Ok(history)
    }

    /// What discovery knows of another organisation: its network, whether it can be reached.
    ///
    /// # Errors
    /// When it was never seen.
    pub async fn peer(&self, org: OrgId) -> Result<Peer, DoorError> {
        let mut client = PeerServiceClient::new(self.discovery());
        let request = GetPeerRequest {
            org_id: org.to_string(),
        };
        let answer = client.get_peer(request).await?.into_inner();
        answer
            .peer
            .ok_or_else(|| DoorError::Answer("it names no peer".to_owned()))
    }

    /// The way to the federation services of `org`: ours directly, a partner's through discovery.
    ///
    /// # Errors
    /// When discovery cannot be asked who we are.
    pub async fn partner(&self, org: OrgId, purpose: Purpose) -> Result<PartnerChannel, DoorError> {
        Ok(if org == self.identity().await?.org {
            PartnerChannel::own(self.switchboard.clone(), self.me)
        } else {
            PartnerChannel::partner(self.discovery(), org, &purpose)
        })
    }

    fn lock_keys(&self) -> std::sync::MutexGuard<'_, KnownKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Signer for Door {
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        let mut client = IdentityServiceClient::new(self.discovery());
        let request = SignRequest {
            payload_type: payload_type.to_owned(),
            payload: payload.to_vec(),
        };
        let answer = client.sign(request).await;
        let answer =
            answer.map_err(|status| SignError::Unavailable(status.message().to_owned()))?;
        Envelope::from_json(&answer.into_inner().envelope)
            .map_err(|error| SignError::Unavailable(error.to_string()))
    }
}
