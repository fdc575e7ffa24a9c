//! Search over everything offered.

use oc_proto::catalog::v1::*;

use crate::error::ClientError;
use crate::request::{Client, segment};

const PREFIX: &str = "/api/catalog/v1";

/// Calls of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'a>(&'a Client);

impl Client {
    /// Search over everything offered.
    pub fn catalog(&self) -> Catalog<'_> {
        Catalog(self)
    }
}

/// What to search for; the default finds everything.
#[derive(Debug, Clone, Default)]
pub struct ListingFilter {
    /// Words that must occur.
    pub text: Option<String>,
    /// Kinds: dataset, compute, storage, processing, workflow.
    pub kinds: Vec<String>,
    /// OrgId or name of the owner.
    pub owner: Option<String>,
    /// Facets, `key:value`.
    pub facets: Vec<String>,
    /// `west,south,east,north`.
    pub bbox: Option<String>,
    /// Begin, RFC 3339.
    pub from: Option<String>,
    /// End, RFC 3339.
    pub to: Option<String>,
    /// Leave stale ones out.
    pub fresh_only: bool,
    /// Most results.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub page_token: Option<String>,
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Catalog<'_> {
    /// Finds listings.
    pub async fn search(&self, filter: &ListingFilter) -> Result<SearchResponse, ClientError> {
        let mut query: Vec<(&str, String)> = Vec::new();
        let single = [
            ("text", &filter.text),
            ("owner", &filter.owner),
            ("bbox", &filter.bbox),
            ("from", &filter.from),
            ("to", &filter.to),
            ("page_token", &filter.page_token),
        ];
        for (name, value) in single {
            query.extend(value.clone().map(|value| (name, value)));
        }
        query.extend(filter.kinds.iter().map(|kind| ("kind", kind.clone())));
        query.extend(filter.facets.iter().map(|facet| ("facet", facet.clone())));
        query.extend(filter.fresh_only.then(|| ("fresh_only", "true".to_owned())));
        query.extend(filter.limit.map(|limit| ("page_size", limit.to_string())));
        self.0.get(&format!("{PREFIX}/listings"), &query).await
    }

    /// Every listing there is, a page of 1,000 with each call.
    pub async fn all(&self) -> Result<Vec<Listing>, ClientError> {
        let mut filter = ListingFilter {
            limit: Some(1000),
            ..ListingFilter::default()
        };
        let mut listings = Vec::new();
        loop {
            let page = self.search(&filter).await?;
            listings.extend(page.listings);
            if page.next_page_token.is_empty() {
                return Ok(listings);
            }
            filter.page_token = Some(page.next_page_token);
        }
    }

    /// One listing.
    pub async fn listing(
        &self,
        owner: &str,
        listing_id: &str,
    ) -> Result<GetListingResponse, ClientError> {
        let path = format!(
            "{PREFIX}/listings/{}/{}",
            segment(owner),
            segment(listing_id)
        );
        self.0.get(&path, &[]).await
    }
}
