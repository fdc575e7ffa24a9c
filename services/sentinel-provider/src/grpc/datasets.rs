//! `oc.data.v1.DatasetService`.

use oc_proto::data::v1 as pb;
use oc_proto::data::v1::dataset_service_server::DatasetService;
use oc_service::OrStatus;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::provider::Provider;

/// The face of a [`Provider`] to our own people.
pub(crate) struct Face(pub(crate) Provider);

#[tonic::async_trait]
impl DatasetService for Face {
    async fn create_dataset(
        &self,
        request: Request<pb::CreateDatasetRequest>,
    ) -> Result<Response<pb::CreateDatasetResponse>, Status> {
        let dataset = self
            .0
            .create_dataset(request.into_inner())
            .await
            .or_status()?;
        Ok(Response::new(pb::CreateDatasetResponse {
            dataset: Some(dataset),
        }))
    }

    async fn list_datasets(
        &self,
        _: Request<pb::ListDatasetsRequest>,
    ) -> Result<Response<pb::ListDatasetsResponse>, Status> {
        let datasets = self.0.datasets();
        Ok(Response::new(pb::ListDatasetsResponse { datasets }))
    }

    async fn delete_dataset(
        &self,
        request: Request<pb::DeleteDatasetRequest>,
    ) -> Result<Response<pb::DeleteDatasetResponse>, Status> {
        let name = request.into_inner().name;
        self.0.delete_dataset(&name).await.or_status()?;
        Ok(Response::new(pb::DeleteDatasetResponse {}))
    }

    async fn import_item(
        &self,
        request: Request<pb::ImportItemRequest>,
    ) -> Result<Response<pb::ImportItemResponse>, Status> {
        let pb::ImportItemRequest { dataset, item_json } = request.into_inner();
        let item_id = self.0.import_item(&dataset, &item_json).await.or_status()?;
        Ok(Response::new(pb::ImportItemResponse { item_id }))
    }

    async fn count_items(
        &self,
        request: Request<pb::CountItemsRequest>,
    ) -> Result<Response<pb::CountItemsResponse>, Status> {
        let pb::CountItemsRequest { dataset, query } = request.into_inner();
        let query = convert::query(query).or_status()?;
        let count = self.0.count(&dataset, &query).or_status()?;
        Ok(Response::new(convert::count(count)))
    }

    async fn list_reservations(
        &self,
        _: Request<pb::ListReservationsRequest>,
    ) -> Result<Response<pb::ListReservationsResponse>, Status> {
        let reservations = self.0.reservations().await.or_status()?;
        let reservations = reservations.iter().map(convert::reservation).collect();
        Ok(Response::new(pb::ListReservationsResponse { reservations }))
    }
}
