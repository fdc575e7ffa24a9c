//! Counting the images that inputs ask for, before anything is held.

use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use oc_proto::federation::v1::CountRequest;
use oc_proto::pipeline::v1 as pb;
use oc_workflow::data::{DatasetQuery, Input, ListingRef};
use oc_workflow::plan::Price;

use super::{World, filtered, first_of, grant_text, late, price_of};
use crate::context::Context;
use crate::documents::Spec;
use crate::error::RunError;
use crate::request;

/// A dataset that was counted.
pub(super) struct Counted {
    pub(super) message: pb::CountedInput,
    pub(super) of: ListingRef,
    pub(super) owner_name: String,
    pub(super) price: Price,
    pub(super) assets: usize,
    pub(super) list: bool,
}

/// Counts every dataset that the inputs name, all at once.
pub(super) async fn count(
    context: &Context,
    world: &World,
    run: &str,
    spec: &Spec,
    now: jiff::Timestamp,
) -> Result<Vec<Counted>, RunError> {
    let datasets = spec
        .inputs
        .iter()
        .filter_map(|(name, one)| match &one.input {
            Input::Dataset { dataset, query } => Some((name, one.list, dataset, query)),
            _ => None,
        });
    let counts = datasets.map(async |(input, list, dataset, query)| {
        count_one(context, world, run, input, list, dataset, query, now).await
    });
    try_join_all(counts).await
}

#[expect(clippy::too_many_arguments, reason = "they are one question")]
async fn count_one(
    context: &Context,
    world: &World,
    run: &str,
    input: &str,
    list: bool,
    dataset: &ListingRef,
    query: &DatasetQuery,
    now: jiff::Timestamp,
) -> Result<Counted, RunError> {
    let owner = dataset.owner.to_string();
    let found = context
        .catalogue
        .listing(&owner, dataset.listing.as_str())
        .await;
    let what = format!("input `{input}`: dataset `{}`", dataset.listing);
    let found = found.map_err(RunError::call(what.clone()))?;
    let access = world.access(dataset, now);
    let who = first_of([&found.owner_name, &dataset.owner.short(), &String::new()]);
    if let Some(reason) = access.refusal(&format!("dataset `{}`", dataset.listing), &who, now) {
        let input = input.to_owned();
        return Err(oc_workflow::plan::PlanError::Data { input, reason }.into());
    }
    let ask = CountRequest {
        listing_id: dataset.listing.to_string(),
        query: Some(request::query_message(query)),
        grant_id: grant_text(&access),
    };
    let limit = Duration::from_secs(context.settings.planning_seconds);
    let counted = context.federation.count(dataset.owner, run, ask.clone());
    let counted = tokio::time::timeout(limit, counted).await;
    let counted = counted.unwrap_or_else(|_| Err(late(&who)));
    let counted = counted.map_err(RunError::call(what))?;
    if counted.count == 0 {
        let count = |query| -> BoxFuture<'_, _> {
            let ask = CountRequest {
                query: Some(query),
                ..ask.clone()
            };
            let counted = context.federation.count(dataset.owner, run, ask);
            Box::pin(async { Ok(counted.await?.count) })
        };
        // Whoever cannot say why in time has still said that there is none.
        let blamed = tokio::time::timeout(limit, filtered::blame(query, &count)).await;
        if let Ok(Ok(Some(filtered::Blame { without, reason }))) = blamed {
            return Err(RunError::Filtered {
                input: input.to_owned(),
                dataset: dataset.listing.to_string(),
                without,
                reason,
            });
        }
        let nearest = match counted.nearest_item_id.as_str() {
            "" => "the dataset is empty".to_owned(),
            id => match jiff::Timestamp::from_millisecond(counted.nearest_ms) {
                Ok(at) => format!("the nearest is `{id}` of {at:.0}"),
                Err(_) => format!("the nearest is `{id}`"),
            },
        };
        return Err(RunError::NoImages {
            input: input.to_owned(),
            dataset: dataset.listing.to_string(),
            nearest,
        });
    }
    let counted = Counted {
        message: pb::CountedInput {
            input: input.to_owned(),
            dataset: Some(pb::ListingRef {
                owner,
                listing_id: dataset.listing.to_string(),
            }),
            count: counted.count,
            bytes: counted.bytes,
            ..pb::CountedInput::default()
        },
        of: dataset.clone(),
        owner_name: who,
        price: price_of(&found),
        assets: query.assets.len(),
        list,
    };
    if !list && (counted.message.count, counted.assets) != (1, 1) {
        let count = counted.message.count;
        return Err(RunError::invalid(
            format!("inputs.{input}"),
            format!("it takes one file and {count} images match: name one asset and limit 1"),
        ));
    }
    Ok(counted)
}
