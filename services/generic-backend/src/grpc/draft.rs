//! `oc.backend.v1.DraftService`.

use oc_kernel::Revision;
use oc_proto::backend::v1::draft_service_server::DraftService;
use oc_proto::backend::v1::*;
use oc_service::OrStatus as _;
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use super::{draft_message, person};
use crate::Backend;

pub(crate) struct Face(pub(crate) Backend);

#[tonic::async_trait]
impl DraftService for Face {
    async fn list_drafts(
        &self,
        request: Request<ListDraftsRequest>,
    ) -> Result<Response<ListDraftsResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let drafts = self
            .0
            .drafts
            .list(person(&caller).or_status()?)
            .await
            .or_status()?;
        let drafts = drafts
            .into_iter()
            .map(|draft| without_content(draft_message(draft.value, draft.revision)));
        Ok(Response::new(ListDraftsResponse {
            drafts: drafts.collect(),
        }))
    }

    async fn get_draft(
        &self,
        request: Request<GetDraftRequest>,
    ) -> Result<Response<GetDraftResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let person = person(&caller).or_status()?;
        let draft = self
            .0
            .drafts
            .get(person, &request.into_inner().name)
            .await
            .or_status()?;
        Ok(Response::new(GetDraftResponse {
            draft: Some(draft_message(draft.value, draft.revision)),
        }))
    }

    async fn put_draft(
        &self,
        request: Request<PutDraftRequest>,
    ) -> Result<Response<PutDraftResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let person = person(&caller).or_status()?;
        let Draft {
            name,
            cwl,
            layout_json,
            revision,
            ..
        } = request.into_inner().draft.unwrap_or_default();
        let put = self
            .0
            .drafts
            .put(person, &name, Revision(revision), cwl, layout_json);
        let (draft, revision) = put.await.or_status()?;
        Ok(Response::new(PutDraftResponse {
            draft: Some(draft_message(draft, revision)),
        }))
    }

    async fn delete_draft(
        &self,
        request: Request<DeleteDraftRequest>,
    ) -> Result<Response<DeleteDraftResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let person = person(&caller).or_status()?;
        self.0
            .drafts
            .delete(person, &request.into_inner().name)
            .await
            .or_status()?;
        Ok(Response::new(DeleteDraftResponse {}))
    }
}

/// Lists name drafts; whoever wants one reads it.
pub(crate) fn without_content(draft: Draft) -> Draft {
    Draft {
        cwl: String::new(),
        layout_json: String::new(),
        ..draft
    }
}
