//! What people can do with runs. Both faces call this.

use std::sync::Arc;

use async_stream::stream;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use oc_kernel::{Money, Name, PageRequest, PageToken, RunId};
use oc_proto::pipeline::v1::watch_run_response::Event as SeenEvent;
use oc_proto::pipeline::v1::{self as pb, WatchRunResponse};
use oc_service::access::{Principal, Role};
use oc_store::{Query, StoreError, Versioned};
use oc_workflow::canonical;
use oc_workflow::run::{DataNeed, Event, Run, RunState};
use tokio::sync::{mpsc, oneshot};

use crate::again;
use crate::clearing;
use crate::context::Context;
use crate::documents::{Operation, RunDocument};
use crate::driver::Word;
use crate::error::RunError;
use crate::hub::Hub;
use crate::planning::{self, Planned, Purpose, user_of};
use crate::present;

/// How often, and after which pause, a word to a run is said.
const SAYINGS: u32 = 100;
const SAY_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

/// Runs among which an earlier one of the same workflow is looked for.
const LOOKED_AT: u32 = 50;

/// A watcher looks again after this long even without news.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs of workflows.
#[derive(Clone)]
pub(crate) struct Orchestrator {
    pub(crate) context: Arc<Context>,
    hub: Hub,
    /// Runs that are to be driven.
    begin: mpsc::Sender<RunId>,
}

/// True where a caller may see a run: its own, or any for an operator and for our services.
pub(crate) fn may_see(caller: &Principal, document: &RunDocument) -> bool {
    Role::Operator.admits(caller)
        || matches!(caller, Principal::Service(_))
        || document.spec.user == user_of(caller).0
}

/// Who says something to a run. What is kept of it outlives accounts, so it names nobody.
fn role_of(caller: &Principal, document: &RunDocument) -> &'static str {
    match caller {
        Principal::Service(_) => "a service of ours",
        _ if document.spec.user == user_of(caller).0 => "its user",
        _ => "an operator",
    }
}

impl Orchestrator {
    pub(crate) fn new(context: Arc<Context>, hub: Hub, begin: mpsc::Sender<RunId>) -> Self {
        Self {
            context,
            hub,
            begin,
        }
    }

    /// Where each step would run, why, and what it would cost. Holds nothing.
    pub(crate) async fn plan(
        &self,
        caller: &Principal,
        run: pb::RunRequest,
    ) -> Result<pb::PlanRunResponse, RunError> {
        // Partners are asked for a run; this one will never be more than a plan.
        let id = RunId::new().to_string();
        let planned = planning::plan_run(&self.context, caller, &id, run, Purpose::Show).await?;
        let expected = self.expected(&planned).await?;
        Ok(present::plan(planned, expected))
    }

    /// What the user's last run of the same workflow that succeeded was charged.
    async fn expected(&self, planned: &Planned) -> Result<Option<Money>, RunError> {
        let query = Query::equals("user", planned.spec.user.clone()).descending();
        let page = PageRequest {
            size: LOOKED_AT,
            token: None,
        };
        let earlier = self.context.shelf.runs.list(&query, &page).await?;
        let currency = present::currency(&planned.plan);
        Ok(earlier.items.iter().find_map(|seen| {
            let run = &seen.value;
            let same = run.run.state() == RunState::Succeeded
                && run.spec.document == planned.spec.document
                && present::currency(run.run.plan()) == currency;
            same.then(|| present::charged(run, &currency)).flatten()
        }))
    }

