//! What the owner of a storage is told of a run that is over.

use std::sync::Mutex;

use oc_kernel::Clock as _;
use oc_kernel::SystemClock;
use oc_proto::federation::v1 as fed;
use oc_proto::federation::v1::objects_service_server::{ObjectsService, ObjectsServiceServer};
use oc_workflow::plan::Access;
use oc_workflow::run::Event;
use serde_json::json;
use tonic::{Request, Response, Status};

use super::*;
use crate::orchestrator::tests::{Desk, document_with};
use crate::settings::Settings;

/// A storage that answers as it was told to, and notes what was to go.
#[derive(Default)]
struct Storage {
    answers: Mutex<Vec<Result<bool, Status>>>,
    named: Mutex<Vec<Vec<String>>>,
}

/// The storage as its service.
struct Served(Arc<Storage>);

#[tonic::async_trait]
impl ObjectsService for Served {
    async fn request_upload(
        &self,
        _: Request<fed::RequestUploadRequest>,
    ) -> Result<Response<fed::RequestUploadResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
    async fn get_upload(
        &self,
        _: Request<fed::GetUploadRequest>,
    ) -> Result<Response<fed::GetUploadResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
    async fn open_download(
        &self,
        _: Request<fed::OpenDownloadRequest>,
    ) -> Result<Response<fed::OpenDownloadResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
    async fn remove_outputs(
        &self,
        request: Request<fed::RemoveOutputsRequest>,
    ) -> Result<Response<fed::RemoveOutputsResponse>, Status> {
        let asked = request.into_inner();
        assert_eq!(asked.listing_id, "storage.results");
        self.0.named.lock().unwrap().push(asked.attempt_ids);
        let answer = self.0.answers.lock().unwrap().pop();
        let more = answer.unwrap_or(Ok(false))?;
        Ok(Response::new(fed::RemoveOutputsResponse {
            removed: 1,
            more,
        }))
    }
}

impl Storage {
    fn calls(&self) -> usize {
        self.named.lock().unwrap().len()
    }
}

async fn context(storage: &Arc<Storage>) -> Arc<Context> {
    let storage = Arc::clone(storage);
    Desk::context(Settings::default(), move |board| {
        let objects = tonic::service::Routes::new(ObjectsServiceServer::new(Served(storage)));
        board.register("compute-provider", objects.into_axum_router());
    })
    .await
}

/// A run with an attempt under way, or over.
fn document(state: &str, outcome: serde_json::Value) -> RunDocument {
    let mut document = document_with(Access::Own);
    document.run.apply(Event::Tick, SystemClock.now());
    let mut stored = serde_json::to_value(&document).unwrap();
    *stored.pointer_mut("/run/state").unwrap() = state.into();
    *stored
        .pointer_mut("/run/fragments/0/attempts/0/outcome")
        .unwrap() = outcome;
    serde_json::from_value(stored).unwrap()
}

async fn store(context: &Context, document: &RunDocument) -> RunId {
    let run = document.run.id();
    let runs = &context.shelf.runs;
    runs.put(&run.to_string(), document, Expect::Any, Vec::new())
        .await
        .unwrap();
    run
}

async fn state(context: &Context, run: RunId) -> ClearingState {
    let seen = context.shelf.clearings.require(&run.to_string()).await;
    seen.unwrap().value.state
}

#[tokio::test]
async fn what_a_cancelled_run_left_is_removed_when_it_is_over_and_once() {
    let storage = Arc::new(Storage::default());
    let context = &*context(&storage).await;
    let mut over = document("running", json!(null));
    let run = store(context, &over).await;
    expect(context, run).await.unwrap();
    look(context, &mut Later::new()).await.unwrap();
    assert_eq!(storage.calls(), 0, "it may still write");

    let mut stored = serde_json::to_value(&over).unwrap();
    *stored.pointer_mut("/run/state").unwrap() = "cancelled".into();
    over = serde_json::from_value(stored).unwrap();
    store(context, &over).await;
    *storage.answers.lock().unwrap() = vec![Ok(false), Ok(true)];
    look(context, &mut Later::new()).await.unwrap();
    let at = AttemptRef {
        fragment: 0,
        attempt: 1,
    };
    let id = attempt_id(run, at).to_string();
    assert_eq!(
        *storage.named.lock().unwrap(),
        [[id.clone()], [id]],
        "until nothing is left"
    );
    assert_eq!(state(context, run).await, ClearingState::Done);
    look(context, &mut Later::new()).await.unwrap();
    assert_eq!(storage.calls(), 2);
}

#[tokio::test]
async fn a_storage_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
    let storage = Arc::new(Storage::default());
    let context = &*context(&storage).await;
    let run = store(context, &document("failed", json!(null))).await;
    expect(context, run).await.unwrap();
    let refusal = Err(Status::permission_denied("the grant is over"));
    *storage.answers.lock().unwrap() = vec![refusal, Err(Status::unavailable("away"))];
    let mut later = Later::new();
    look(context, &mut later).await.unwrap();
    look(context, &mut later).await.unwrap();
    assert_eq!(storage.calls(), 1, "not at once");
    assert_eq!(state(context, run).await, ClearingState::Due);
    // After a restart it is asked again.
    look(context, &mut Later::new()).await.unwrap();
    assert_eq!(storage.calls(), 2);
    assert_eq!(state(context, run).await, ClearingState::Done);
}

#[test]
fn what_counts_stays() {
    for state in ["succeeded", "failed"] {
        assert!(without_count(&document(state, json!("succeeded"))).is_empty());
    }
    assert_eq!(
        without_count(&document("cancelled", json!("failed"))).len(),
        1
    );
}
