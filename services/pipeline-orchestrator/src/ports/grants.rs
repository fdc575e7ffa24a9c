//! Grants that we received and gave: kept by our own compute-provider.

use async_trait::async_trait;
use oc_proto::compute::v1::grant_service_client::GrantServiceClient;
use oc_proto::compute::v1::{Grant, ListGrantsRequest};
use oc_service::{CallError, Channel, Switchboard};

/// Looks grants up.
#[async_trait]
pub(crate) trait Grants: Send + Sync + 'static {
    /// Every grant, given and received, those that are over too.
    async fn all(&self) -> Result<Vec<Grant>, CallError>;
}

/// The compute provider.
pub(crate) struct RemoteGrants(Channel);

impl RemoteGrants {
    pub(crate) fn new(switchboard: &Switchboard, me: &'static str) -> Self {
        Self(switchboard.channel(me, "compute-provider"))
    }
}

#[async_trait]
impl Grants for RemoteGrants {
    async fn all(&self) -> Result<Vec<Grant>, CallError> {
        let request = ListGrantsRequest { active_only: false };
        Ok(GrantServiceClient::new(self.0.clone())
            .list_grants(request)
            .await?
            .into_inner()
            .grants)
    }
}
