//! Organisations, our own among them, as data providers and sites.

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use oc_door::{Door, Purpose};
use oc_kernel::OrgId;
use oc_proto::federation::v1::compute_service_client::ComputeServiceClient;
use oc_proto::federation::v1::data_service_client::DataServiceClient;
use oc_proto::federation::v1::*;
use oc_service::CallError;

/// Events of an attempt, until it ends or the connection does.
pub(crate) type AttemptEvents = BoxStream<'static, Result<WatchResponse, CallError>>;

/// Calls an organisation for a run.
#[async_trait]
pub(crate) trait Federation: Send + Sync + 'static {
    /// How many images match.
    async fn count(
        &self,
        org: OrgId,
        run: &str,
        ask: CountRequest,
    ) -> Result<CountResponse, CallError>;
    /// Holds images.
    async fn reserve(
        &self,
        org: OrgId,
        run: &str,
        ask: ReserveRequest,
    ) -> Result<ReserveResponse, CallError>;
    /// Extends a hold of images.
    async fn renew(
        &self,
        org: OrgId,
        run: &str,
        ask: RenewRequest,
    ) -> Result<RenewResponse, CallError>;
    /// Ends a hold of images.
    async fn release(&self, org: OrgId, run: &str, ask: ReleaseRequest) -> Result<(), CallError>;
    /// What is free at a site.
    async fn capacity(
        &self,
        org: OrgId,
        run: &str,
        ask: GetCapacityRequest,
    ) -> Result<GetCapacityResponse, CallError>;
    /// Holds capacity.
    async fn reserve_capacity(
        &self,
        org: OrgId,
        run: &str,
        ask: ReserveCapacityRequest,
    ) -> Result<ReserveCapacityResponse, CallError>;
    /// Hands a fragment over.
    async fn submit(
        &self,
        org: OrgId,
        run: &str,
        ask: SubmitRequest,
    ) -> Result<SubmitResponse, CallError>;
    /// Keeps a lease.
    async fn renew_lease(
        &self,
        org: OrgId,
        run: &str,
        ask: RenewLeaseRequest,
    ) -> Result<RenewLeaseResponse, CallError>;
    /// Follows an attempt.
    async fn watch(
        &self,
        org: OrgId,
        run: &str,
        ask: WatchRequest,
    ) -> Result<AttemptEvents, CallError>;
    /// Stops an attempt.
    async fn cancel(
        &self,
        org: OrgId,
        run: &str,
        ask: CancelAttemptRequest,
    ) -> Result<CancelAttemptResponse, CallError>;
    /// Gives capacity back.
    async fn release_capacity(
        &self,
        org: OrgId,
        run: &str,
        ask: ReleaseCapacityRequest,
    ) -> Result<(), CallError>;
}

/// Through the door; to our own services directly.
pub(crate) struct BehindTheDoor(Door);

impl BehindTheDoor {
    pub(crate) fn new(door: Door) -> Self {
        Self(door)
    }

    async fn data(
        &self,
        org: OrgId,
        run: &str,
    ) -> Result<DataServiceClient<oc_door::PartnerChannel>, CallError> {
        let channel = self.0.partner(org, Purpose::Run(run.to_owned())).await;
        Ok(DataServiceClient::new(
            channel.map_err(|error| CallError::of(&error))?,
        ))
    }

    async fn compute(
        &self,
        org: OrgId,
        run: &str,
    ) -> Result<ComputeServiceClient<oc_door::PartnerChannel>, CallError> {
        let channel = self.0.partner(org, Purpose::Run(run.to_owned())).await;
        Ok(ComputeServiceClient::new(
            channel.map_err(|error| CallError::of(&error))?,
        ))
    }
}

#[async_trait]
impl Federation for BehindTheDoor {
    async fn count(
        &self,
        org: OrgId,
        run: &str,
        ask: CountRequest,
    ) -> Result<CountResponse, CallError> {
        Ok(self.data(org, run).await?.count(ask).await?.into_inner())
    }

    async fn reserve(
        &self,
        org: OrgId,
        run: &str,
        ask: ReserveRequest,
    ) -> Result<ReserveResponse, CallError> {
        Ok(self.data(org, run).await?.reserve(ask).await?.into_inner())
    }

    async fn renew(
        &self,
        org: OrgId,
        run: &str,
        ask: RenewRequest,
    ) -> Result<RenewResponse, CallError> {
        Ok(self.data(org, run).await?.renew(ask).await?.into_inner())
    }

    async fn release(&self, org: OrgId, run: &str, ask: ReleaseRequest) -> Result<(), CallError> {
        self.data(org, run).await?.release(ask).await?;
        Ok(())
    }

    async fn capacity(
        &self,
        org: OrgId,
        run: &str,
        ask: GetCapacityRequest,
    ) -> Result<GetCapacityResponse, CallError> {
        Ok(self
            .compute(org, run)
            .await?
            .get_capacity(ask)
            .await?
            .into_inner())
    }

    async fn reserve_capacity(
        &self,
        org: OrgId,
        run: &str,
        ask: ReserveCapacityRequest,
    ) -> Result<ReserveCapacityResponse, CallError> {
        Ok(self
            .compute(org, run)
            .await?
            .reserve_capacity(ask)
            .await?
            .into_inner())
    }

    async fn submit(
        &self,
        org: OrgId,
        run: &str,
        ask: SubmitRequest,
    ) -> Result<SubmitResponse, CallError> {
        Ok(self
            .compute(org, run)
            .await?
            .submit(ask)
            .await?
            .into_inner())
    }

    async fn renew_lease(
        &self,
        org: OrgId,
        run: &str,
        ask: RenewLeaseRequest,
    ) -> Result<RenewLeaseResponse, CallError> {
        Ok(self
            .compute(org, run)
            .await?
            .renew_lease(ask)
            .await?
            .into_inner())
    }

    async fn watch(
        &self,
        org: OrgId,
        run: &str,
        ask: WatchRequest,
    ) -> Result<AttemptEvents, CallError> {
        let events = self.compute(org, run).await?.watch(ask).await?.into_inner();
        Ok(events.map(|event| event.map_err(CallError::from)).boxed())
    }

    async fn cancel(
        &self,
        org: OrgId,
        run: &str,
        ask: CancelAttemptRequest,
    ) -> Result<CancelAttemptResponse, CallError> {
        Ok(self
            .compute(org, run)
            .await?
            .cancel_attempt(ask)
            .await?
            .into_inner())
    }

    async fn release_capacity(
        &self,
        org: OrgId,
        run: &str,
        ask: ReleaseCapacityRequest,
    ) -> Result<(), CallError> {
        self.compute(org, run).await?.release_capacity(ask).await?;
        Ok(())
    }
}
