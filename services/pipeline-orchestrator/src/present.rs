//! Runs and plans as messages.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oc_kernel::Money;
use oc_proto::pipeline::v1::watch_run_response::Event;
use oc_proto::pipeline::v1::{self as pb, FragmentStateChanged, RunStateChanged, WatchRunResponse};
use oc_proto::types::v1 as types;
use oc_workflow::explain::Explanation;
use oc_workflow::plan::{FragmentPlan, Plan};
use oc_workflow::run::{
    AttemptRef, Cause, Change, FragmentState, Run, RunState, Transition, attempt_id, fragment_id,
};

use crate::documents::RunDocument;
use crate::planning::Planned;

pub(crate) fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

fn cause(cause: &Cause) -> types::Cause {
    types::Cause {
        code: cause.code.clone(),
        text: cause.text.clone(),
        org_id: cause.by.to_string(),
        at_ms: ms(cause.at),
        advice: cause.advice.clone(),
    }
}

pub(crate) const fn run_state(state: RunState) -> pb::RunState {
    match state {
        RunState::Planned => pb::RunState::Planned,
        RunState::Reserving => pb::RunState::Reserving,
        RunState::Running => pb::RunState::Running,
        RunState::Publishing => pb::RunState::Publishing,
        RunState::Releasing => pb::RunState::Releasing,
        RunState::Succeeded => pb::RunState::Succeeded,
        RunState::Failed => pb::RunState::Failed,
        RunState::Cancelled => pb::RunState::Cancelled,
    }
}

const fn fragment_state(state: FragmentState) -> pb::FragmentState {
    match state {
        FragmentState::Waiting => pb::FragmentState::Waiting,
        FragmentState::Ready => pb::FragmentState::Ready,
        FragmentState::Reserving => pb::FragmentState::Reserving,
        FragmentState::Submitted => pb::FragmentState::Submitted,
        FragmentState::Staging => pb::FragmentState::Staging,
        FragmentState::Running => pb::FragmentState::Running,
        FragmentState::Storing => pb::FragmentState::Storing,
        FragmentState::Stopping => pb::FragmentState::Stopping,
        FragmentState::Lost => pb::FragmentState::Lost,
        FragmentState::Succeeded => pb::FragmentState::Succeeded,
        FragmentState::Failed => pb::FragmentState::Failed,
        FragmentState::Cancelled => pb::FragmentState::Cancelled,
    }
}

/// A transition as an event of the run.
pub(crate) fn transition(run: &Run, number: u64, seen: &Transition) -> WatchRunResponse {
    let (fragment_id, event) = match seen.change {
        Change::Run(state) => {
            let state = run_state(state).into();
            (String::new(), Event::RunState(RunStateChanged { state }))
        }
        Change::Fragment { index, state } => {
            let state = fragment_state(state).into();
            let id = fragment_id(run.id(), index).to_string();
            (id, Event::FragmentState(FragmentStateChanged { state }))
        }
    };
    WatchRunResponse {
        number,
        at_ms: ms(seen.cause.at),
        fragment_id,
        event: Some(event),
        cause: Some(cause(&seen.cause)),
    }
}

/// The most that a plan costs: in its only currency, or the one with the highest sum.
fn sum(plan: &Plan) -> (Money, String) {
    let priced = plan.most.iter().max_by_key(|(_, cost)| **cost);
    priced.map_or_else(Default::default, |(currency, cost)| {
        (*cost, currency.clone())
    })
}

/// The currency in which the sum of a plan is shown.
pub(crate) fn currency(plan: &Plan) -> String {
    sum(plan).1
}

/// A plan, with what a run of the same was charged.
pub(crate) fn plan(planned: Planned, expected: Option<Money>) -> pb::PlanRunResponse {
    let (cost, currency) = sum(&planned.plan);
    pb::PlanRunResponse {
        fragments: planned
            .plan
            .fragments
            .iter()
            .map(planned_fragment)
            .collect(),
        data: planned.counted,
        cost_micros: cost.micros(),
        currency,
        warnings: planned.plan.warnings,
        expected_micros: expected.map(Money::micros),
    }
}

