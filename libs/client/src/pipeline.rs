//! Runs of workflows.

use futures::Stream;
use oc_proto::pipeline::v1::*;

use crate::error::ClientError;
use crate::events;
use crate::request::{Client, segment};

const PREFIX: &str = "/api/pipeline/v1";

/// Calls of pipeline-orchestrator.
#[derive(Debug, Clone, Copy)]
pub struct Pipeline<'a>(&'a Client);

impl Client {
    /// Runs of workflows.
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline(self)
    }
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Pipeline<'_> {
    /// Where each step would run, why, and at what cost.
    pub async fn plan(&self, run: &RunRequest) -> Result<PlanRunResponse, ClientError> {
        let request = PlanRunRequest {
            run: Some(run.clone()),
        };
        self.0.post(&format!("{PREFIX}/plans"), &request).await
    }

    /// Starts a run.
    pub async fn start(&self, request: &StartRunRequest) -> Result<Run, ClientError> {
        let answer: StartRunResponse = self.0.post(&format!("{PREFIX}/runs"), request).await?;
        Ok(answer.run.unwrap_or_default())
    }

    /// One run.
    pub async fn run(&self, run_id: &str) -> Result<Run, ClientError> {
        let answer: GetRunResponse = self.0.get(&run_path(run_id, ""), &[]).await?;
        Ok(answer.run.unwrap_or_default())
    }

    /// The newest runs, at most `limit`.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>, ClientError> {
        let query = [("page_size", limit.to_string())];
        let answer: ListRunsResponse = self.0.get(&format!("{PREFIX}/runs"), &query).await?;
        Ok(answer.runs)
    }

    /// Events of a run after number `after`, until it is over.
    pub async fn watch(
        &self,
        run_id: &str,
        after: u64,
    ) -> Result<impl Stream<Item = Result<WatchRunResponse, ClientError>> + use<>, ClientError>
    {
        events::stream(
            self.0,
            &format!("{}?after={after}", run_path(run_id, "/events")),
        )
        .await
    }

    /// Log lines so far; of one step, and the last `tail` only, where given.
    pub async fn logs(
        &self,
        run_id: &str,
        step: &str,
        tail: u32,
    ) -> Result<Vec<RunLogLine>, ClientError> {
        let query = [("step", step.to_owned()), ("tail", tail.to_string())];
        let answer: GetLogsResponse = self.0.get(&run_path(run_id, "/logs"), &query).await?;
        Ok(answer.lines)
    }

    /// Stops a run.
    pub async fn cancel(&self, run_id: &str) -> Result<Run, ClientError> {
        let request = CancelRunRequest {
            run_id: run_id.to_owned(),
        };
        let answer: CancelRunResponse = self.0.post(&run_path(run_id, "/cancel"), &request).await?;
        Ok(answer.run.unwrap_or_default())
    }

    /// Starts the failed fragments of a run again.
    pub async fn retry(&self, run_id: &str) -> Result<Run, ClientError> {
        let request = RetryRunRequest {
            run_id: run_id.to_owned(),
        };
        let answer: RetryRunResponse = self.0.post(&run_path(run_id, "/retry"), &request).await?;
        Ok(answer.run.unwrap_or_default())
    }

    /// What a run made.
    pub async fn results(&self, run_id: &str) -> Result<GetResultsResponse, ClientError> {
        self.0.get(&run_path(run_id, "/results"), &[]).await
    }

    /// Why a run is where it is.
    pub async fn explain(&self, run_id: &str) -> Result<ExplainRunResponse, ClientError> {
        self.0.get(&run_path(run_id, "/explain"), &[]).await
    }
}

fn run_path(run_id: &str, rest: &str) -> String {
    format!("{PREFIX}/runs/{}{rest}", segment(run_id))
}
