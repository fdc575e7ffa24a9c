//! Why a run is where it is, for both faces: its causes with the names of whom they speak of, and the last words of the
//! tools that failed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::OrgId;
use oc_proto::pipeline::v1::watch_run_response::Event as SeenEvent;
use oc_proto::pipeline::v1::{self as pb, RunLogLine, WatchRunResponse};
use oc_service::access::Principal;
use oc_workflow::explain::{self, Around, LOG_LINES};
use oc_workflow::run::{Run, fragment_id};

use crate::error::RunError;
use crate::orchestrator::Orchestrator;
use crate::present;

impl Orchestrator {
    /// Why a run is where it is.
    pub(crate) async fn explain(
        &self,
        caller: &Principal,
        run_id: &str,
    ) -> Result<pb::ExplainRunResponse, RunError> {
        let run = self.document(caller, run_id).await?.value.run;
        let me = self.context.door.identity().await?.clone();
        let mut entries = explain::entries(&run).into_iter();
        let events = match entries.any(|entry| explain::is_of_tools(&entry.cause)) {
            true => self.events_after(run.id(), 0).await?.0,
            false => Vec::new(),
        };
        let around = Surroundings::of(&run, (me.org, me.name), events);
        Ok(explanation(&run, &around, self.context.clock.now()))
    }
}

/// The answer about a run.
fn explanation(run: &Run, around: &Surroundings, now: Timestamp) -> pb::ExplainRunResponse {
    let entries = explain::entries(run);
    let entries = entries.iter().map(|entry| {
        let of_tools = entry
            .fragment
            .filter(|_| explain::is_of_tools(&entry.cause));
        let last_lines = of_tools.map(|at| around.last_lines(at));
        present::explanation(run, entry, last_lines.unwrap_or_default())
    });
    pb::ExplainRunResponse {
        text: explain::text(run, around, now),
        entries: entries.collect(),
    }
}

/// Names of organisations, and the last log lines of each fragment.
struct Surroundings {
    names: BTreeMap<OrgId, String>,
    lines: BTreeMap<usize, Vec<String>>,
}

impl Surroundings {
    /// As a run knows them, with who we are and the events that people have seen.
    fn of(run: &Run, me: (OrgId, String), events: Vec<WatchRunResponse>) -> Self {
        let places = run.fragments().iter().map(|fragment| fragment.place());
        let places = places.map(|place| (place.org, place.name.clone()));
        let data = run.data().iter();
        let data = data.map(|data| (data.provider, data.name.clone()));
        let names = data.chain(places).chain([me]);
        let mut lines = BTreeMap::new();
        let numbers = (0..run.fragments().len()).map(|at| {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            (fragment_id(run.id(), number).to_string(), at)
        });
        let numbers: BTreeMap<String, usize> = numbers.collect();
        for event in events {
            if let (Some(SeenEvent::Log(line)), Some(at)) =
                (event.event, numbers.get(&event.fragment_id))
            {
                let of_one = run.plan().fragments[*at].steps.len() == 1;
                let lines: &mut Vec<String> = lines.entry(*at).or_default();
                if lines.len() == LOG_LINES {
                    lines.remove(0);
                }
                lines.push(shown(line, of_one));
            }
        }
        Self {
            names: names.collect(),
            lines,
        }
    }
}

/// A line of log; of which step it is where there are several.
fn shown(line: RunLogLine, of_one: bool) -> String {
    match of_one || line.step.is_empty() {
        true => line.text,
        false => format!("{}: {}", line.step, line.text),
    }
}

impl Around for Surroundings {
    fn name_of(&self, org: OrgId) -> Option<String> {
        self.names.get(&org).cloned()
    }

    fn last_lines(&self, fragment: usize) -> Vec<String> {
        self.lines.get(&fragment).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod play;
#[cfg(test)]
mod tests;
