//! Making, filling and taking back datasets.

use oc_kernel::{Name, ObjectKey};
use oc_objects::{Body, Expected, ObjectBody, ObjectError, ObjectInfo};
use oc_proto::data::v1 as pb;
use oc_store::{Expect, OutboxEvent, StoreError};
use serde_json::json;

use super::Provider;
use crate::convert;
use crate::domain::{AssetFile, DataError, Dataset, State, parse_image};

impl Provider {
    /// Makes a dataset and has it listed.
    ///
    /// # Errors
    /// For a faulty collection, and where the name is taken.
    pub(crate) async fn create_dataset(
        &self,
        request: pb::CreateDatasetRequest,
    ) -> Result<pb::Dataset, DataError> {
        let mut dataset = Dataset::parse(&request.collection_json, self.clock().now_ms())?;
        dataset.price = convert::price(request.price)?;
        dataset.visible_to = convert::organisations(&request.visible_to)?;
        dataset.terms = request.terms;
        let name = dataset.name.clone();
        let events = vec![dataset_event(&name, "offered")];
        let created = self
            .0
            .datasets
            .create(name.as_str(), &dataset, events)
            .await;
        let revision = match created {
            Ok(revision) => revision,
            Err(StoreError::AlreadyExists { .. }) => return Err(self.taken(&name).await?),
            Err(error) => return Err(error.into()),
        };
        self.write_index()
            .apply_dataset(&name, revision, Some(dataset));
        self.0.changed.notify_one();
        self.dataset(name.as_str())
    }

    /// Why a name cannot be used.
    async fn taken(&self, name: &Name) -> Result<DataError, DataError> {
        let found = self.0.datasets.get(name.as_str()).await?;
        Ok(match found.map(|found| found.value.state) {
            Some(State::Leaving) => DataError::Leaving(name.to_string()),
            Some(State::Offered) | None => DataError::Exists(name.to_string()),
        })
    }

    /// One dataset.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(crate) fn dataset(&self, name: &str) -> Result<pb::Dataset, DataError> {
        let summary = self.index().summary(name)?;
        let listed = self.is_listed(&summary.dataset.name);
        Ok(convert::dataset(&summary, listed))
    }

    /// Every dataset, by name.
    pub(crate) fn datasets(&self) -> Vec<pb::Dataset> {
        let summaries = self.index().summaries();
        let datasets = summaries.iter();
        datasets
            .map(|s| convert::dataset(s, self.is_listed(&s.dataset.name)))
            .collect()
    }

    /// Takes a dataset back. It is gone for everyone at once; what it leaves is removed behind.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(crate) async fn delete_dataset(&self, name: &str) -> Result<(), DataError> {
        let name = self.index().dataset(name)?.name.clone();
        let leave = |dataset: &mut Dataset| {
            dataset.state = State::Leaving;
            Ok::<_, DataError>(vec![dataset_event(&dataset.name, "leaving")])
        };
        let left = self.0.datasets.update(name.as_str(), leave).await?;
        self.write_index()
            .apply_dataset(&name, left.revision, Some(left.value));
        self.note_listed(&name, false);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Stores a file of a dataset under its name; the same file again is no error where its digest is
    /// announced.
    ///
    /// # Errors
    /// When there is no such dataset, the name is taken by other bytes, or the bytes are not those announced.
    pub(crate) async fn put_file(
        &self,
        dataset: &str,
        file: &str,
        body: Body,
        expected: Expected,
    ) -> Result<ObjectInfo, DataError> {
        let key = self.file_key(dataset, file)?;
        match self.0.objects.put(&key, body, expected).await {
            Err(ObjectError::AlreadyExists(key)) => {
                let found = self.0.objects.stat(&key).await?;
                match expected.sha256 == Some(found.sha256) {
                    true => Ok(found),
                    false => Err(ObjectError::AlreadyExists(key).into()),
                }
            }
            other => Ok(other?),
        }
    }

    /// What is known about a file that was stored for a dataset.
    ///
    /// # Errors
    /// When there is no such dataset or file.
    pub(crate) async fn file(&self, dataset: &str, file: &str) -> Result<ObjectInfo, DataError> {
        let key = self.file_key(dataset, file)?;
        Ok(self.0.objects.stat(&key).await?)
    }

    fn file_key(&self, dataset: &str, file: &str) -> Result<ObjectKey, DataError> {
        let name = self.index().dataset(dataset)?.name.clone();
        format!("{name}/{file}")
            .parse()
            .map_err(|reason| DataError::name("the name of a file", file, reason))
    }

    /// Adds an image whose files were stored before, or replaces the one of its id.
    ///
    /// # Errors
    /// For a faulty item, and where a file is missing or another one.
    pub(crate) async fn import_item(
        &self,
        dataset: &str,
        item_json: &str,
    ) -> Result<String, DataError> {
        let name = self.index().dataset(dataset)?.name.clone();
        let mut draft = parse_image(&name, item_json)?;
        for (asset, places) in draft.places()? {
            let file = self.stored(&asset, &places).await?;
            draft.add_file(&asset, &file)?;
        }
        let image = draft.into_image();
        let event = OutboxEvent::new(
            "oc.data.image.v1",
            name.as_str(),
            json!({"dataset": name, "id": image.id, "state": "imported"}),
        );
        let key = image.document_key();
        let revision = self
            .0
            .images
            .put(&key, &image, Expect::Any, vec![event])
            .await?;
        let id = image.id.to_string();
        self.apply_image(revision, image)?;
        self.0.changed.notify_one();
        Ok(id)
    }

    async fn stored(&self, asset: &Name, places: &[ObjectKey]) -> Result<ObjectInfo, DataError> {
        for key in places {
            match self.0.objects.stat(key).await {
                Err(ObjectError::NotFound(_)) => {}
                other => return Ok(other?),
            }
        }
        let pointer = format!("/assets/{asset}/href");
        let reason = "no such file was uploaded: put it first, then import the item";
        Err(DataError::stac(pointer, reason))
    }

    /// A file of an image, or a part of it, for our own people.
    ///
    /// # Errors
    /// When there is no such image or file.
    pub(crate) fn asset(
        &self,
        dataset: &str,
        id: &str,
        asset: &str,
    ) -> Result<AssetFile, DataError> {
        let found = self.index().image(dataset, id)?;
        let name = asset.parse::<Name>().ok();
        let file = name.and_then(|name| found.image.files.get(&name));
        file.cloned().ok_or_else(|| DataError::NoAsset {
            image: found.image.id.to_string(),
            asset: asset.chars().take(80).collect(),
        })
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn read(
        &self,
        key: &ObjectKey,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<ObjectBody, DataError> {
        Ok(self.0.objects.get(key, range).await?)
    }
}

pub(super) fn dataset_event(name: &Name, state: &str) -> OutboxEvent {
    let data = json!({"name": name, "state": state});
    OutboxEvent::new("oc.data.dataset.v1", name.as_str(), data)
}
