//! The values that flow between fragments of a run, and what comes out of it.

use std::collections::BTreeMap;

use oc_cwl::{Document, Fragment, Limits, Reference};
use oc_workflow::data::{Input, ListingRef};
use oc_workflow::run::Hold;
use serde_json::{Map, Value};

use crate::documents::{KnownFile, RunDocument};
use crate::files;

/// A value of a run that cannot be had; a defect here or in what a site said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ValueError(pub(crate) String);

impl RunDocument {
    /// The whole workflow.
    pub(crate) fn workflow(&self) -> Result<Document, ValueError> {
        let limits = Limits {
            bytes: usize::MAX,
            ..Limits::default()
        };
        Document::parse(&self.spec.document, "workflow", &limits)
            .map_err(|error| ValueError(format!("the stored workflow cannot be read: {error}")))
    }

    /// A fragment as a workflow of its own.
    pub(crate) fn fragment(
        &self,
        workflow: &Document,
        index: usize,
    ) -> Result<Fragment, ValueError> {
        let steps = &self.run.plan().fragments[index].steps;
        workflow
            .fragment(steps)
            .map_err(|error| ValueError(format!("fragment {index} cannot be cut out: {error}")))
    }

    /// Every value that is known: the inputs, and the outputs of fragments that are done.
    pub(crate) fn values(
        &self,
        workflow: &Document,
    ) -> Result<BTreeMap<Reference, Value>, ValueError> {
        let mut values = BTreeMap::new();
        for name in self.spec.inputs.keys() {
            if let Some(value) = self.input_value(name) {
                values.insert(Reference::Input(name.clone()), value);
            }
        }
        for (index, state) in self.run.fragments().iter().enumerate() {
            let Some(result) = state.counting().and_then(|attempt| attempt.result.as_ref()) else {
                continue;
            };
            for output in self.fragment(workflow, index)?.outputs {
                let value = result
                    .outputs
                    .get(&output.id)
                    .cloned()
                    .unwrap_or(Value::Null);
                values.insert(output.reference, value);
            }
        }
        Ok(values)
    }

    /// The value of an input; files of a dataset are known once they are reserved.
    fn input_value(&self, name: &str) -> Option<Value> {
        let input = self.spec.inputs.get(name)?;
        if let Some(value) = &input.value {
            return Some(value.clone());
        }
        let items = self.reserved.get(name)?;
        let assets = items.iter().flat_map(|item| &item.assets);
        let objects = assets.filter_map(|asset| asset.object.as_ref());
        let mut values: Vec<Value> = objects
            .filter_map(|object| files::object(object).ok())
            .map(|object| files::file(&object))
            .collect();
        match input.list {
            true => Some(Value::Array(values)),
            false => values.pop(),
        }
    }

    /// Every file that the run knows, by its location.
    pub(crate) fn known_files(&self) -> BTreeMap<String, KnownFile> {
        let mut known = BTreeMap::new();
        let mut learn = |file: KnownFile| known.insert(files::location(&file.object), file);
        for (name, input) in &self.spec.inputs {
            for file in &input.files {
                learn(file.clone());
            }
            if let Input::Dataset { dataset, .. } = &input.input {
                self.reserved_files(name, dataset)
                    .into_iter()
                    .for_each(|file| {
                        learn(file);
                    });
            }
        }
        for fragment in self.run.fragments() {
            let results = fragment
                .counting()
                .and_then(|attempt| attempt.result.as_ref());
            for object in results.into_iter().flat_map(|result| &result.objects) {
                learn(KnownFile {
                    object: object.clone(),
                    listing: Some(self.spec.output.storage.listing.clone()),
                    reservation: None,
                });
            }
        }
        known
    }

    fn reserved_files(&self, input: &str, dataset: &ListingRef) -> Vec<KnownFile> {
        let held = self.run.data().iter().rev();
        let mut held = held.filter(|data| data.input == input);
        let reservation = held.find_map(|data| match &data.hold {
            Hold::Held { reservation, .. } => Some(reservation.clone()),
            Hold::Wanted | Hold::Released => None,
        });
        let items = self.reserved.get(input).into_iter().flatten();
        let objects = items
            .flat_map(|item| &item.assets)
            .filter_map(|asset| asset.object.as_ref());
        objects
            .filter_map(|object| files::object(object).ok())
            .map(|object| KnownFile {
                object,
                listing: Some(dataset.listing.clone()),
                reservation: reservation.clone(),
            })
            .collect()
    }

    /// The job of a fragment, files still named as here.
    pub(crate) fn job(
        &self,
        workflow: &Document,
        fragment: &Fragment,
    ) -> Result<Map<String, Value>, ValueError> {
        let values = self.values(workflow)?;
        let mut job = Map::new();
        for input in &fragment.inputs {
            match values.get(&input.reference) {
                Some(value) => {
                    job.insert(input.id.clone(), value.clone());
                }
                // A default of the workflow's input stands in the fragment's document.
                None if matches!(input.reference, Reference::Input(_)) => {}
                None => {
                    return Err(ValueError(format!(
                        "`{}` has no value yet",
                        input.reference
                    )));
                }
            }
        }
        Ok(job)
    }

    /// The CWL output object of the whole run.
    pub(crate) fn outputs(&self) -> Result<Value, ValueError> {
        let workflow = self.workflow()?;
        let values = self.values(&workflow)?;
        let outputs = workflow
            .process()
            .gather_outputs(|reference| values.get(reference));
        outputs.map(Value::Object).map_err(ValueError)
    }

    /// One output of a run that has published, with the files in it.
    pub(crate) fn output(&self, name: &str) -> Option<(Value, Vec<KnownFile>)> {
        let value = self.published.as_ref()?.outputs.get(name)?.clone();
        let known = self.known_files();
        let files = files::locations(&value).into_iter();
        let files = files
            .filter_map(|location| known.get(location).cloned())
            .collect();
        Some((value, files))
    }
}
