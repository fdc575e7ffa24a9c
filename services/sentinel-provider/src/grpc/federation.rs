//! `oc.federation.v1.DataService`: count, reserve and access, for partners through the door and for our
//! own services alike.

use oc_door::caller;
use oc_kernel::Digest;
use oc_proto::federation::v1 as pb;
use oc_proto::federation::v1::data_service_server::DataService;
use oc_service::OrStatus;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::metrics::DataMetrics;
use crate::provider::{Order, Provider};

/// The face of a [`Provider`] to organisations.
pub(crate) struct Face {
    pub(crate) provider: Provider,
    pub(crate) metrics: DataMetrics,
}

#[tonic::async_trait]
impl DataService for Face {
    async fn count(
        &self,
        request: Request<pb::CountRequest>,
    ) -> Result<Response<pb::CountResponse>, Status> {
        let caller = caller(self.provider.door(), &request).await?;
        let pb::CountRequest {
            listing_id,
            query,
            grant_id,
        } = request.into_inner();
        let query = convert::query(query).or_status()?;
        let count = self
            .provider
            .count_for(&caller, &listing_id, &grant_id, &query);
        let count = convert::count(count.await.or_status()?);
        Ok(Response::new(pb::CountResponse {
            count: count.count,
            bytes: count.bytes,
            nearest_item_id: count.nearest_item_id,
            nearest_ms: count.nearest_ms,
        }))
    }

    async fn reserve(
        &self,
        request: Request<pb::ReserveRequest>,
    ) -> Result<Response<pb::ReserveResponse>, Status> {
        let caller = caller(self.provider.door(), &request).await?;
        let request = request.into_inner();
        let digest = digest(&request)?;
        let order = Order {
            query: convert::query(request.query).or_status()?,
            listing_id: request.listing_id,
            grant_id: request.grant_id,
            run_id: request.run_id,
            operation_id: request.operation_id,
            request: digest,
            ttl_seconds: request.ttl_seconds,
        };
        let reserved = self.provider.reserve(&caller, order).await;
        self.metrics.reserved(reserved.is_ok());
        let owner = self.provider.owner().await.or_status()?;
        Ok(Response::new(convert::reserved(
            &owner,
            &reserved.or_status()?,
        )))
    }

    async fn renew(
        &self,
        request: Request<pb::RenewRequest>,
    ) -> Result<Response<pb::RenewResponse>, Status> {
        let caller = caller(self.provider.door(), &request).await?;
        let pb::RenewRequest {
            reservation_id,
            ttl_seconds,
        } = request.into_inner();
        let renewed = self.provider.renew(&caller, &reservation_id, ttl_seconds);
        let expires_at_ms = renewed.await.or_status()?;
        Ok(Response::new(pb::RenewResponse { expires_at_ms }))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let caller = caller(self.provider.door(), &request).await?;
        let id = request.into_inner().reservation_id;
        self.provider.release(&caller, &id).await.or_status()?;
        Ok(Response::new(pb::ReleaseResponse {}))
    }

    async fn access(
        &self,
        request: Request<pb::AccessRequest>,
    ) -> Result<Response<pb::AccessResponse>, Status> {
        let caller = caller(self.provider.door(), &request).await?;
        let opened = self.provider.access(&caller, request.get_ref()).await;
        Ok(Response::new(opened.or_status()?))
    }
}

/// Tells whether an operation came again with the same request.
fn digest(request: &pb::ReserveRequest) -> Result<Digest, Status> {
    let text = serde_json::to_vec(request);
    let text = text.map_err(|error| Status::internal(error.to_string()))?;
    Ok(Digest::of(&text))
}
