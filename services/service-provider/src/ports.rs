//! What this service needs of others.

use async_trait::async_trait;
use oc_kernel::{Classify, Code, Kind};
use oc_proto::catalog::v1::listing_service_client::ListingServiceClient;
use oc_proto::catalog::v1::{Listing, ListingKind, PublishListingRequest, WithdrawListingRequest};
use oc_service::{CallError, Channel, Switchboard};
use serde_json::json;

use crate::domain::service::{Outline, Service};

/// Why the catalogue did not do it.
#[derive(Debug, thiserror::Error)]
#[error("the catalogue did not take it: {0}")]
pub struct CatalogueError(#[from] pub CallError);

impl Classify for CatalogueError {
    fn kind(&self) -> Kind {
        self.0.kind()
    }

    fn code(&self) -> Option<Code> {
        self.0.code()
    }
}

/// Where services are listed.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// Lists something, or renews what is listed.
    ///
    /// # Errors
    /// When the catalogue cannot be reached or refuses.
    async fn publish(&self, listing: Listing) -> Result<(), CatalogueError>;

    /// Takes a listing back; taking it back again is no error.
    ///
    /// # Errors
    /// When the catalogue cannot be reached.
    async fn withdraw(&self, listing_id: &str) -> Result<(), CatalogueError>;
}

/// The catalogue service.
pub(crate) struct RemoteCatalogue(Channel);

impl RemoteCatalogue {
    pub(crate) fn new(switchboard: &Switchboard, me: &'static str) -> Self {
        Self(switchboard.channel(me, "catalog"))
    }
}

#[async_trait]
impl Catalogue for RemoteCatalogue {
    async fn publish(&self, listing: Listing) -> Result<(), CatalogueError> {
        let request = PublishListingRequest {
            listing: Some(listing),
        };
        let published = ListingServiceClient::new(self.0.clone())
            .publish_listing(request)
            .await;
        published
            .map(|_| ())
            .map_err(|status| CatalogueError(status.into()))
    }

    async fn withdraw(&self, listing_id: &str) -> Result<(), CatalogueError> {
        let request = WithdrawListingRequest {
            listing_id: listing_id.to_owned(),
        };
        let withdrawn = ListingServiceClient::new(self.0.clone())
            .withdraw_listing(request)
            .await;
        withdrawn
            .map(|_| ())
            .map_err(|status| CatalogueError(status.into()))
    }
}

/// A service as the catalogue lists it.
pub(crate) fn listing(service: &Service, outline: &Outline, ttl_seconds: u32) -> Listing {
    let parameters = |list: &[(String, String)]| -> Vec<_> {
        list.iter()
            .map(|(id, kind)| json!({ "id": id, "type": kind }))
            .collect()
    };
    let body = json!({
        "name": service.name,
        "version": service.version,
        "cwl": service.cwl,
        "images": service.images,
        "inputs": parameters(&outline.inputs),
        "outputs": parameters(&outline.outputs),
    });
    let title = outline
        .label
        .clone()
        .unwrap_or_else(|| service.name.to_string());
    Listing {
        listing_id: service.listing_id(),
        kind: ListingKind::Processing.into(),
        name: service.name.to_string(),
        title: title.chars().take(200).collect(),
        summary: service.description.clone(),
        facets: [
            ("class".to_owned(), outline.class.to_owned()),
            ("version".to_owned(), service.version.to_string()),
        ]
        .into(),
        body_json: body.to_string(),
        visible_to: service.visible_to.iter().map(ToString::to_string).collect(),
        ttl_seconds,
        ..Listing::default()
    }
}
