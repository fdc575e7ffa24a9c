//! Heads of catalogues: ours are announced, those of partners are checked and handed to our catalogue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_bus::CloudEvent;
use oc_federation::{Announcement, Network, NetworkError, NetworkId};
use oc_kernel::OrgId;
use oc_store::{Collection, Expect, Query};
use oc_trust::envelope::{Unverified, open_evidence};
use oc_trust::listing::Head;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::discovery::Discovery;
use crate::domain::error::DiscoveryError;

pub(crate) static HEADS: Collection = Collection::new("heads", &[]);

const TOPIC: &str = "heads";
const REPEAT: Duration = Duration::from_secs(15);

/// Our newest head in a network.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeadRecord {
    /// The envelope in base64.
    head: String,
}

impl Discovery {
    /// Announces our catalogue's newest head in a network, now and again and again.
    pub(crate) async fn publish_head(
        &self,
        network_id: &str,
        head: &[u8],
    ) -> Result<(), DiscoveryError> {
        let unknown = || DiscoveryError::UnknownNetwork(network_id.chars().take(80).collect());
        let id: NetworkId = network_id.parse().map_err(|_| unknown())?;
        if self.networks.get(network_id).await?.is_none() {
            return Err(unknown());
        }
        let opened = open_evidence::<Head>(head, self.identity.history.current());
        let opened = opened.map_err(|error| DiscoveryError::Head(error.to_string()))?;
        let claim = opened.statement();
        if claim.owner != self.identity.org || claim.network.as_str() != network_id {
            let text = "it names another owner or network";
            return Err(DiscoveryError::Head(text.to_owned()));
        }
        let record = HeadRecord {
            head: STANDARD.encode(head),
        };
        self.heads
            .put(network_id, &record, Expect::Any, Vec::new())
            .await?;
        if let Some(network) = self.network(id) {
            network.publish(TOPIC, head.to_vec()).await?;
        }
        Ok(())
    }

    /// Repeats our heads for those who came later or missed one.
    pub(crate) async fn repeat_heads(&self, stop: CancellationToken) {
        let mut pause = tokio::time::interval(REPEAT);
        while stop.run_until_cancelled(pause.tick()).await.is_some() {
            if let Err(error) = self.repeat_heads_once().await {
                tracing::warn!(%error, "our heads are not announced");
            }
        }
    }

    async fn repeat_heads_once(&self) -> Result<(), DiscoveryError> {
        for stored in self.heads.all(&Query::all()).await? {
            let network = stored.key.parse().ok().and_then(|id| self.network(id));
            let head = STANDARD.decode(&stored.value.head).unwrap_or_default();
            if let Some(network) = network {
                network.publish(TOPIC, head).await?;
            }
        }
        Ok(())
    }

    /// Takes partners' heads in a network until it is left.
    pub(crate) async fn watch_heads(
        self: Arc<Self>,
        network: Network,
    ) -> Result<impl Future<Output = ()> + Send, NetworkError> {
        let mut announcements = network.subscribe(TOPIC).await?;
        let id = network.id();
        Ok(async move {
            let mut newest: HashMap<OrgId, Vec<u8>> = HashMap::new();
            loop {
                let announcement = match announcements.recv().await {
                    Ok(announcement) => announcement,
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(network = %id, missed, "heads were missed");
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                };
                match self.check_head(id, &announcement) {
                    Ok(org) => {
                        let head = announcement.data.to_vec();
                        if newest.get(&org) == Some(&head) {
                            continue;
                        }
                        if let Err(error) = self.hand_over(id, org, &head).await {
                            tracing::warn!(%org, %error, "a head is not handed over");
                            continue;
                        }
                        newest.insert(org, head);
                    }
                    Err(cause) => {
                        tracing::debug!(author = %announcement.author, cause, "a head is ignored");
                    }
                }
            }
        })
    }

    fn check_head(&self, network: NetworkId, told: &Announcement) -> Result<OrgId, String> {
        let partner = self.directory.partner_of(told.author);
        let partner = partner.ok_or("its author has not introduced itself")?;
        let head = Unverified::<Head>::parse(&told.data).map_err(|e| e.to_string())?;
        let org = partner.record.org_id;
        if head.claim().owner != org || head.claim().network.as_str() != network.to_string() {
            return Err("it names another owner or network".to_owned());
        }
        head.signed_by(partner.history.current())
            .map_err(|e| e.to_string())?;
        Ok(org)
    }

    async fn hand_over(
        &self,
        network: NetworkId,
        org: OrgId,
        head: &[u8],
    ) -> Result<(), DiscoveryError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let event = CloudEvent::new(id, "/discovery", "oc.discovery.head.v1")
            .with_subject(org.to_string())
            .with_time(self.clock.now())
            .with_data(json!({
                "org_id": org.to_string(),
                "network_id": network.to_string(),
                "head": STANDARD.encode(head),
            }));
        // Nobody waits for the receipt: the head comes again, and the catalogue asks for what it missed.
        self.bus.publish(event).await?;
        Ok(())
    }
}
