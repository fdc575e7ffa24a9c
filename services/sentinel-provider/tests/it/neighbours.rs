//! What the service asks of others, kept in memory: identity and keys, grants, the catalogue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use oc_kernel::OrgId;
use oc_proto::catalog::v1 as catalog;
use oc_proto::catalog::v1::listing_service_server::{ListingService, ListingServiceServer};
use oc_proto::compute::v1 as compute;
use oc_proto::compute::v1::grant_service_server::{GrantService, GrantServiceServer};
use oc_proto::discovery::v1 as discovery;
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_trust::{KeyHistory, LocalSigner, NodeKeys, OrgKeys};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// An organisation with its keys.
pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) node: NodeKeys,
    pub(crate) signer: LocalSigner,
    first_key_set: Vec<u8>,
}

impl Org {
    pub(crate) fn found() -> Self {
        let keys = OrgKeys::generate();
        let first = keys.found().unwrap();
        let first_key_set = first.bytes().to_vec();
        Self {
            id: KeyHistory::start(first).unwrap().org(),
            signer: keys.node.signer(),
            node: keys.node,
            first_key_set,
        }
    }
}

/// discovery, as far as it says who somebody is.
pub(crate) struct Discovery {
    pub(crate) own: OrgId,
    pub(crate) known: BTreeMap<String, Vec<u8>>,
}

impl Discovery {
    pub(crate) fn of(own: &Org, others: &[&Org]) -> Self {
        let known = others.iter().chain([&own]);
        let known = known.map(|org| (org.id.to_string(), org.first_key_set.clone()));
        Self {
            own: own.id,
            known: known.collect(),
        }
    }

    pub(crate) fn router(self) -> Router {
        Routes::new(IdentityServiceServer::new(self)).into_axum_router()
    }
}

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: Request<discovery::GetIdentityRequest>,
    ) -> Result<Response<discovery::GetIdentityResponse>, Status> {
        Ok(Response::new(discovery::GetIdentityResponse {
            org_id: self.own.to_string(),
            name: "South".to_owned(),
            ..discovery::GetIdentityResponse::default()
        }))
    }

    async fn get_key_sets(
        &self,
        request: Request<discovery::GetKeySetsRequest>,
    ) -> Result<Response<discovery::GetKeySetsResponse>, Status> {
        let found = self.known.get(&request.into_inner().org_id).cloned();
        let first = found.ok_or_else(|| Status::not_found("never seen"))?;
        Ok(Response::new(discovery::GetKeySetsResponse {
            key_sets: vec![first],
        }))
    }

    async fn sign(
        &self,
        _: Request<discovery::SignRequest>,
    ) -> Result<Response<discovery::SignResponse>, Status> {
        Err(Status::permission_denied("this service signs nothing"))
    }
}

/// What a grant lets its consumer use.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) listing: String,
    pub(crate) consumer: OrgId,
    pub(crate) generation: u64,
    /// Bytes that may still leave.
    pub(crate) egress: u64,
}

/// compute-provider, as far as it keeps grants.
#[derive(Default)]
pub(crate) struct Grants(pub(crate) Mutex<BTreeMap<String, Granted>>);

impl Grants {
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Routes::new(GrantServiceServer::from_arc(self)).into_axum_router()
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only CheckGrant is asked for"))
}

#[tonic::async_trait]
impl GrantService for Grants {
    async fn check_grant(
        &self,
        request: Request<compute::CheckGrantRequest>,
    ) -> Result<Response<compute::CheckGrantResponse>, Status> {
        let request = request.into_inner();
        let grants = self.0.lock().unwrap();
        let granted = grants.get(&request.grant_id).filter(|granted| {
            granted.listing == request.listing_id
                && granted.consumer.to_string() == request.consumer
        });
        let granted =
            granted.ok_or_else(|| Status::permission_denied("no grant is good for it"))?;
        Ok(Response::new(compute::CheckGrantResponse {
            generation: granted.generation,
            ..compute::CheckGrantResponse::default()
        }))
    }

