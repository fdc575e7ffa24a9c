//! Our own accounting.

use async_trait::async_trait;
use oc_proto::accounting::v1::usage_service_client::UsageServiceClient;
use oc_proto::accounting::v1::{SettleBooksRequest, SettleBooksResponse};
use oc_service::{CallError, Channel, Switchboard};

/// Settles the books of a grant.
#[async_trait]
pub(crate) trait Books: Send + Sync + 'static {
    /// Fetches the provider's records, audits and countersigns them, now.
    async fn settle(&self, grant_id: &str) -> Result<SettleBooksResponse, CallError>;
}

/// The accounting service.
pub(crate) struct RemoteBooks(Channel);

impl RemoteBooks {
    pub(crate) fn new(switchboard: &Switchboard, me: &'static str) -> Self {
        Self(switchboard.channel(me, "accounting"))
    }
}

#[async_trait]
impl Books for RemoteBooks {
    async fn settle(&self, grant_id: &str) -> Result<SettleBooksResponse, CallError> {
        let request = SettleBooksRequest {
            grant_id: grant_id.to_owned(),
        };
        Ok(UsageServiceClient::new(self.0.clone())
            .settle_books(request)
            .await?
            .into_inner())
    }
}
