//! The ports over discovery's door.

use std::sync::Arc;

use async_trait::async_trait;
use oc_door::{Door, DoorError, PartnerChannel, Purpose};
use oc_kernel::{Classify as _, GrantId, OrgId};
use oc_proto::federation::v1::books_service_client::BooksServiceClient;
use oc_proto::federation::v1::{
    CountersignRequest, DisputeRequest, GetBooksHeadRequest, ListUsageRecordsRequest,
};
use oc_service::CallError;
use oc_trust::{Envelope, KeyHistory, SignError, Signer};
use tonic::Status;

use crate::domain::Cause;
use crate::grpc::cause_out;
use crate::ports::{OfferedHead, Organisation, PortError, ProviderBooks};

/// Largest answer that a provider's records may have, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// Discovery, as accounting uses it.
#[derive(Debug, Clone)]
pub struct Discovery(Door);

impl Discovery {
    /// The ports of this door.
    pub fn new(door: Door) -> Self {
        Self(door)
    }

    async fn books(
        &self,
        provider: OrgId,
        grant: GrantId,
    ) -> Result<BooksServiceClient<PartnerChannel>, PortError> {
        let purpose = Purpose::Books(grant.to_string());
        let channel = self.0.partner(provider, purpose).await?;
        Ok(BooksServiceClient::new(channel).max_decoding_message_size(MOST_BYTES))
    }
}

impl From<DoorError> for PortError {
    fn from(error: DoorError) -> Self {
        Self {
            kind: error.kind(),
            code: error.code(),
            message: error.to_string(),
            advice: error.advice(),
        }
    }
}

impl From<Status> for PortError {
    fn from(status: Status) -> Self {
        let error = CallError::from(status);
        Self {
            kind: error.kind,
            code: error.code,
            message: error.message,
            advice: error.advice,
        }
    }
}

#[async_trait]
impl Signer for Discovery {
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        self.0.sign(payload_type, payload).await
    }
}

#[async_trait]
impl Organisation for Discovery {
    async fn me(&self) -> Result<OrgId, PortError> {
        Ok(self.0.identity().await?.org)
    }

    async fn keys(&self, org: OrgId) -> Result<Arc<KeyHistory>, PortError> {
        Ok(self.0.key_history(org).await?)
    }
}

#[async_trait]
impl ProviderBooks for Discovery {
    async fn head(
        &self,
        provider: OrgId,
        grant: GrantId,
        known_size: u64,
    ) -> Result<OfferedHead, PortError> {
        let request = GetBooksHeadRequest {
            grant_id: grant.to_string(),
            known_size,
        };
        let mut books = self.books(provider, grant).await?;
        let answer = books.get_books_head(request).await?.into_inner();
        Ok(OfferedHead {
            envelope: answer.head,
            consistency: answer.consistency,
            agreed: answer.agreed,
        })
    }

    async fn records(
        &self,
        provider: OrgId,
        grant: GrantId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, PortError> {
        let request = ListUsageRecordsRequest {
            grant_id: grant.to_string(),
            from,
            page_size: limit,
        };
        let mut books = self.books(provider, grant).await?;
        let answer = books.list_usage_records(request).await?;
        Ok(answer.into_inner().records)
    }

    async fn countersign(
        &self,
        provider: OrgId,
        grant: GrantId,
        head: Vec<u8>,
    ) -> Result<(), PortError> {
        let request = CountersignRequest {
            grant_id: grant.to_string(),
            head,
        };
        let mut books = self.books(provider, grant).await?;
        books.countersign(request).await?;
        Ok(())
    }

    async fn dispute(
        &self,
        provider: OrgId,
        grant: GrantId,
        position: u64,
        cause: &Cause,
    ) -> Result<(), PortError> {
        let request = DisputeRequest {
            grant_id: grant.to_string(),
            position,
            cause: Some(cause_out(cause.clone())),
        };
        let mut books = self.books(provider, grant).await?;
        books.dispute(request).await?;
        Ok(())
    }
}
