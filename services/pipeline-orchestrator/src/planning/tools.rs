//! Whether a workflow is what the owners of its data let read them. They decide at their machines; here the same is
//! asked before anything is held.

use std::collections::BTreeMap;

use oc_kernel::{Classify as _, Digest, Kind};
use oc_proto::compute::v1::Grant;
use oc_proto::federation::v1::GrantState;
use oc_workflow::data::{Input, ListingRef};
use oc_workflow::listed;
use oc_workflow::plan::{InputData, PlanError};
use serde_json::Value;

use super::aside::aside;
use super::world::World;
use crate::context::Context;
use crate::documents::{Spec, SpecInput};
use crate::error::RunError;
use crate::ports::Catalogue;
use crate::request;

/// By grant that lists tools why this run may not be under it.
pub(super) async fn unfit(
    context: &Context,
    grants: &[Grant],
    spec: &Spec,
) -> Result<BTreeMap<String, String>, RunError> {
    let lists_tools = |grant: &&Grant| {
        !grant.given && grant.state() == GrantState::Active && !grant.tools.is_empty()
    };
    let mut grants = grants.iter().filter(lists_tools).peekable();
    let mut unfit = BTreeMap::new();
    if grants.peek().is_none() {
        return Ok(unfit);
    }
    let most_bytes = context.settings.document_bytes;
    let own = names_of(spec.document.clone(), most_bytes).await?;
    for grant in grants {
        let catalogue = context.catalogue.as_ref();
        let reason = match beside(grant, &spec.inputs) {
            Some(reason) => reason,
            None if listed(catalogue, grant, &own, most_bytes).await? => continue,
            None => "and this workflow is none of them, whole and unchanged".to_owned(),
        };
        unfit.insert(grant.grant_id.clone(), reason);
    }
    Ok(unfit)
}

/// Refuses a run that a grant over its data would refuse. The machines of that data's owner are used under the same
/// grants.
pub(super) fn check(world: &mut World, data: &BTreeMap<String, InputData>) -> Result<(), RunError> {
    for (input, its) in data {
        let (Some(names), Some(grant)) = (&its.tools, its.access.grant()) else {
            continue;
        };
        let grant = grant.to_string();
        if let Some(reason) = world.unfit.get(&grant) {
            let reason = format!(
                "{} lets only {} read {}, {reason}: run it as it is listed, or ask {} for a grant without tools",
                its.name,
                names.join(" or "),
                its.what,
                its.name
            );
            let input = input.clone();
            return Err(PlanError::Data { input, reason }.into());
        }
        world.looked_at.insert(grant);
    }
    Ok(())
}

/// What is read that may not be: the tools of a grant read one dataset of it, for what they make of two could tell
/// either.
fn beside(grant: &Grant, inputs: &BTreeMap<String, SpecInput>) -> Option<String> {
    let granted = |of: &ListingRef| {
        let id = of.listing.as_str();
        of.owner.to_string() == grant.provider && grant.listing_ids.iter().any(|it| it == id)
    };
    let mut read: Option<&ListingRef> = None;
    inputs.iter().find_map(|(name, input)| {
        let what = match &input.input {
            Input::Dataset { dataset, .. } => {
                if granted(dataset) && *read.get_or_insert(dataset) == dataset {
                    return None;
                }
                format!("dataset `{}`", dataset.listing)
            }
            _ if !input.files.is_empty() => "a stored file".to_owned(),
            _ if input.value.as_ref().is_some_and(listed::written_in) => {
                "a file written into the job".to_owned()
            }
            _ => return None,
        };
        Some(format!(
            "with nothing beside one dataset of the grant, and `{name}` is {what}"
        ))
    })
}

/// What a list of tools may call a document that is submitted whole.
async fn names_of(document: String, most_bytes: usize) -> Result<Vec<Digest>, RunError> {
    aside(move |_| {
        let document = request::document(&document, most_bytes)?;
        let Ok(whole) = listed::whole(document) else {
            return Ok(Vec::new());
        };
        let names = [
            Some(listed::document_digest(&whole)),
            listed::only_tool(&whole),
        ];
        Ok(names.into_iter().flatten().collect())
    })
    .await
}

