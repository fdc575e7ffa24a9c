//! Whether a run that is over can be started again. It keeps its plan, and so the grants that it was planned under:
//! where one of them is over, only a new run helps.

use std::collections::BTreeSet;

use oc_proto::compute::v1::Grant;
use oc_proto::federation::v1::GrantState;
use oc_proto::json::Word as _;
use oc_workflow::run::{FragmentState, RunState};

use crate::context::Context;
use crate::documents::RunDocument;
use crate::error::RunError;

/// Refuses what cannot be started again.
///
/// # Errors
/// A run that goes on or succeeded, and one with a grant that is over.
pub(crate) async fn check(context: &Context, document: &RunDocument) -> Result<(), RunError> {
    let id = document.run.id();
    let state = document.run.state();
    if !matches!(state, RunState::Failed | RunState::Cancelled) {
        let state = state.as_str();
        return Err(RunError::State(format!(
            "run {id} is {state}: only one that failed or was cancelled can be started again"
        )));
    }
    let used = used(document);
    if used.is_empty() {
        return Ok(());
    }
    let grants = context.grants.all().await;
    let grants = grants.map_err(RunError::call("our grants cannot be read"))?;
    let dead = used.into_iter().find_map(|grant| {
        let why = over(&grant, &grants)?;
        Some(format!(
            "run {id} was planned under {grant}, which {why}, and a retry keeps the plan: start a new run with \
             `opencloud run`"
        ))
    });
    dead.map_or(Ok(()), |text| Err(RunError::State(text)))
}

/// The grants that what is left to do needs: of machines, data and storage.
fn used(document: &RunDocument) -> BTreeSet<String> {
    let planned = document.run.plan().fragments.iter();
    let left = planned
        .zip(document.run.fragments())
        .filter(|(_, fragment)| fragment.state != FragmentState::Succeeded);
    let machines = left.filter_map(|(plan, _)| plan.site.grant.map(|grant| grant.to_string()));
    machines
        .chain(document.spec.grants.values().cloned())
        .collect()
}

/// What a grant is, where nothing begins under it any more.
fn over(grant: &str, grants: &[Grant]) -> Option<String> {
    match grants.iter().find(|known| known.grant_id == grant) {
        None => Some("is not known here any more".to_owned()),
        Some(known) if known.state() == GrantState::Active => None,
        Some(known) => Some(format!("is {}", known.state().word())),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use oc_kernel::GrantId;
    use oc_workflow::plan::Access;

    use super::*;
    use crate::orchestrator::tests::document_with;

    #[test]
    fn what_is_left_to_do_needs_the_grants_of_its_machines_and_its_data() {
        let grant = GrantId::new();
        let access = Access::Granted {
            grant,
            ends: Timestamp::MAX,
        };
        let mut document = document_with(access);
        let images = ("org/dataset.images".to_owned(), "grant-of-data".to_owned());
        document.spec.grants.insert(images.0, images.1);
        let needed = [grant.to_string(), "grant-of-data".to_owned()];
        assert_eq!(used(&document), needed.into());
        assert!(used(&document_with(Access::Own)).is_empty());
    }

    #[test]
    fn a_grant_that_is_in_force_is_not_over_and_any_other_says_what_it_is() {
        let grant = |id: &str, state: GrantState| Grant {
            grant_id: id.to_owned(),
            state: state.into(),
            ..Grant::default()
        };
        let grants = [
            grant("grant-1", GrantState::Active),
            grant("grant-2", GrantState::Ended),
        ];
        let over = |id: &str| over(id, &grants).unwrap_or_default();
        assert_eq!(over("grant-1"), "");
        assert_eq!(over("grant-2"), "is ended");
        assert_eq!(over("grant-3"), "is not known here any more");
    }
}
