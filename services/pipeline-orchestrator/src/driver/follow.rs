//! The events of an attempt at its site: progress and the end for the run, lines and steps for people.

use futures::StreamExt as _;
use jiff::Timestamp;
use oc_kernel::{OrgId, Taken};
use oc_proto::federation::v1::watch_response::Event as SiteEvent;
use oc_proto::federation::v1::{self as fed, AttemptState};
use oc_proto::pipeline::v1::watch_run_response::Event as PeopleEvent;
use oc_proto::pipeline::v1::{RunLogLine, RunStep, WatchRunResponse};
use oc_proto::types::v1::Cause as Said;
use oc_workflow::run::{
    AttemptRef, AttemptResult, Cause, End, Event, Phase, attempt_id, code, fragment_id,
};

use super::failure::CallFailure;
use super::perform::{Task, Told};
use crate::files;

/// Events taken at once when they come quickly.
const BATCH: usize = 256;

/// Follows an attempt until it ends. When the connection ends first that is a failure, and the next
/// try goes on where this one stopped.
pub(super) async fn watch(task: &Task, at: AttemptRef) -> Result<Vec<Told>, CallFailure> {
    let attempt = attempt_id(task.run(), at).to_string();
    let mut following = Following::new(task, at);
    let from = task.shared.taken(&attempt);
    if let Some(end) = following.follow(&attempt, from).await? {
        return Ok(vec![Told::Event(Event::Ended { at, end })]);
    }
    Err(CallFailure {
        code: code::UNREACHABLE,
        text: "the connection to the site ended".to_owned(),
        lasting: false,
    })
}

/// The same for an attempt that is being stopped.
pub(super) async fn to_the_end(task: &Task, at: AttemptRef) -> Result<Vec<Told>, CallFailure> {
    watch(task, at).await
}

struct Following<'a> {
    task: &'a Task,
    at: AttemptRef,
    result: Option<AttemptResult>,
}

impl<'a> Following<'a> {
    fn new(task: &'a Task, at: AttemptRef) -> Self {
        Self {
            task,
            at,
            result: None,
        }
    }