async fn listed(
    catalogue: &dyn Catalogue,
    grant: &Grant,
    own: &[Digest],
    most_bytes: usize,
) -> Result<bool, RunError> {
    for tool in &grant.tools {
        let Some((owner, listing)) = tool.split_once('/') else {
            if own.iter().any(|digest| digest.to_string() == *tool) {
                return Ok(true);
            }
            continue;
        };
        // What another lists the data's owner does not let read them.
        if owner != grant.provider {
            continue;
        }
        let found = match catalogue.listing(owner, listing).await {
            Ok(found) => found,
            // Its owner took it back: it allows nothing any more.
            Err(error) if error.kind() == Kind::NotFound => continue,
            Err(error) => return Err(RunError::call(format!("listing `{listing}`"))(error)),
        };
        let body: Value = serde_json::from_str(&found.body_json).unwrap_or_default();
        let cwl = body.get("cwl").and_then(Value::as_str).unwrap_or_default();
        // A partner's listing that cannot be read allows nothing either.
        let names = names_of(cwl.to_owned(), most_bytes)
            .await
            .unwrap_or_default();
        if names.first().is_some_and(|whole| own.contains(whole)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use oc_kernel::OrgId;
    use oc_proto::catalog::v1::{Listing, ListingKind};
    use oc_service::CallError;
    use oc_workflow::data::DatasetQuery;
    use serde_json::json;

    use super::*;

    /// A catalogue with one service in it.
    struct One(Value);

    #[async_trait]
    impl Catalogue for One {
        async fn listing(&self, _: &str, listing_id: &str) -> Result<Listing, CallError> {
            match listing_id {
                "processing.say.1.0" => Ok(Listing {
                    body_json: json!({"cwl": self.0.to_string()}).to_string(),
                    ..Listing::default()
                }),
                _ => Err(CallError::new(Kind::NotFound, "gone")),
            }
        }

        async fn of(&self, _: &str, _: ListingKind) -> Result<Vec<Listing>, CallError> {
            Ok(Vec::new())
        }

        async fn first(&self, _: ListingKind) -> Result<Vec<Listing>, CallError> {
            Ok(Vec::new())
        }
    }

    fn tool(command: &str) -> Value {
        json!({
            "cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": [command],
            "inputs": [{"id": "image", "type": "File", "inputBinding": {"position": 1}}],
            "outputs": [{"id": "said", "type": "stdout"}]
        })
    }

    fn dataset(number: u8, listing: &str) -> SpecInput {
        let dataset = ListingRef {
            owner: OrgId::from_digest([number; 32]),
            listing: listing.parse().unwrap(),
        };
        let query = DatasetQuery::default();
        spec_input(Input::Dataset { dataset, query }, None)
    }

    fn spec_input(input: Input, value: Option<Value>) -> SpecInput {
        SpecInput {
            input,
            value,
            files: Vec::new(),
            list: false,
        }
    }

    fn value(value: Value) -> SpecInput {
        spec_input(Input::Value(value.clone()), Some(value))
    }

    #[test]
    fn a_listed_tool_reads_one_dataset_and_nothing_beside_it() {
        let grant = Grant {
            provider: OrgId::from_digest([2; 32]).to_string(),
            listing_ids: ["dataset.secret", "dataset.demo"].map(str::to_owned).into(),
            ..Grant::default()
        };
        let file = json!([{"class": "File", "contents": "abc", "basename": "a.vrt"}]);
        for (other, what) in [
            (dataset(2, "dataset.secret"), None),
            (value(json!(2600)), None),
            (
                dataset(2, "dataset.demo"),
                Some("`red` is dataset `dataset.secret`"),
            ),
            (
                dataset(2, "dataset.more"),
                Some("`nir` is dataset `dataset.more`"),
            ),
            (
                dataset(1, "dataset.secret"),
                Some("`nir` is dataset `dataset.secret`"),
            ),
            (value(file), Some("`nir` is a file written into the job")),
        ] {
            let red = ("red".to_owned(), dataset(2, "dataset.secret"));
            let inputs = BTreeMap::from([("nir".to_owned(), other), red]);
            let said = beside(&grant, &inputs);
            assert_eq!(said.is_some(), what.is_some(), "{said:?}");
            let (said, what) = (said.unwrap_or_default(), what.unwrap_or_default());
            assert!(said.contains(what), "{said}");
        }
    }

    #[tokio::test]
    async fn a_workflow_is_known_by_its_listing_or_its_digest_and_no_other_is() {
        let most = 1 << 20;
        let catalogue = One(tool("say"));
        let own = names_of(tool("say").to_string(), most).await.unwrap();
        let other = names_of(tool("sha256sum").to_string(), most).await.unwrap();
        let say = "org-2/processing.say.1.0".to_owned();
        let gone = "org-2/processing.gone.1.0".to_owned();
        let other_owner = "org-1/processing.say.1.0".to_owned();
        let digest = own[1].to_string();
        for (tools, own, fits) in [
            (vec![gone.clone(), say.clone()], &own, true),
            (vec![digest], &own, true),
            (vec![say], &other, false),
            (vec![gone], &own, false),
            (vec![other_owner], &own, false),
        ] {
            let grant = Grant {
                provider: "org-2".to_owned(),
                tools,
                ..Grant::default()
            };
            let found = listed(&catalogue, &grant, own, most).await.unwrap();
            assert_eq!(found, fits, "{:?}", grant.tools);
        }
    }
}
