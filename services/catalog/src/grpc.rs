//! `oc.catalog.v1` for our own people and services.

use oc_proto::catalog::v1 as pb;
use oc_proto::catalog::v1::listing_service_server::ListingService;
use oc_proto::catalog::v1::search_service_server::SearchService;
use oc_service::OrStatus;
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use crate::catalog::Catalog;

#[tonic::async_trait]
impl ListingService for Catalog {
    async fn publish_listing(
        &self,
        request: Request<pb::PublishListingRequest>,
    ) -> Result<Response<pb::PublishListingResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let answer = self
            .publish(&caller, request.into_inner())
            .await
            .or_status()?;
        Ok(Response::new(answer))
    }

    async fn withdraw_listing(
        &self,
        request: Request<pb::WithdrawListingRequest>,
    ) -> Result<Response<pb::WithdrawListingResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let answer = self
            .withdraw(&caller, request.into_inner())
            .await
            .or_status()?;
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl SearchService for Catalog {
    async fn search(
        &self,
        request: Request<pb::SearchRequest>,
    ) -> Result<Response<pb::SearchResponse>, Status> {
        let answer = Catalog::search(self, request.into_inner()).or_status()?;
        Ok(Response::new(answer))
    }

    async fn get_listing(
        &self,
        request: Request<pb::GetListingRequest>,
    ) -> Result<Response<pb::GetListingResponse>, Status> {
        let answer = self.get(request.into_inner()).await.or_status()?;
        Ok(Response::new(answer))
    }
}
