//! The use cases that both faces call.

use std::sync::Arc;

use oc_kernel::Clock;
use oc_proto::catalog::v1 as pb;
use oc_service::access::Principal;
use oc_trust::ListingKind;

use crate::convert;
use crate::domain::{CatalogError, Index, Own, Partners};

/// The catalogue.
#[derive(Clone)]
pub(crate) struct Catalog {
    pub(crate) own: Arc<Own>,
    pub(crate) partners: Arc<Partners>,
    pub(crate) index: Arc<Index>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Catalog {
    pub(crate) fn search(
        &self,
        request: pb::SearchRequest,
    ) -> Result<pb::SearchResponse, CatalogError> {
        let query = convert::query(request)?;
        let now_ms = self.clock.now_ms();
        let found = self.index.search(&query, now_ms)?;
        Ok(convert::found(&found, now_ms))
    }

    pub(crate) async fn get(
        &self,
        request: pb::GetListingRequest,
    ) -> Result<pb::GetListingResponse, CatalogError> {
        let key = convert::key(&request.owner, &request.listing_id)?;
        let now_ms = self.clock.now_ms();
        let unknown = || CatalogError::Unknown {
            owner: request.owner,
            id: request.listing_id,
        };
        let entry = self.index.get(&key, now_ms).ok_or_else(unknown)?;
        let envelope = if entry.own {
            self.own.envelope(&key.id)
        } else {
            self.partners.envelope(&key).await?
        };
        Ok(pb::GetListingResponse {
            listing: Some(convert::listing(&entry, now_ms)),
            envelope: envelope.unwrap_or_default(),
        })
    }

    /// What a person lists stays until it is withdrawn; what a service lists it must renew.
    pub(crate) async fn publish(
        &self,
        caller: &Principal,
        request: pb::PublishListingRequest,
    ) -> Result<pb::PublishListingResponse, CatalogError> {
        let offer = convert::offer(request.listing)?;
        let by_hand = caller.user().is_some();
        if by_hand && offer.kind != ListingKind::Workflow {
            return Err(CatalogError::NotByHand(offer.kind));
        }
        let entry = self.own.publish(offer, by_hand).await?;
        let listing = convert::listing(&entry, self.clock.now_ms());
        Ok(pb::PublishListingResponse {
            listing: Some(listing),
        })
    }

    pub(crate) async fn withdraw(
        &self,
        caller: &Principal,
        request: pb::WithdrawListingRequest,
    ) -> Result<pb::WithdrawListingResponse, CatalogError> {
        let id = convert::listing_id(&request.listing_id)?;
        if caller.user().is_some() && !id.as_str().starts_with("workflow.") {
            let kinds = ListingKind::ALL.into_iter();
            let mut kinds = kinds.filter(|kind| id.as_str().starts_with(kind.as_str()));
            return Err(kinds.next().map_or_else(
                || CatalogError::Unknown {
                    owner: "we".to_owned(),
                    id: id.to_string(),
                },
                CatalogError::NotByHand,
            ));
        }
        self.own.withdraw(&id).await?;
        Ok(pb::WithdrawListingResponse {})
    }
}
