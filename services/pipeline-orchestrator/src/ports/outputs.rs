//! Outputs in storage, ours or a partner's: those that count for nothing go, the others can be read.

use async_trait::async_trait;
use oc_door::{BulkBody, BulkRole, Door, DoorError, Purpose};
use oc_kernel::{AttemptId, OrgId, RunId};
use oc_proto::federation::v1::objects_service_client::ObjectsServiceClient;
use oc_proto::federation::v1::{OpenDownloadRequest, RemoveOutputsRequest};
use oc_service::CallError;
use oc_workflow::data::ListingRef;

/// Has outputs removed and handed out by whoever keeps them.
#[async_trait]
pub(crate) trait Outputs: Send + Sync + 'static {
    /// Removes what these attempts of a run have left; true where something is left for another call.
    async fn remove(
        &self,
        run: RunId,
        storage: &ListingRef,
        attempts: &[AttemptId],
    ) -> Result<bool, CallError>;

    /// The bytes of an object of a run that a partner keeps. The caller checks length and digest.
    async fn read(
        &self,
        run: RunId,
        owner: OrgId,
        request: OpenDownloadRequest,
    ) -> Result<BulkBody, DoorError>;
}

/// Through the door; to our own service directly.
pub(crate) struct OutputsAtTheirOwner(Door);

impl OutputsAtTheirOwner {
    pub(crate) fn new(door: Door) -> Self {
        Self(door)
    }
}

#[async_trait]
impl Outputs for OutputsAtTheirOwner {
    async fn remove(
        &self,
        run: RunId,
        storage: &ListingRef,
        attempts: &[AttemptId],
    ) -> Result<bool, CallError> {
        let purpose = Purpose::Run(run.to_string());
        let channel = self.0.partner(storage.owner, purpose).await;
        let channel = channel.map_err(|error| CallError::of(&error))?;
        let request = RemoveOutputsRequest {
            listing_id: storage.listing.to_string(),
            attempt_ids: attempts.iter().map(AttemptId::to_string).collect(),
        };
        let mut objects = ObjectsServiceClient::new(channel);
        Ok(objects.remove_outputs(request).await?.into_inner().more)
    }

    async fn read(
        &self,
        run: RunId,
        owner: OrgId,
        request: OpenDownloadRequest,
    ) -> Result<BulkBody, DoorError> {
        let channel = self.0.partner(owner, Purpose::Run(run.to_string())).await?;
        let opened = ObjectsServiceClient::new(channel)
            .open_download(request)
            .await?;
        let token = opened.into_inner().token;
        self.0.bulk_get(owner, BulkRole::Objects, &token, 0).await
    }
}
