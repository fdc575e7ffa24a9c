//! Objects in our own storage offers: kept by our own compute-provider.

use async_trait::async_trait;
use oc_proto::compute::v1::ListObjectsRequest;
use oc_proto::compute::v1::storage_service_client::StorageServiceClient;
use oc_proto::types::v1::ObjectRef;
use oc_service::{CallError, Channel, Switchboard};

/// Looks objects up.
#[async_trait]
pub(crate) trait Objects: Send + Sync + 'static {
    /// The object of a storage offer with this key.
    async fn find(&self, offer: &str, key: &str) -> Result<Option<ObjectRef>, CallError>;
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
    async fn find(&self, offer: &str, key: &str) -> Result<Option<ObjectRef>, CallError> {
        // Keys come in order, and the key itself is the first of those that begin with it.
        let request = ListObjectsRequest {
            offer: offer.to_owned(),
            prefix: key.to_owned(),
            page_size: 1,
            page_token: String::new(),
        };
        let listed = StorageServiceClient::new(self.0.clone())
            .list_objects(request)
            .await?
            .into_inner();
        Ok(listed.objects.into_iter().find(|object| object.key == key))
    }
}
