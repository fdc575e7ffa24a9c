//! How long an attempt asks to run: as planned, and after a first attempt no longer than what that has left.

use oc_kernel::RunId;
use oc_proto::federation::v1::GetCapacityRequest;
use oc_proto::types::v1::Limits;
use oc_workflow::plan::{FragmentPlan, Place};
use oc_workflow::run::{AttemptRef, attempt_id};

use super::failure::CallFailure;
use crate::context::Context;
use crate::documents::WallTime;

/// The seconds that an attempt asks for, the same each time: a hold that is asked for again must be the same hold.
pub(super) async fn wall_seconds(
    context: &Context,
    run: RunId,
    at: AttemptRef,
    place: &Place,
    planned: &FragmentPlan,
) -> Result<u64, CallFailure> {
    let Some(grant) = place.grant.filter(|_| at.attempt > 1) else {
        return Ok(planned.wall_seconds);
    };
    let shelf = &context.shelf.wall_times;
    let key = format!("{run}/{}", attempt_id(run, at));
    if let Some(known) = shelf.get(&key).await? {
        return Ok(known.value.seconds);
    }
    let ask = GetCapacityRequest {
        listing_id: place.listing.to_string(),
        grant_id: grant.to_string(),
    };
    let run = run.to_string();
    let answer = context.federation.capacity(place.org, &run, ask).await?;
    let free = answer.free.unwrap_or_default();
    let asked = WallTime {
        seconds: within(planned, &free),
    };
    match shelf.create(&key, &asked, Vec::new()).await {
        Ok(_) => Ok(asked.seconds),
        // Another try of the same was faster.
        Err(error) => match shelf.get(&key).await? {
            Some(known) => Ok(known.value.seconds),
            None => Err(error.into()),
        },
    }
}

/// Where nothing is left a second is asked for, and the site says what is used up.
fn within(planned: &FragmentPlan, free: &Limits) -> u64 {
    let cores = u64::from(planned.resources.cores.max(1));
    let left = planned.wall_seconds.min(free.core_seconds / cores);
    match free.wall_seconds {
        0 => left.max(1),
        longest => left.min(longest).max(1),
    }
}
