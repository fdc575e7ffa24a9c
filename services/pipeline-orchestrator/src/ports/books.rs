//! Our own accounting.

use async_trait::async_trait;
use oc_kernel::{Classify as _, Kind};
use oc_proto::accounting::v1::usage_service_client::UsageServiceClient;
use oc_proto::accounting::v1::{GetBooksRequest, SettleBooksRequest, SettleBooksResponse};
use oc_service::{CallError, Channel, Switchboard};

/// The books of a grant.
#[async_trait]
pub(crate) trait Books: Send + Sync + 'static {
    /// Fetches the provider's records, audits and countersigns them, now, and says what is charged for a run.
    async fn settle(&self, grant_id: &str, run_id: &str) -> Result<SettleBooksResponse, CallError>;

    /// The first objection that stands in them, in words; nothing where there is none.
    async fn dispute(&self, grant_id: &str) -> Result<Option<String>, CallError>;
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
    async fn settle(&self, grant_id: &str, run_id: &str) -> Result<SettleBooksResponse, CallError> {
        let request = SettleBooksRequest {
            grant_id: grant_id.to_owned(),
            run_id: run_id.to_owned(),
        };
        Ok(UsageServiceClient::new(self.0.clone())
            .settle_books(request)
            .await?
            .into_inner())
    }

    async fn dispute(&self, grant_id: &str) -> Result<Option<String>, CallError> {
        let request = GetBooksRequest {
            grant_id: grant_id.to_owned(),
        };
        let asked = UsageServiceClient::new(self.0.clone())
            .get_books(request)
            .await;
        match asked.map_err(CallError::from) {
            Ok(books) => {
                let mut disputes = books.into_inner().disputes.into_iter();
                Ok(disputes.next().map(|dispute| dispute.text))
            }
            // They begin when accounting hears of the grant.
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