    async fn count_egress(
        &self,
        request: Request<compute::CountEgressRequest>,
    ) -> Result<Response<compute::CountEgressResponse>, Status> {
        let request = request.into_inner();
        let mut grants = self.0.lock().unwrap();
        let granted = grants.get_mut(&request.grant_id);
        let granted =
            granted.ok_or_else(|| Status::permission_denied("no grant is good for it"))?;
        let left = granted.egress.checked_sub(request.bytes);
        let over = || Status::resource_exhausted(format!("{} bytes may leave", granted.egress));
        granted.egress = left.ok_or_else(over)?;
        Ok(Response::new(compute::CountEgressResponse {}))
    }

    async fn request_grant(
        &self,
        _: Request<compute::RequestGrantRequest>,
    ) -> Result<Response<compute::RequestGrantResponse>, Status> {
        not_here()
    }

    async fn list_grants(
        &self,
        _: Request<compute::ListGrantsRequest>,
    ) -> Result<Response<compute::ListGrantsResponse>, Status> {
        not_here()
    }

    async fn get_grant(
        &self,
        _: Request<compute::GetGrantRequest>,
    ) -> Result<Response<compute::GetGrantResponse>, Status> {
        not_here()
    }

    async fn approve_grant(
        &self,
        _: Request<compute::ApproveGrantRequest>,
    ) -> Result<Response<compute::ApproveGrantResponse>, Status> {
        not_here()
    }

    async fn deny_grant(
        &self,
        _: Request<compute::DenyGrantRequest>,
    ) -> Result<Response<compute::DenyGrantResponse>, Status> {
        not_here()
    }

    async fn revoke_grant(
        &self,
        _: Request<compute::RevokeGrantRequest>,
    ) -> Result<Response<compute::RevokeGrantResponse>, Status> {
        not_here()
    }

    async fn end_grant(
        &self,
        _: Request<compute::EndGrantRequest>,
    ) -> Result<Response<compute::EndGrantResponse>, Status> {
        not_here()
    }

    async fn list_rules(
        &self,
        _: Request<compute::ListRulesRequest>,
    ) -> Result<Response<compute::ListRulesResponse>, Status> {
        not_here()
    }

    async fn put_rule(
        &self,
        _: Request<compute::PutRuleRequest>,
    ) -> Result<Response<compute::PutRuleResponse>, Status> {
        not_here()
    }

    async fn delete_rule(
        &self,
        _: Request<compute::DeleteRuleRequest>,
    ) -> Result<Response<compute::DeleteRuleResponse>, Status> {
        not_here()
    }
}

/// catalog, as far as it takes listings; it can be away.
#[derive(Default)]
pub(crate) struct Catalogue {
    pub(crate) listings: Mutex<BTreeMap<String, catalog::Listing>>,
    pub(crate) away: AtomicBool,
}

impl Catalogue {
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Routes::new(ListingServiceServer::from_arc(self)).into_axum_router()
    }

    fn is_here(&self) -> Result<(), Status> {
        match self.away.load(Ordering::Relaxed) {
            true => Err(Status::unavailable("the catalogue is away")),
            false => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl ListingService for Catalogue {
    async fn publish_listing(
        &self,
        request: Request<catalog::PublishListingRequest>,
    ) -> Result<Response<catalog::PublishListingResponse>, Status> {
        self.is_here()?;
        let listing = request.into_inner().listing.unwrap();
        let id = listing.listing_id.clone();
        self.listings.lock().unwrap().insert(id, listing.clone());
        Ok(Response::new(catalog::PublishListingResponse {
            listing: Some(listing),
        }))
    }

    async fn withdraw_listing(
        &self,
        request: Request<catalog::WithdrawListingRequest>,
    ) -> Result<Response<catalog::WithdrawListingResponse>, Status> {
        self.is_here()?;
        let id = request.into_inner().listing_id;
        self.listings.lock().unwrap().remove(&id);
        Ok(Response::new(catalog::WithdrawListingResponse {}))
    }
}
