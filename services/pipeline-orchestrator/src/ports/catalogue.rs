//! What we and our partners offer.

use async_trait::async_trait;
use oc_proto::catalog::v1::search_service_client::SearchServiceClient;
use oc_proto::catalog::v1::{GetListingRequest, Listing, ListingKind, SearchRequest};
use oc_service::{CallError, Channel, Switchboard};

/// Listings a page.
const PAGE: u32 = 100;

/// Looks listings up.
#[async_trait]
pub(crate) trait Catalogue: Send + Sync + 'static {
    /// One listing.
    async fn listing(&self, owner: &str, listing_id: &str) -> Result<Listing, CallError>;

    /// Every listing of a kind that an organisation has, by its id or name, stale ones too.
    async fn of(&self, owner: &str, kind: ListingKind) -> Result<Vec<Listing>, CallError>;

    /// The first page of the listings of a kind.
    async fn first(&self, kind: ListingKind) -> Result<Vec<Listing>, CallError>;
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
    async fn listing(&self, owner: &str, listing_id: &str) -> Result<Listing, CallError> {
        let request = GetListingRequest {
            owner: owner.to_owned(),
            listing_id: listing_id.to_owned(),
        };
        let answer = SearchServiceClient::new(self.0.clone())
            .get_listing(request)
            .await?;
        Ok(answer.into_inner().listing.unwrap_or_default())
    }

    async fn of(&self, owner: &str, kind: ListingKind) -> Result<Vec<Listing>, CallError> {
        let mut client = SearchServiceClient::new(self.0.clone());
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = SearchRequest {
                owner: owner.to_owned(),
                kinds: vec![kind.into()],
                page_size: PAGE,
                page_token,
                ..SearchRequest::default()
            };
            let page = client.search(request).await?.into_inner();
            all.extend(page.listings);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            page_token = page.next_page_token;
        }
    }

    async fn first(&self, kind: ListingKind) -> Result<Vec<Listing>, CallError> {
        let request = SearchRequest {
            kinds: vec![kind.into()],
            page_size: PAGE,
            ..SearchRequest::default()
        };
        let mut client = SearchServiceClient::new(self.0.clone());
        Ok(client.search(request).await?.into_inner().listings)
    }
}
