//! What happens to a dataset after it was taken back. Each step may be repeated, so that a crash between
//! two of them loses nothing.

use oc_kernel::{Name, ObjectKey};
use oc_store::{Expect, OutboxEvent, Query as StoreQuery, StoreError};
use serde_json::json;

use super::Provider;
use super::datasets::dataset_event;
use crate::domain::{DataError, State, listing_id};

impl Provider {
    /// The datasets that are on their way out.
    pub(crate) async fn leaving(&self) -> Result<Vec<Name>, DataError> {
        let datasets = self.0.datasets.all(&StoreQuery::all()).await?;
        let leaving = datasets
            .into_iter()
            .filter(|dataset| dataset.value.state == State::Leaving);
        Ok(leaving.map(|dataset| dataset.value.name).collect())
    }

    /// Withdraws the listing, ends the reservations, removes images and files, and last the dataset.
    pub(crate) async fn remove(&self, name: &Name) -> Result<(), DataError> {
        self.0.catalogue.withdraw(listing_id(name)).await?;
        let of_dataset = StoreQuery::equals("dataset", name.as_str());
        for held in self.0.reservations.all(&of_dataset).await? {
            self.close(&held.key).await?;
        }
        for image in self.0.images.all(&of_dataset).await? {
            let id = &image.value.id;
            let data = json!({"dataset": name, "id": id, "state": "deleted"});
            let event = OutboxEvent::new("oc.data.image.v1", name.as_str(), data);
            let deleted = self
                .0
                .images
                .delete(&image.key, Expect::Any, vec![event])
                .await?;
            if let Some(revision) = deleted {
                self.write_index().apply_image(name, id, revision, None);
            }
        }
        let prefix: ObjectKey = name
            .as_str()
            .parse()
            .map_err(|reason| DataError::name("the name of a folder", name.as_str(), reason))?;
        self.0.objects.delete_prefix(&prefix).await?;
        let events = vec![dataset_event(name, "deleted")];
        match self
            .0
            .datasets
            .delete(name.as_str(), Expect::Any, events)
            .await
        {
            Ok(Some(revision)) => self.write_index().apply_dataset(name, revision, None),
            Ok(None) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
