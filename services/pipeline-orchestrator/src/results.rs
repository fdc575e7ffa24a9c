//! What a run made.

use oc_kernel::{OrgId, RunId};
use oc_proto::pipeline::v1 as pb;
use oc_service::access::Principal;
use oc_workflow::data::Role;

use crate::documents::KnownFile;
use crate::error::RunError;
use crate::orchestrator::Orchestrator;
use crate::{files, rest};

impl Orchestrator {
    /// What a run made.
    pub(crate) async fn results(
        &self,
        caller: &Principal,
        run_id: &str,
    ) -> Result<pb::GetResultsResponse, RunError> {
        let document = self.document(caller, run_id).await?.value;
        let Some(published) = document.published.as_ref() else {
            let state = document.run.state().as_str();
            return Err(RunError::State(format!(
                "run {run_id} is {state} and has no results"
            )));
        };
        let me = document.run.org();
        let known = document.known_files();
        let mut results = Vec::new();
        for (output, value) in published.outputs.as_object().into_iter().flatten() {
            for location in files::locations(value) {
                let Some(file) = known.get(location) else {
                    continue;
                };
                results.push(pb::ResultFile {
                    output: output.clone(),
                    name: file.object.key.file_name().to_owned(),
                    path: path_of(&me, &document.run.id(), file).unwrap_or_default(),
                    object: Some(files::object_message(&file.object)),
                });
            }
        }
        let manifests: Vec<Vec<u8>> = published
            .manifests
            .iter()
            .map(|manifest| manifest.clone().into_bytes())
            .collect();
        Ok(pb::GetResultsResponse {
            outputs_json: published.outputs.to_string(),
            files: results,
            manifest: manifests.last().cloned().unwrap_or_default(),
            manifests,
        })
    }
}

/// Where our REST API hands out a file: from storage of our own, or for a partner's storage.
fn path_of(me: &OrgId, run: &RunId, file: &KnownFile) -> Option<String> {
    let key = &file.object.key;
    let listing = file.listing.as_ref()?;
    let offer = listing.as_str().strip_prefix(files::STORAGE)?;
    (file.object.role == Role::Objects).then(|| match file.object.owner == *me {
        true => format!("/api/compute/v1/storage/{offer}/objects/{key}"),
        false => format!("{}/runs/{run}/files/{key}", rest::PREFIX),
    })
}