fn planned_fragment(plan: &FragmentPlan) -> pb::PlannedFragment {
    let alternatives = plan.alternatives.iter().map(|other| pb::Alternative {
        site: other.site.org.to_string(),
        site_name: other.site.name.clone(),
        reason: other.reason.clone(),
    });
    pb::PlannedFragment {
        index: plan.index,
        steps: plan.steps.clone(),
        site: plan.site.org.to_string(),
        site_name: plan.site.name.clone(),
        listing_id: plan.site.listing.to_string(),
        grant_id: plan
            .site
            .grant
            .map(|grant| grant.to_string())
            .unwrap_or_default(),
        reason: plan.reason.clone(),
        alternatives: alternatives.collect(),
        cores: plan.resources.cores,
        memory_bytes: plan.resources.memory_bytes,
        cost_micros: plan.most.micros(),
        currency: plan.currency.clone(),
        upstream: plan.upstream.clone(),
        wall_seconds: plan.wall_seconds,
    }
}

pub(crate) fn run(document: &RunDocument) -> pb::Run {
    let run = &document.run;
    let (cost, currency) = sum(run.plan());
    let fragments = (0..run.fragments().len()).map(|index| fragment(run, index));
    pb::Run {
        run_id: run.id().to_string(),
        name: document.spec.name.clone(),
        state: run_state(run.state()).into(),
        cause: Some(cause(run.cause())),
        fragments: fragments.collect(),
        started_at_ms: ms(run.started_at()),
        ended_at_ms: run.ended_at().map(ms).unwrap_or_default(),
        user: document.spec.user_name.clone(),
        data: document.counted.clone(),
        cost_micros: cost.micros(),
        charged_micros: charged(document, &currency).map(Money::micros),
        currency,
    }
}

/// What the books charge for a run that is over, in a currency; nothing while some of them are not settled. Work on
/// our own machines costs nothing.
pub(crate) fn charged(document: &RunDocument, currency: &str) -> Option<Money> {
    if !document.run.state().is_final() {
        return None;
    }
    let attempts = document.run.fragments().iter().flat_map(|f| &f.attempts);
    let begun = attempts.filter(|attempt| attempt.submitted_at.is_some() || attempt.unsure);
    let mut charged = Money::ZERO;
    let mut counted = BTreeSet::new();
    for grant in begun.filter_map(|attempt| attempt.place.grant) {
        let charge = document.charged.get(&grant)?;
        if charge.currency == currency && counted.insert(grant) {
            charged = charged.saturating_add(charge.charge);
        }
    }
    Some(charged)
}

fn fragment(run: &Run, index: usize) -> pb::RunFragment {
    let (plan, fragment) = (&run.plan().fragments[index], &run.fragments()[index]);
    let place = fragment.place();
    let last = fragment.attempts.last();
    let attempt = last.map(|attempt| {
        let at = AttemptRef {
            fragment: plan.index,
            attempt: attempt.number,
        };
        attempt_id(run.id(), at).to_string()
    });
    let ended = last
        .and_then(|attempt| attempt.ended_at)
        .filter(|_| fragment.state.is_final());
    let wait = run.fragment_wait(index);
    pb::RunFragment {
        fragment_id: fragment_id(run.id(), plan.index).to_string(),
        steps: plan.steps.clone(),
        site: place.org.to_string(),
        site_name: place.name.clone(),
        reason: run.why_there(index),
        state: fragment_state(fragment.state).into(),
        cause: Some(cause(&fragment.cause)),
        attempt_id: attempt.unwrap_or_default(),
        attempts: u32::try_from(fragment.attempts.len()).unwrap_or(u32::MAX),
        started_at_ms: last
            .and_then(|attempt| attempt.submitted_at)
            .map(ms)
            .unwrap_or_default(),
        ended_at_ms: ended.map(ms).unwrap_or_default(),
        grant_id: place
            .grant
            .map(|grant| grant.to_string())
            .unwrap_or_default(),
        deadline_ms: wait.and_then(|wait| wait.until).map(ms).unwrap_or_default(),
    }
}

pub(crate) fn explanation(
    run: &Run,
    entry: &Explanation,
    last_lines: Vec<String>,
) -> pb::Explanation {
    let index = entry.fragment.and_then(|index| u32::try_from(index).ok());
    let wait = entry.wait.as_ref();
    let until = wait.and_then(|wait| wait.until);
    pb::Explanation {
        fragment_id: index
            .map(|index| fragment_id(run.id(), index).to_string())
            .unwrap_or_default(),
        state: entry.state.to_owned(),
        cause: Some(cause(&entry.cause)),
        waits_for: wait.map(|wait| wait.what.clone()).unwrap_or_default(),
        since_ms: wait.map(|wait| ms(wait.since)).unwrap_or_default(),
        until_ms: until.map(ms).unwrap_or_default(),
        then: wait.map(|wait| wait.then.to_owned()).unwrap_or_default(),
        before: entry.before.as_ref().map(|before| cause(&before.cause)),
        last_lines,
    }
}