    async fn follow(&mut self, attempt: &str, after: u64) -> Result<Option<End>, CallFailure> {
        let ask = fed::WatchRequest {
            attempt_id: attempt.to_owned(),
            after,
        };
        let (site, run) = (self.task.other(), self.task.run().to_string());
        let events = self
            .task
            .limited(async { Ok(self.task.context.federation.watch(site, &run, ask).await?) });
        let mut events = events.await?.ready_chunks(BATCH);
        while let Some(batch) = events.next().await {
            let mut lines = Vec::new();
            let mut last = 0;
            let mut end = None;
            let mut broken = None;
            for event in batch {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => {
                        broken = Some(CallFailure::from(error));
                        break;
                    }
                };
                last = event.number;
                let at_ms = event.at_ms;
                match event.event {
                    Some(SiteEvent::Log(line)) => {
                        let line = self.within(attempt, line);
                        lines.extend(line.map(|line| self.seen(at_ms, log(line))));
                    }
                    Some(SiteEvent::Step(step)) => lines.push(self.seen(at_ms, step_event(step))),
                    Some(SiteEvent::Result(result)) => self.result = Some(read(result)?),
                    Some(SiteEvent::State(change)) => {
                        // The change itself is taken only once the run has it.
                        self.flush(attempt, last.saturating_sub(1), &mut lines)
                            .await;
                        end = self.state(change).await?;
                    }
                    None => {}
                }
            }
            if let Some(end) = end {
                return self.with_result(attempt, end, after).await.map(Some);
            }
            self.flush(attempt, last, &mut lines).await;
            if let Some(broken) = broken {
                return Err(CallFailure {
                    lasting: false,
                    ..broken
                });
            }
        }
        Ok(None)
    }

    /// What a success has made may lie before the place we went on from.
    async fn with_result(
        &mut self,
        attempt: &str,
        end: End,
        after: u64,
    ) -> Result<End, CallFailure> {
        let End::Succeeded(_) = end else {
            return Ok(end);
        };
        if self.result.is_none() && after > 0 {
            self.find_result(attempt).await?;
        }
        match self.result.take() {
            Some(result) => Ok(End::Succeeded(result)),
            None => {
                let text = "the site says it succeeded and shows no result".to_owned();
                Ok(End::Failed(self.task.cause(code::INTERNAL, text)))
            }
        }
    }

    async fn find_result(&mut self, attempt: &str) -> Result<(), CallFailure> {
        let ask = fed::WatchRequest {
            attempt_id: attempt.to_owned(),
            after: 0,
        };
        let (site, run) = (self.task.other(), self.task.run().to_string());
        let mut events = self.task.context.federation.watch(site, &run, ask).await?;
        while let Some(event) = events.next().await {
            if let Some(SiteEvent::Result(result)) = event?.event {
                self.result = Some(read(result)?);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn flush(&self, attempt: &str, taken: u64, lines: &mut Vec<WatchRunResponse>) {
        if lines.is_empty() {
            return;
        }
        let told = Told::Lines {
            attempt: attempt.to_owned(),
            taken,
            events: std::mem::take(lines),
        };
        self.task.tell(told).await;
    }

    /// The line, while there is room for it; once a word that there is none.
    fn within(&self, attempt: &str, line: fed::LogLine) -> Option<fed::LogLine> {
        match self.task.shared.log(attempt, &line.text) {
            Taken::Kept => Some(line),
            Taken::Cut => Some(fed::LogLine {
                text: "the log of this attempt is cut here: it is too long".to_owned(),
                ..line
            }),
            Taken::Dropped => None,
        }
    }

    fn seen(&self, at_ms: u64, event: PeopleEvent) -> WatchRunResponse {
        WatchRunResponse {
            at_ms,
            fragment_id: fragment_id(self.task.run(), self.at.fragment).to_string(),
            event: Some(event),
            ..WatchRunResponse::default()
        }
    }

    async fn state(&self, change: fed::StateChanged) -> Result<Option<End>, CallFailure> {
        let phase = match change.state() {
            AttemptState::Staging => Phase::Staging,
            AttemptState::Running => Phase::Running,
            AttemptState::Storing => Phase::Storing,
            AttemptState::Succeeded => {
                let nothing = AttemptResult {
                    outputs: serde_json::Value::Null,
                    objects: Vec::new(),
                };
                return Ok(Some(End::Succeeded(nothing)));
            }
            AttemptState::Failed => {
                return Ok(Some(End::Failed(self.cause(change, code::TOOL_FAILED))));
            }
            AttemptState::Cancelled => {
                return Ok(Some(End::Cancelled(self.cause(change, code::CANCELLED))));
            }
            AttemptState::Lost => return Ok(Some(End::Lost(self.cause(change, code::LEASE_LOST)))),
            AttemptState::Unspecified | AttemptState::Submitted => return Ok(None),
        };
        let event = Event::Progress { at: self.at, phase };
        self.task.tell(Told::Event(event)).await;
        Ok(None)
    }

    fn cause(&self, change: fed::StateChanged, otherwise: &str) -> Cause {
        let said = change.cause.unwrap_or_default();
        let now = self.task.context.clock.now();
        end_cause(said, otherwise, self.task.other(), now)
    }
}

/// What a site says of an end as a cause: with its word where that is one that we know.
pub(crate) fn end_cause(said: Said, otherwise: &str, by: OrgId, now: Timestamp) -> Cause {
    let word = match said.code.as_str() {
        "wall-limit" => code::TIMED_OUT,
        "grant-ended" => code::GRANT_EXPIRED,
        word => word,
    };
    let cause = Cause::new(word, said.text, by, now);
    match cause.advice.is_empty() {
        true => Cause::new(otherwise, cause.text, by, now),
        false => cause,
    }
}

fn log(line: fed::LogLine) -> PeopleEvent {
    PeopleEvent::Log(RunLogLine {
        step: line.step,
        stream: line.stream,
        text: line.text,
    })
}

fn step_event(step: fed::StepEvent) -> PeopleEvent {
    PeopleEvent::Step(RunStep {
        step: step.step,
        started: step.started,
        exit_code: step.exit_code,
    })
}

fn read(result: fed::AttemptResult) -> Result<AttemptResult, CallFailure> {
    let outputs = serde_json::from_str(&result.outputs_json).map_err(CallFailure::defect)?;
    let objects = result.objects.iter().map(files::object);
    let objects = objects
        .collect::<Result<_, _>>()
        .map_err(CallFailure::defect)?;
    Ok(AttemptResult { outputs, objects })
}
