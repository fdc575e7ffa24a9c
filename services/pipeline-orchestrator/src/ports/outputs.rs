//! Outputs in storage, ours or a partner's, that count for nothing.

use async_trait::async_trait;
use oc_door::{Door, Purpose};
use oc_kernel::{AttemptId, RunId};
use oc_proto::federation::v1::RemoveOutputsRequest;
use oc_proto::federation::v1::objects_service_client::ObjectsServiceClient;
use oc_service::CallError;
use oc_workflow::data::ListingRef;

/// Has outputs removed by whoever keeps them.
#[async_trait]
pub(crate) trait Outputs: Send + Sync + 'static {
    /// Removes what these attempts of a run have left; true where something is left for another call.
    async fn remove(
        &self,
        run: RunId,
        storage: &ListingRef,
        attempts: &[AttemptId],
    ) -> Result<bool, CallError>;
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
}
