//! Outputs of a workflow that are inputs of it, passed on by no step.

use oc_cwl::{Document, Reference};
use oc_workflow::data::Input;

use crate::documents::{Spec, SpecInput};
use crate::error::RunError;

/// Refuses files that would pass through: steps store what they make, and nobody would copy these into the chosen
/// storage.
pub(super) fn check(document: &Document, spec: &Spec) -> Result<(), RunError> {
    for output in &document.process().outputs {
        let inputs = output.links.references().filter_map(|source| match source {
            Reference::Input(name) => Some(name),
            Reference::Step { .. } => None,
        });
        for input in inputs {
            if spec.inputs.get(input).is_some_and(holds_files) {
                let text = format!(
                    "it is the input `{input}` as it is, and nothing would copy its files into `{}`: have a step make \
                     it, or leave it out and take the files where they lie",
                    spec.output.storage.listing
                );
                return Err(RunError::invalid(format!("outputs.{}", output.id), text));
            }
        }
    }
    Ok(())
}

fn holds_files(input: &SpecInput) -> bool {
    matches!(input.input, Input::Dataset { .. }) || !input.files.is_empty()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use oc_workflow::data::{DatasetQuery, Destination, ListingRef};
    use serde_json::json;

    use super::*;
    use crate::request;

    fn spec(document: &Document) -> Spec {
        let listing = |id: &str| ListingRef {
            owner: oc_kernel::OrgId::from_digest([2; 32]),
            listing: id.parse().unwrap(),
        };
        let plain = |input, list| SpecInput {
            input,
            value: None,
            files: Vec::new(),
            list,
        };
        let red = Input::Dataset {
            dataset: listing("dataset.images"),
            query: DatasetQuery::default(),
        };
        Spec {
            name: "run".to_owned(),
            user: String::new(),
            user_name: String::new(),
            document: document.to_json(),
            inputs: BTreeMap::from([
                ("red".to_owned(), plain(red, true)),
                (
                    "text".to_owned(),
                    plain(Input::Value(json!("hello")), false),
                ),
            ]),
            output: Destination {
                storage: listing("storage.results"),
                prefix: "runs".parse().unwrap(),
            },
            grants: BTreeMap::new(),
        }
    }

    fn workflow(output: &serde_json::Value) -> Document {
        let text = json!({
            "cwlVersion": "v1.2", "class": "Workflow",
            "inputs": [{"id": "red", "type": "File[]"}, {"id": "text", "type": "string"}],
            "outputs": [output],
            "steps": [{
                "id": "say", "in": [{"id": "images", "source": "red"}], "out": ["said"],
                "run": {
                    "class": "CommandLineTool", "baseCommand": ["echo"],
                    "inputs": [{"id": "images", "type": "File[]"}],
                    "outputs": [{"id": "said", "type": "stdout"}]
                }
            }]
        });
        request::document(&text.to_string(), 1 << 20).unwrap()
    }

    #[test]
    fn an_output_that_is_an_input_with_files_is_refused_before_anything_is_held() {
        let raw = workflow(&json!({"id": "raw", "type": "File[]", "outputSource": "red"}));
        let error = check(&raw, &spec(&raw)).unwrap_err().to_string();
        assert!(error.contains("outputs.raw"), "{error}");
        assert!(error.contains("into `storage.results`"), "{error}");
        for output in [
            json!({"id": "said", "type": "File", "outputSource": "say/said"}),
            json!({"id": "text", "type": "string", "outputSource": "text"}),
        ] {
            let document = workflow(&output);
            check(&document, &spec(&document)).unwrap();
        }
    }
}
