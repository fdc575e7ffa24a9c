//! Objects in our own storage offers: kept by our own compute-provider.

use std::collections::BTreeMap;

use async_trait::async_trait;
use oc_kernel::{PageRequest, RunId};
use oc_proto::compute::v1::offer_service_client::OfferServiceClient;
use oc_proto::compute::v1::storage_service_client::StorageServiceClient;
use oc_proto::compute::v1::{ListObjectsRequest, ListOffersRequest, OfferKind, SetRunUserRequest};
use oc_proto::types::v1::ObjectRef;
use oc_service::{CallError, Channel, Switchboard};

/// Looks objects up, and says whose the objects of a run are.
#[async_trait]
pub(crate) trait Objects: Send + Sync + 'static {
    /// The object of a storage offer with this key, where it belongs to `user`; with none, whoever it belongs to.
    async fn find(
        &self,
        offer: &str,
        key: &str,
        user: Option<&str>,
    ) -> Result<Option<ObjectRef>, CallError>;

    /// The lengths of all objects of a storage offer whose keys begin so, together.
    async fn bytes_below(&self, offer: &str, prefix: &str) -> Result<u64, CallError>;

    /// The bytes that are free in each storage offer that stands.
    async fn room(&self) -> Result<BTreeMap<String, u64>, CallError>;

    /// What a run leaves in storage of ours belongs to this user.
    async fn give_to(&self, run: RunId, user: &str) -> Result<(), CallError>;
}

/// The compute provider.
pub(crate) struct RemoteObjects(Channel);

impl RemoteObjects {
    pub(crate) fn new(switchboard: &Switchboard, me: &'static str) -> Self {
        Self(switchboard.channel(me, "compute-provider"))
    }
}

#[async_trait]
impl Objects for RemoteObjects {
    async fn find(
        &self,
        offer: &str,
        key: &str,
        user: Option<&str>,
    ) -> Result<Option<ObjectRef>, CallError> {
        // Keys come in order, and the key itself is the first of those that begin with it.
        let request = ListObjectsRequest {
            offer: offer.to_owned(),
            prefix: key.to_owned(),
            page_size: 1,
            page_token: String::new(),
            user_id: user.unwrap_or_default().to_owned(),
        };
        let listed = StorageServiceClient::new(self.0.clone())
            .list_objects(request)
            .await?
            .into_inner();
        Ok(listed.objects.into_iter().find(|object| object.key == key))
    }

    async fn bytes_below(&self, offer: &str, prefix: &str) -> Result<u64, CallError> {
        let mut request = ListObjectsRequest {
            offer: offer.to_owned(),
            prefix: prefix.to_owned(),
            page_size: PageRequest::MAX_SIZE,
            page_token: String::new(),
            user_id: String::new(),
        };
        let mut bytes = 0;
        loop {
            let page = StorageServiceClient::new(self.0.clone())
                .list_objects(request.clone())
                .await?
                .into_inner();
            bytes += page.objects.iter().map(|object| object.length).sum::<u64>();
            if page.next_page_token.is_empty() {
                return Ok(bytes);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn room(&self) -> Result<BTreeMap<String, u64>, CallError> {
        let offers = OfferServiceClient::new(self.0.clone())
            .list_offers(ListOffersRequest {})
            .await?
            .into_inner()
            .offers;
        let standing = offers
            .into_iter()
            .filter(|offer| offer.kind() == OfferKind::Storage && !offer.withdrawn);
        let free = standing.map(|offer| {
            let has = offer.capacity.unwrap_or_default().storage_bytes;
            let used = offer.used.unwrap_or_default().storage_bytes;
            (offer.name, has.saturating_sub(used))
        });
        Ok(free.collect())
    }

    async fn give_to(&self, run: RunId, user: &str) -> Result<(), CallError> {
        let request = SetRunUserRequest {
            run_id: run.to_string(),
            user_id: user.to_owned(),
        };
        StorageServiceClient::new(self.0.clone())
            .set_run_user(request)
            .await?;
        Ok(())
    }
}
