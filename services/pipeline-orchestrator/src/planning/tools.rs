//! Whether a workflow is what the owners of its data let read them. They decide at their machines; here the same is
//! asked before anything is held.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::{Classify as _, Digest, Kind};
use oc_workflow::data::Input;
use oc_workflow::listed;
use oc_workflow::plan::{InputData, PlanError};
use serde_json::Value;

use super::aside::aside;
use super::world::World;
use crate::context::Context;
use crate::documents::Spec;
use crate::error::RunError;
use crate::ports::Catalogue;
use crate::request;

/// Refuses a workflow that is none of the tools that a grant over its data lists.
pub(super) async fn check(
    context: &Context,
    world: &World,
    spec: &Spec,
    data: &BTreeMap<String, InputData>,
    now: Timestamp,
) -> Result<(), RunError> {
    let all = data;
    let restricted = data.iter().filter_map(|(input, data)| {
        let names = data.tools.as_ref()?;
        let Input::Dataset { dataset, .. } = &spec.inputs.get(input)?.input else {
            return None;
        };
        Some((input, data, names, world.grant(dataset, now)?))
    });
    let most_bytes = context.settings.document_bytes;
    for (input, data, names, grant) in restricted {
        let beside = |(_, its): &(&String, &InputData)| its.org != data.org;
        if let Some((other, its)) = all.iter().find(beside) {
            let reason = format!(
                "{} lets {} read {} with nothing of others beside it, and `{other}` is {}'s: what it makes of both \
                 could tell the data",
                data.name,
                names.join(" or "),
                data.what,
                its.name
            );
            let input = input.clone();
            return Err(PlanError::Data { input, reason }.into());
        }
        let own = names_of(spec.document.clone(), most_bytes).await?;
        if !listed(context.catalogue.as_ref(), &grant.tools, &own, most_bytes).await? {
            let (owner, what) = (&data.name, &data.what);
            let reason = format!(
                "{owner} lets only {} read {what}, and this workflow is not that, whole and unchanged: run it as it \
                 is listed",
                names.join(" or ")
            );
            let input = input.clone();
            return Err(PlanError::Data { input, reason }.into());
        }
    }
    Ok(())
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
    tools: &[String],
    own: &[Digest],
    most_bytes: usize,
) -> Result<bool, RunError> {
    for tool in tools {
        let Some((owner, listing)) = tool.split_once('/') else {
            if own.iter().any(|digest| digest.to_string() == *tool) {
                return Ok(true);
            }
            continue;
        };
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
    use oc_proto::catalog::v1::{Listing, ListingKind};
    use oc_service::CallError;
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

    #[tokio::test]
    async fn a_workflow_is_known_by_its_listing_or_its_digest_and_no_other_is() {
        let most = 1 << 20;
        let catalogue = One(tool("say"));
        let own = names_of(tool("say").to_string(), most).await.unwrap();
        let other = names_of(tool("sha256sum").to_string(), most).await.unwrap();
        let say = "org-2/processing.say.1.0".to_owned();
        let gone = "org-2/processing.gone.1.0".to_owned();
        let digest = own[1].to_string();
        for (tools, own, fits) in [
            (vec![gone.clone(), say.clone()], &own, true),
            (vec![digest], &own, true),
            (vec![say], &other, false),
            (vec![gone], &own, false),
        ] {
            let found = listed(&catalogue, &tools, own, most).await.unwrap();
            assert_eq!(found, fits, "{tools:?}");
        }
    }
}
