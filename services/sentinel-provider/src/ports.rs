//! What this service asks of others: is a grant good, and list what we offer.

use oc_kernel::OrgId;
use oc_proto::catalog::v1::listing_service_client::ListingServiceClient;
use oc_proto::catalog::v1::{Listing, PublishListingRequest, WithdrawListingRequest};
use oc_proto::compute::v1::grant_service_client::GrantServiceClient;
use oc_proto::compute::v1::{CheckGrantRequest, CountEgressRequest};
use oc_service::{CallError, Channel, Switchboard};
use oc_trust::Grant;
use oc_trust::envelope::Unverified;

use crate::NAME;

/// Grants, which compute-provider keeps.
#[derive(Debug, Clone)]
pub(crate) struct Grants(GrantServiceClient<Channel>);

impl Grants {
    pub(crate) fn new(switchboard: &Switchboard) -> Self {
        let channel = switchboard.channel(NAME, "compute-provider");
        Self(GrantServiceClient::new(channel))
    }

    /// The grant, where it lets `consumer` use the listing now.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn check(
        &self,
        grant_id: &str,
        listing_id: &str,
        consumer: &OrgId,
    ) -> Result<Checked, CallError> {
        let request = CheckGrantRequest {
            grant_id: grant_id.to_owned(),
            listing_id: listing_id.to_owned(),
            consumer: consumer.to_string(),
        };
        let answer = self.0.clone().check_grant(request).await?.into_inner();
        // Our own compute-provider has verified it. One that cannot be read is taken for the narrowest.
        let grant = Unverified::<Grant>::parse(&answer.envelope);
        Ok(Checked {
            generation: answer.generation,
            lists_tools: grant.map_or(true, |grant| grant.claim().tools.is_some()),
        })
    }

    /// Counts bytes of a listing that are about to leave under a grant.
    ///
    /// # Errors
    /// When the grant does not let that many leave; then nothing is counted.
    pub(crate) async fn count_egress(
        &self,
        grant_id: &str,
        listing_id: &str,
        consumer: &OrgId,
        bytes: u64,
    ) -> Result<(), CallError> {
        let request = CountEgressRequest {
            grant_id: grant_id.to_owned(),
            listing_id: listing_id.to_owned(),
            consumer: consumer.to_string(),
            bytes,
        };
        self.0.clone().count_egress(request).await?;
        Ok(())
    }
}

/// A grant that is good.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checked {
    pub(crate) generation: u64,
    /// Whether it lists the tools that may read its data.
    pub(crate) lists_tools: bool,
}

/// The catalogue, where our datasets are listed.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue(ListingServiceClient<Channel>);

impl Catalogue {
    pub(crate) fn new(switchboard: &Switchboard) -> Self {
        Self(ListingServiceClient::new(
            switchboard.channel(NAME, "catalog"),
        ))
    }

    pub(crate) async fn publish(&self, listing: Listing) -> Result<(), CallError> {
        let request = PublishListingRequest {
            listing: Some(listing),
        };
        self.0.clone().publish_listing(request).await?;
        Ok(())
    }

    pub(crate) async fn withdraw(&self, listing_id: String) -> Result<(), CallError> {
        let request = WithdrawListingRequest { listing_id };
        self.0.clone().withdraw_listing(request).await?;
        Ok(())
    }
}
