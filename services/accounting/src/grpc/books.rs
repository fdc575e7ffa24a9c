//! The role that partners call: the books of a grant, as their provider keeps them and their consumer has copied them.

use oc_door::Door;
use oc_kernel::{GrantId, OrgId};
use oc_proto::federation::v1::books_service_server::BooksService;
use oc_proto::federation::v1::{
    CountersignRequest, CountersignResponse, DisputeRequest, DisputeResponse, GetBooksHeadRequest,
    GetBooksHeadResponse, ListUsageRecordsRequest, ListUsageRecordsResponse,
};
use oc_service::OrStatus as _;
use tonic::{Request, Response, Status};

use super::grant_in;
use crate::domain::{Accounting, Cause};

pub(crate) struct BooksFace {
    pub(crate) accounting: Accounting,
    pub(crate) door: Door,
}

impl BooksFace {
    async fn asked<T: Sync>(
        &self,
        request: &Request<T>,
        grant: impl FnOnce(&T) -> &str,
    ) -> Result<(GrantId, OrgId), Status> {
        let caller = oc_door::caller(&self.door, request).await?;
        let grant = grant_in(grant(request.get_ref())).or_status()?;
        Ok((grant, caller.org))
    }
}

#[tonic::async_trait]
impl BooksService for BooksFace {
    async fn list_usage_records(
        &self,
        request: Request<ListUsageRecordsRequest>,
    ) -> Result<Response<ListUsageRecordsResponse>, Status> {
        let (grant, caller) = self.asked(&request, |asked| &asked.grant_id).await?;
        let asked = request.into_inner();
        let log = self
            .accounting
            .log(grant, caller, asked.from, asked.page_size);
        let (records, size) = log.await.or_status()?;
        let records = records.iter().map(oc_trust::UsageRecord::canonical);
        Ok(Response::new(ListUsageRecordsResponse {
            records: records.collect(),
            size,
        }))
    }

    async fn get_books_head(
        &self,
        request: Request<GetBooksHeadRequest>,
    ) -> Result<Response<GetBooksHeadResponse>, Status> {
        let (grant, caller) = self.asked(&request, |asked| &asked.grant_id).await?;
        let known_size = request.into_inner().known_size;
        let head = self.accounting.head(grant, caller, known_size).await;
        let head = head.or_status()?;
        let consistency = head.consistency.iter().map(|hash| hash.as_bytes().to_vec());
        Ok(Response::new(GetBooksHeadResponse {
            head: head.envelope,
            consistency: consistency.collect(),
            agreed: head.agreed,
        }))
    }

    async fn countersign(
        &self,
        request: Request<CountersignRequest>,
    ) -> Result<Response<CountersignResponse>, Status> {
        let (grant, caller) = self.asked(&request, |asked| &asked.grant_id).await?;
        let head = request.into_inner().head;
        let taken = self.accounting.take_countersignature(grant, caller, &head);
        taken.await.or_status()?;
        Ok(Response::new(CountersignResponse {}))
    }

    async fn dispute(
        &self,
        request: Request<DisputeRequest>,
    ) -> Result<Response<DisputeResponse>, Status> {
        let (grant, caller) = self.asked(&request, |asked| &asked.grant_id).await?;
        let asked = request.into_inner();
        let cause = asked.cause.unwrap_or_default();
        let cause = Cause {
            code: cause.code,
            text: cause.text,
            org: caller,
            at_ms: cause.at_ms,
            advice: cause.advice,
        };
        let taken = self
            .accounting
            .take_objection(grant, caller, asked.position, cause);
        taken.await.or_status()?;
        Ok(Response::new(DisputeResponse {}))
    }
}
