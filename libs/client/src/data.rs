//! Our datasets.

use oc_proto::data::v1::*;
use oc_proto::types::v1::ObjectRef;

use crate::error::ClientError;
use crate::request::{Client, segment, segments};

const PREFIX: &str = "/api/data/v1";

/// Calls of the data provider.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a>(&'a Client);

impl Client {
    /// Our datasets.
    pub fn data(&self) -> Data<'_> {
        Data(self)
    }
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Data<'_> {
    /// Our datasets.
    pub async fn datasets(&self) -> Result<Vec<Dataset>, ClientError> {
        let answer: ListDatasetsResponse = self.0.get(&format!("{PREFIX}/datasets"), &[]).await?;
        Ok(answer.datasets)
    }

    /// Makes a dataset.
    pub async fn create_dataset(
        &self,
        request: &CreateDatasetRequest,
    ) -> Result<Dataset, ClientError> {
        let answer: CreateDatasetResponse =
            self.0.post(&format!("{PREFIX}/datasets"), request).await?;
        Ok(answer.dataset.unwrap_or_default())
    }

    /// Takes a dataset back.
    pub async fn delete_dataset(&self, name: &str) -> Result<(), ClientError> {
        let _: DeleteDatasetResponse = self
            .0
            .delete(&format!("{PREFIX}/datasets/{}", segment(name)))
            .await?;
        Ok(())
    }

    /// What is stored as `key`.
    pub async fn file(&self, dataset: &str, key: &str) -> Result<ObjectRef, ClientError> {
        self.0.get(&file_path(dataset, key), &[]).await
    }

    /// Uploads a file that items of the dataset name as `key`; `sha256` is its digest, 64 hexadecimal digits.
    pub async fn upload(
        &self,
        dataset: &str,
        key: &str,
        sha256: &str,
        file: tokio::fs::File,
    ) -> Result<ObjectRef, ClientError> {
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file));
        self.0
            .put_bytes(&file_path(dataset, key), Some(sha256), body)
            .await
    }

    /// Adds a STAC item.
    pub async fn import_item(&self, request: &ImportItemRequest) -> Result<String, ClientError> {
        let path = format!("{PREFIX}/datasets/{}/items", segment(&request.dataset));
        let answer: ImportItemResponse = self.0.post(&path, request).await?;
        Ok(answer.item_id)
    }

    /// How many images match.
    pub async fn count(
        &self,
        request: &CountItemsRequest,
    ) -> Result<CountItemsResponse, ClientError> {
        let path = format!("{PREFIX}/datasets/{}/count", segment(&request.dataset));
        self.0.post(&path, request).await
    }

    /// Reservations that are alive.
    pub async fn reservations(&self) -> Result<Vec<Reservation>, ClientError> {
        let answer: ListReservationsResponse =
            self.0.get(&format!("{PREFIX}/reservations"), &[]).await?;
        Ok(answer.reservations)
    }
}

fn file_path(dataset: &str, key: &str) -> String {
    let (dataset, key) = (segment(dataset), segments(key));
    format!("{PREFIX}/datasets/{dataset}/files/{key}")
}