    /// Starts a run. The same operation again gives the same run.
    pub(crate) async fn start(
        &self,
        caller: &Principal,
        request: pb::StartRunRequest,
    ) -> Result<pb::Run, RunError> {
        if self.hub.count() >= self.context.settings.runs {
            return Err(RunError::Full(self.context.settings.runs));
        }
        let asked = request.run.unwrap_or_default();
        let id = self
            .operation(caller, &request.operation_id, &asked)
            .await?;
        if let Some(known) = self.context.shelf.runs.get(&id.to_string()).await? {
            return Ok(present::run(&known.value));
        }
        let run = id.to_string();
        let planned = planning::plan_run(&self.context, caller, &run, asked, Purpose::Run).await?;
        let document = self.new_document(id, planned).await?;
        clearing::expect(&self.context, id).await?;
        match self
            .context
            .shelf
            .runs
            .create(&id.to_string(), &document, Vec::new())
            .await
        {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.drive(id).await;
        Ok(present::run(&document))
    }

    /// The run of an operation; a new one for an operation that was not seen before.
    async fn operation(
        &self,
        caller: &Principal,
        operation: &str,
        asked: &pb::RunRequest,
    ) -> Result<RunId, RunError> {
        let new = RunId::new();
        if operation.is_empty() {
            return Ok(new);
        }
        let name: Name = operation
            .parse()
            .map_err(|error| RunError::malformed("operation_id", error))?;
        let value = serde_json::to_value(asked);
        let value = value.map_err(|error| RunError::malformed("run", error))?;
        let request = oc_kernel::Digest::of(&canonical(&value)).to_string();
        let key = format!("{}/{name}", user_of(caller).0);
        let made = Operation {
            run: new,
            request: request.clone(),
        };
        match self
            .context
            .shelf
            .operations
            .create(&key, &made, Vec::new())
            .await
        {
            Ok(_) => Ok(new),
            Err(StoreError::AlreadyExists { .. }) => {
                let known = self.context.shelf.operations.require(&key).await?.value;
                match known.request == request {
                    true => Ok(known.run),
                    false => Err(RunError::Operation(operation.to_owned())),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn new_document(&self, id: RunId, planned: Planned) -> Result<RunDocument, RunError> {
        let me = self.context.door.identity().await?.org;
        let needs = planned
            .needs
            .into_iter()
            .map(|(input, provider, name)| DataNeed {
                input,
                provider,
                name,
            });
        let policy = self.context.settings.policy.clone();
        let now = self.context.clock.now();
        Ok(RunDocument {
            run: Run::new(id, me, planned.plan, needs.collect(), policy, now),
            spec: planned.spec,
            counted: planned.counted,
            reserved: Default::default(),
            pending: Vec::new(),
            published: None,
            charged: Default::default(),
        })
    }

    async fn drive(&self, run: RunId) {
        // The worker that drives runs lives as long as the service does.
        let _ = self.begin.send(run).await;
    }

    /// One run.
    pub(crate) async fn get(&self, caller: &Principal, run_id: &str) -> Result<pb::Run, RunError> {
        Ok(present::run(&self.document(caller, run_id).await?.value))
    }

    pub(crate) async fn document(
        &self,
        caller: &Principal,
        run_id: &str,
    ) -> Result<Versioned<RunDocument>, RunError> {
        let id: RunId = run_id.parse()?;
        let found = self.context.shelf.runs.get(&id.to_string()).await?;
        let found = found.filter(|seen| may_see(caller, &seen.value));
        found.ok_or_else(|| RunError::NoRun(id.to_string()))
    }

    /// The caller's runs, newest first; an operator sees all.
    pub(crate) async fn list(
        &self,
        caller: &Principal,
        size: u32,
        token: &str,
    ) -> Result<pb::ListRunsResponse, RunError> {
        let all = Role::Operator.admits(caller) || matches!(caller, Principal::Service(_));
        let query = match all {
            true => Query::all(),
            false => Query::equals("user", user_of(caller).0),
        };
        let page = PageRequest {
            size,
            token: PageToken::parse(token)?,
        };
        let page = self
            .context
            .shelf
            .runs
            .list(&query.descending(), &page)
            .await?;
        let next = page.next.as_ref().map(|token| token.as_str().to_owned());
        Ok(pb::ListRunsResponse {
            runs: page
                .items
                .iter()
                .map(|seen| present::run(&seen.value))
                .collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    /// Events of a run after a number, until it is over.
    pub(crate) async fn watch(
        &self,
        caller: &Principal,
        run_id: &str,
        after: u64,
    ) -> Result<BoxStream<'static, WatchRunResponse>, RunError> {
        let run = self.document(caller, run_id).await?.value.run.id();
        let this = self.clone();
        let events = stream! {
            let mut after = after;
            loop {
                // Subscribed before reading, so that nothing falls between.
                let mut opened = this.hub.opened();
                let mut news = this.hub.news(run);
                let (events, over) = match this.events_after(run, after).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::warn!(%run, %error, "events of a run cannot be read");
                        return;
                    }
                };
                for event in events {
                    after = event.number;
                    yield event;
                }
                if over {
                    return;
                }
                // A run that nobody drives yet has news once somebody does.
                let news = news.as_mut().unwrap_or(&mut opened).changed();
                // One that nobody drives any more is looked at again: it may have ended meanwhile.
                let _ = tokio::time::timeout(LOOK_AGAIN, news).await;
            }
        };
        Ok(events.boxed())
    }

    /// Stored events after a number, and whether the run is over and no more will come.
    pub(crate) async fn events_after(
        &self,
        run: RunId,
        after: u64,
    ) -> Result<(Vec<WatchRunResponse>, bool), StoreError> {
        let document = self
            .context
            .shelf
            .runs
            .require(&run.to_string())
            .await?
            .value;
        let over = document.run.state().is_final();
        let mut events: Vec<WatchRunResponse> = Vec::new();
        let all = self
            .context
            .shelf
            .events
            .all(&Query::prefix(format!("{run}/")))
            .await?;
        let seen = all.into_iter().flat_map(|batch| batch.value.events);
        events.extend(seen.filter(|event| event.number > after));
        let last = events.last().map_or(after, |event| event.number);
        let pending = document.pending.into_iter();
        events.extend(pending.filter(|event| event.number > last));
        Ok((events, over))
    }

    /// Log lines so far.
    pub(crate) async fn logs(
        &self,
        caller: &Principal,
        request: pb::GetLogsRequest,
    ) -> Result<pb::GetLogsResponse, RunError> {
        let run = self.document(caller, &request.run_id).await?.value.run.id();
        let (events, _) = self.events_after(run, 0).await?;
        let lines = events.into_iter().filter_map(|event| match event.event {
            Some(SeenEvent::Log(line)) => Some(line),
            _ => None,
        });
        let wanted = |line: &pb::RunLogLine| request.step.is_empty() || line.step == request.step;
        let mut lines: Vec<pb::RunLogLine> = lines.filter(wanted).collect();
        if request.tail > 0 {
            let surplus = lines.len().saturating_sub(request.tail as usize);
            lines.drain(..surplus);
        }
        Ok(pb::GetLogsResponse { lines })
    }

    /// Stops a run; stopping again is no error. One that ended otherwise has nothing left to stop.
    pub(crate) async fn cancel(
        &self,
        caller: &Principal,
        run_id: &str,
    ) -> Result<pb::Run, RunError> {
        let seen = self.document(caller, run_id).await?.value;
        let state = seen.run.state();
        if matches!(state, RunState::Succeeded | RunState::Failed) {
            let state = state.as_str();
            return Err(RunError::State(format!(
                "run {run_id} is over, it has {state}: there is nothing to stop"
            )));
        }
        if !state.is_final() {
            let event = Event::Cancel {
                by: seen.run.org(),
                text: format!("stopped by {}", role_of(caller, &seen)),
            };
            self.say(seen.run.id(), event).await?;
        }
        self.get(caller, run_id).await
    }

    /// Starts the failed fragments of a run again.
    pub(crate) async fn retry(
        &self,
        caller: &Principal,
        run_id: &str,
    ) -> Result<pb::Run, RunError> {
        let seen = self.document(caller, run_id).await?.value;
        again::check(&self.context, &seen).await?;
        clearing::expect(&self.context, seen.run.id()).await?;
        let event = Event::Retry {
            by: seen.run.org(),
            text: format!("started again by {}", role_of(caller, &seen)),
        };
        self.say(seen.run.id(), event).await?;
        self.get(caller, run_id).await
    }

    /// Says something to a run and waits until it was taken in.
    async fn say(&self, run: RunId, event: Event) -> Result<(), RunError> {
        for _ in 0..SAYINGS {
            match self.hub.words(run) {
                Some(words) => {
                    let (done, heard) = oneshot::channel();
                    let word = Word {
                        event: event.clone(),
                        done,
                    };
                    if words.send(word).await.is_ok() && heard.await.is_ok() {
                        return Ok(());
                    }
                }
                None => self.drive(run).await,
            }
            // The task of the run is just beginning or ending.
            tokio::time::sleep(SAY_AGAIN).await;
        }
        Err(RunError::State(format!(
            "run {run} does not listen: try again"
        )))
    }
}

#[cfg(test)]
pub(crate) mod tests;
