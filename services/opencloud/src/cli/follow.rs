//! The events of a run as lines for people, while it goes on.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use oc_proto::json::Word as _;
use oc_proto::pipeline::v1::{FragmentState, Run, RunState, WatchRunResponse, watch_run_response};

use super::output::safe;
use super::{Context, Outcome, when};

/// Shows a run's events until it is over.
pub(crate) async fn follow(context: &Context, run_id: &str, quiet: bool) -> Outcome {
    let pipeline = context.client.pipeline();
    let parts = Parts::of(&pipeline.run(run_id).await?);
    let events = pipeline.watch(run_id, 0).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = event?;
        if !quiet && let Some(line) = line(&event, &parts) {
            anstream::eprintln!("{}  {}", when::show(event.at_ms), safe(&line));
        }
    }
    Ok(())
}

/// Most steps by which a part of a run is named.
const NAMED: usize = 3;

/// What people call the fragments of a run: by their steps and where they run; one that is alone needs no name.
struct Parts(BTreeMap<String, String>);

impl Parts {
    fn of(run: &Run) -> Self {
        if run.fragments.len() < 2 {
            return Self(BTreeMap::new());
        }
        let names = run.fragments.iter().map(|fragment| {
            let steps = &fragment.steps;
            let more = if steps.len() > NAMED { ", ..." } else { "" };
            let steps = steps[..steps.len().min(NAMED)].join(", ");
            let name = format!("{steps}{more} at {}", fragment.site_name);
            (fragment.fragment_id.clone(), name)
        });
        Self(names.collect())
    }

    fn name(&self, fragment_id: &str) -> &str {
        self.0.get(fragment_id).map_or("all steps", String::as_str)
    }
}

fn line(event: &WatchRunResponse, parts: &Parts) -> Option<String> {
    use watch_run_response::Event;
    let cause = event
        .cause
        .as_ref()
        .map(|cause| cause.text.as_str())
        .unwrap_or_default();
    let because = if cause.is_empty() {
        String::new()
    } else {
        format!(": {cause}")
    };
    Some(match event.event.as_ref()? {
        Event::RunState(change) => {
            format!(
                "run {}{because}",
                RunState::try_from(change.state).ok()?.word()
            )
        }
        Event::FragmentState(change) => {
            let state = FragmentState::try_from(change.state).ok()?.word();
            format!("{}: {state}{because}", parts.name(&event.fragment_id))
        }
        Event::Step(step) if step.started => format!("step {} begins", step.step),
        Event::Step(step) => format!("step {} {}", step.step, ended(step.exit_code)),
        Event::Log(log) => format!("{} | {}", log.step, log.text),
    })
}

/// How a step ended. What a signal or a limit ended has no code.
fn ended(exit_code: i32) -> String {
    match exit_code {
        0 => "is done".to_owned(),
        code if code < 0 => "was ended before it was done".to_owned(),
        code => format!("ended with exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_a_code_is_told_in_words() {
        assert_eq!(ended(0), "is done");
        assert_eq!(ended(7), "ended with exit code 7");
        assert!(!ended(-1).contains('1'), "{}", ended(-1));
    }
}
