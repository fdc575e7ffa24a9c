//! The catalogue as these tests play it: a map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use oc_proto::catalog::v1::listing_service_server::{ListingService, ListingServiceServer};
use oc_proto::catalog::v1::search_service_server::{SearchService, SearchServiceServer};
use oc_proto::catalog::v1::*;
use oc_service::App;
use oc_service::access::{Access, Role};
use tonic::{Request as Rpc, Response as Answer, Status};

/// What is listed, by id.
#[derive(Clone, Default)]
pub(crate) struct Catalogue(pub(crate) Arc<Mutex<BTreeMap<String, Listing>>>);

impl Catalogue {
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn list(&self, listing: Listing) {
        self.0
            .lock()
            .unwrap()
            .insert(listing.listing_id.clone(), listing);
    }
}

#[tonic::async_trait]
impl ListingService for Catalogue {
    async fn publish_listing(
        &self,
        request: Rpc<PublishListingRequest>,
    ) -> Result<Answer<PublishListingResponse>, Status> {
        self.list(request.into_inner().listing.unwrap());
        Ok(Answer::new(PublishListingResponse::default()))
    }

    async fn withdraw_listing(
        &self,
        request: Rpc<WithdrawListingRequest>,
    ) -> Result<Answer<WithdrawListingResponse>, Status> {
        self.0
            .lock()
            .unwrap()
            .remove(&request.into_inner().listing_id);
        Ok(Answer::new(WithdrawListingResponse {}))
    }
}

#[tonic::async_trait]
impl SearchService for Catalogue {
    async fn search(&self, _: Rpc<SearchRequest>) -> Result<Answer<SearchResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn get_listing(
        &self,
        request: Rpc<GetListingRequest>,
    ) -> Result<Answer<GetListingResponse>, Status> {
        let id = request.into_inner().listing_id;
        let listing = self.0.lock().unwrap().get(&id).cloned();
        let listing = listing.ok_or_else(|| Status::not_found("no such listing"))?;
        Ok(Answer::new(GetListingResponse {
            listing: Some(listing),
            ..Default::default()
        }))
    }
}

pub(crate) fn app(catalogue: Catalogue) -> App {
    let methods = [
        "ListingService/PublishListing",
        "ListingService/WithdrawListing",
        "SearchService/Search",
        "SearchService/GetListing",
    ];
    App {
        grpc: tonic::service::Routes::new(ListingServiceServer::new(catalogue.clone()))
            .add_service(SearchServiceServer::new(catalogue)),
        descriptors: oc_proto::DESCRIPTORS,
        access: methods
            .map(|method| Access::rpc(format!("/oc.catalog.v1.{method}"), Role::Service))
            .to_vec(),
        ..App::new("catalog")
    }
}
