//! The API over gRPC: for our own people and services, and for partners.

mod compute;
mod convert;
mod objects;

use oc_proto::compute::v1 as pb;
use oc_proto::compute::v1::grant_service_server::GrantService;
use oc_proto::compute::v1::macaroon_service_server::MacaroonService;
use oc_proto::compute::v1::offer_service_server::OfferService;
use oc_proto::compute::v1::storage_service_server::StorageService;
use oc_service::OrStatus as _;
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use crate::provider::Provider;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OfferService for Provider {
    async fn create_offer(
        &self,
        request: Request<pb::CreateOfferRequest>,
    ) -> Answer<pb::CreateOfferResponse> {
        Ok(Response::new(
            self.api_create_offer(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn list_offers(
        &self,
        _: Request<pb::ListOffersRequest>,
    ) -> Answer<pb::ListOffersResponse> {
        Ok(Response::new(self.api_list_offers().await.or_status()?))
    }

    async fn withdraw_offer(
        &self,
        request: Request<pb::WithdrawOfferRequest>,
    ) -> Answer<pb::WithdrawOfferResponse> {
        Ok(Response::new(
            self.api_withdraw_offer(request.into_inner())
                .await
                .or_status()?,
        ))
    }
}

#[tonic::async_trait]
impl GrantService for Provider {
    async fn request_grant(
        &self,
        request: Request<pb::RequestGrantRequest>,
    ) -> Answer<pb::RequestGrantResponse> {
        Ok(Response::new(
            self.api_request_grant(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Answer<pb::ListGrantsResponse> {
        Ok(Response::new(
            self.api_list_grants(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn get_grant(
        &self,
        request: Request<pb::GetGrantRequest>,
    ) -> Answer<pb::GetGrantResponse> {
        Ok(Response::new(
            self.api_get_grant(request.into_inner()).await.or_status()?,
        ))
    }

    async fn approve_grant(
        &self,
        request: Request<pb::ApproveGrantRequest>,
    ) -> Answer<pb::ApproveGrantResponse> {
        let caller = Principal::of_rpc(&request);
        let answer = self.api_approve_grant(request.into_inner(), &caller).await;
        Ok(Response::new(answer.or_status()?))
    }

    async fn deny_grant(
        &self,
        request: Request<pb::DenyGrantRequest>,
    ) -> Answer<pb::DenyGrantResponse> {
        Ok(Response::new(
            self.api_deny_grant(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn revoke_grant(
        &self,
        request: Request<pb::RevokeGrantRequest>,
    ) -> Answer<pb::RevokeGrantResponse> {
        Ok(Response::new(
            self.api_revoke_grant(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn end_grant(
        &self,
        request: Request<pb::EndGrantRequest>,
    ) -> Answer<pb::EndGrantResponse> {
        Ok(Response::new(
            self.api_end_grant(request.into_inner()).await.or_status()?,
        ))
    }

    async fn check_grant(
        &self,
        request: Request<pb::CheckGrantRequest>,
    ) -> Answer<pb::CheckGrantResponse> {
        Ok(Response::new(
            self.api_check_grant(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn count_egress(
        &self,
        request: Request<pb::CountEgressRequest>,
    ) -> Answer<pb::CountEgressResponse> {
        Ok(Response::new(
            self.api_count_egress(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn list_rules(&self, _: Request<pb::ListRulesRequest>) -> Answer<pb::ListRulesResponse> {
        Ok(Response::new(self.api_list_rules().await.or_status()?))
    }

    async fn put_rule(&self, request: Request<pb::PutRuleRequest>) -> Answer<pb::PutRuleResponse> {
        Ok(Response::new(
            self.api_put_rule(request.into_inner()).await.or_status()?,
        ))
    }

    async fn delete_rule(
        &self,
        request: Request<pb::DeleteRuleRequest>,
    ) -> Answer<pb::DeleteRuleResponse> {
        Ok(Response::new(
            self.api_delete_rule(request.into_inner())
                .await
                .or_status()?,
        ))
    }
}

#[tonic::async_trait]
impl StorageService for Provider {
    async fn list_objects(
        &self,
        request: Request<pb::ListObjectsRequest>,
    ) -> Answer<pb::ListObjectsResponse> {
        let caller = Principal::of_rpc(&request);
        let answer = self.api_list_objects(request.into_inner(), &caller).await;
        Ok(Response::new(answer.or_status()?))
    }

    async fn delete_object(
        &self,
        request: Request<pb::DeleteObjectRequest>,
    ) -> Answer<pb::DeleteObjectResponse> {
        let caller = Principal::of_rpc(&request);
        let answer = self.api_delete_object(request.into_inner(), &caller).await;
        Ok(Response::new(answer.or_status()?))
    }

    async fn set_run_user(
        &self,
        request: Request<pb::SetRunUserRequest>,
    ) -> Answer<pb::SetRunUserResponse> {
        Ok(Response::new(
            self.api_set_run_user(request.into_inner())
                .await
                .or_status()?,
        ))
    }
}

#[tonic::async_trait]
impl MacaroonService for Provider {
    async fn mint_macaroon(
        &self,
        request: Request<pb::MintMacaroonRequest>,
    ) -> Answer<pb::MintMacaroonResponse> {
        Ok(Response::new(
            self.api_mint_macaroon(request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn validate_macaroon(
        &self,
        request: Request<pb::ValidateMacaroonRequest>,
    ) -> Answer<pb::ValidateMacaroonResponse> {
        Ok(Response::new(
            self.api_validate_macaroon(request.into_inner())
                .await
                .or_status()?,
        ))
    }
}
