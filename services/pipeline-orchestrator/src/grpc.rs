//! The gRPC face.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use oc_proto::pipeline::v1::run_service_server::{RunService, RunServiceServer};
use oc_proto::pipeline::v1::*;
use oc_service::OrStatus as _;
use oc_service::access::Principal;
use oc_service::problem::status_with;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::error::RunError;
use crate::orchestrator::Orchestrator;

pub(crate) fn routes(orchestrator: Orchestrator) -> Routes {
    Routes::new(RunServiceServer::new(Face(orchestrator)))
}

struct Face(Orchestrator);

#[tonic::async_trait]
impl RunService for Face {
    type WatchRunStream = BoxStream<'static, Result<WatchRunResponse, Status>>;

    async fn plan_run(
        &self,
        request: Request<PlanRunRequest>,
    ) -> Result<Response<PlanRunResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let run = request.into_inner().run.unwrap_or_default();
        let plan = self
            .0
            .plan(&caller, run)
            .await
            .map_err(|error| refusal(&error))?;
        Ok(Response::new(plan))
    }

    async fn start_run(
        &self,
        request: Request<StartRunRequest>,
    ) -> Result<Response<StartRunResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let run = self.0.start(&caller, request.into_inner()).await;
        let run = run.map_err(|error| refusal(&error))?;
        Ok(Response::new(StartRunResponse { run: Some(run) }))
    }

    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let run = self
            .0
            .get(&caller, &request.into_inner().run_id)
            .await
            .or_status()?;
        Ok(Response::new(GetRunResponse { run: Some(run) }))
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let ListRunsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        Ok(Response::new(
            self.0
                .list(&caller, page_size, &page_token)
                .await
                .or_status()?,
        ))
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let caller = Principal::of_rpc(&request);
        let WatchRunRequest { run_id, after } = request.into_inner();
        let events = self.0.watch(&caller, &run_id, after).await.or_status()?;
        Ok(Response::new(events.map(Ok).boxed()))
    }

    async fn get_logs(
        &self,
        request: Request<GetLogsRequest>,
    ) -> Result<Response<GetLogsResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        Ok(Response::new(
            self.0
                .logs(&caller, request.into_inner())
                .await
                .or_status()?,
        ))
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let run = self
            .0
            .cancel(&caller, &request.into_inner().run_id)
            .await
            .or_status()?;
        Ok(Response::new(CancelRunResponse { run: Some(run) }))
    }

    async fn retry_run(
        &self,
        request: Request<RetryRunRequest>,
    ) -> Result<Response<RetryRunResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let run = self
            .0
            .retry(&caller, &request.into_inner().run_id)
            .await
            .or_status()?;
        Ok(Response::new(RetryRunResponse { run: Some(run) }))
    }

    async fn get_results(
        &self,
        request: Request<GetResultsRequest>,
    ) -> Result<Response<GetResultsResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        Ok(Response::new(
            self.0
                .results(&caller, &request.into_inner().run_id)
                .await
                .or_status()?,
        ))
    }

    async fn explain_run(
        &self,
        request: Request<ExplainRunRequest>,
    ) -> Result<Response<ExplainRunResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        Ok(Response::new(
            self.0
                .explain(&caller, &request.into_inner().run_id)
                .await
                .or_status()?,
        ))
    }
}

/// With the places in the document, where it is the document.
fn refusal(error: &RunError) -> Status {
    status_with(error, &error.findings())
}
