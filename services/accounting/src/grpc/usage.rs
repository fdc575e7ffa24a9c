//! The service that our own people and services call. The functions here serve the REST face too.

use oc_kernel::{PageRequest, PageToken};
use oc_proto::accounting::v1 as pb;
use oc_proto::accounting::v1::usage_service_server::UsageService;
use oc_service::OrStatus as _;
use oc_service::access::{Principal, Role};
use oc_trust::{BooksKey, Outcome};
use tonic::{Request, Response, Status};

use super::{
    books_in, grant_in, listed_out, month_in, optional, org_in, record_out, settled_out, state_out,
    sum_by_in, sum_out, unreadable,
};
use crate::domain::{Accounting, AccountingError, Changes, Export, Format, Reach};
use crate::grpc::Unreadable;

#[derive(Clone)]
pub(crate) struct UsageFace(pub(crate) Accounting);

/// What goes wrong in a use case, before it becomes an answer of one of the faces.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Accounting(#[from] AccountingError),
}

impl oc_kernel::Classify for UsageError {
    fn kind(&self) -> oc_kernel::Kind {
        match self {
            UsageError::Unreadable(error) => error.kind(),
            UsageError::Accounting(error) => error.kind(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            UsageError::Unreadable(_) => None,
            UsageError::Accounting(error) => error.advice(),
        }
    }
}

impl UsageFace {
    /// Operators and our services see everybody's records, a user their own.
    async fn reach(&self, caller: &Principal) -> Result<Reach, UsageError> {
        match caller.user() {
            Some(user) if !Role::Operator.admits(caller) => Ok(self.0.reach_of(&user.id).await?),
            _ => Ok(Reach::All),
        }
    }

    pub(crate) async fn list(
        &self,
        caller: &Principal,
        asked: pb::ListUsageRequest,
    ) -> Result<pb::ListUsageResponse, UsageError> {
        let page = PageRequest {
            size: asked.page_size,
            token: PageToken::parse(&asked.page_token).map_err(unreadable)?,
        };
        let (books, month) = (books_in(&asked.grant_id)?, month_in(&asked.month)?);
        let page = self
            .0
            .list(books, month, &self.reach(caller).await?, &page)
            .await?;
        Ok(pb::ListUsageResponse {
            records: page.items.into_iter().map(listed_out).collect(),
            next_page_token: page
                .next
                .map_or_else(String::new, |t| t.as_str().to_owned()),
        })
    }

    pub(crate) async fn sum(
        &self,
        caller: &Principal,
        asked: pb::SumUsageRequest,
    ) -> Result<pb::SumUsageResponse, UsageError> {
        let (month, org) = (month_in(&asked.month)?, org_in(&asked.org_id)?);
        let (by, reach) = (sum_by_in(&asked.by)?, self.reach(caller).await?);
        let sums = self.0.sum(month, org, &by, &reach).await?;
        Ok(pb::SumUsageResponse {
            sums: sums.into_iter().map(sum_out).collect(),
        })
    }

    pub(crate) async fn export(
        &self,
        caller: &Principal,
        asked: pb::ExportUsageRequest,
    ) -> Result<Export, UsageError> {
        let format = match asked.format() {
            pb::ExportFormat::Csv => Format::Csv,
            pb::ExportFormat::Json | pb::ExportFormat::Unspecified => Format::Json,
        };
        let (books, month) = (books_in(&asked.grant_id)?, month_in(&asked.month)?);
        let reach = self.reach(caller).await?;
        // That there is a grant is no user's business who never ran anything under it.
        match books {
            Some(BooksKey::Grant(grant)) if !reach.touches(BooksKey::Grant(grant)) => {
                Err(AccountingError::UnknownGrant(grant).into())
            }
            _ => Ok(self.0.export(books, month, &reach, format).await?),
        }
    }

    pub(crate) async fn books(
        &self,
        asked: pb::GetBooksRequest,
    ) -> Result<pb::GetBooksResponse, UsageError> {
        let key: BooksKey = asked.grant_id.parse().map_err(unreadable)?;
        let state = self.0.books_state(key).await?;
        Ok(state_out(asked.grant_id, state))
    }

    pub(crate) async fn settle(
        &self,
        asked: pb::SettleBooksRequest,
    ) -> Result<pb::SettleBooksResponse, UsageError> {
        let grant = grant_in(&asked.grant_id)?;
        let run = optional(&asked.run_id)?;
        let mut answer = settled_out(self.0.settle(grant).await?);
        if let Some(run) = run {
            let (charge, currency) = self.0.charge_of(grant, run).await?;
            answer.charge_micros = Some(charge.micros());
            answer.currency = currency.to_string();
        }
        Ok(answer)
    }

    pub(crate) async fn correct(
        &self,
        asked: pb::CorrectUsageRequest,
    ) -> Result<pb::CorrectUsageResponse, UsageError> {
        let id = asked.record_id.parse().map_err(unreadable)?;
        let outcome = asked.outcome.as_deref().map(outcome).transpose()?;
        let changes = Changes {
            outcome,
            wall_ms: asked.wall_ms,
            cpu_ms: asked.cpu_ms,
            peak_memory_bytes: asked.peak_memory_bytes,
            bytes_in: asked.bytes_in,
            bytes_out: asked.bytes_out,
            storage_byte_seconds: asked.storage_byte_seconds,
        };
        let listed = self.0.correct(&id, changes).await?;
        Ok(pb::CorrectUsageResponse {
            record: Some(record_out(listed.record, listed.currency.to_string())),
        })
    }
}

fn outcome(name: &str) -> Result<Outcome, Unreadable> {
    let known = "succeeded, failed, cancelled or lost";
    let unknown = || unreadable(format!("`{name}` is no outcome: write {known}"));
    Outcome::from_name(name).ok_or_else(unknown)
}

#[tonic::async_trait]
impl UsageService for UsageFace {
    async fn list_usage(
        &self,
        request: Request<pb::ListUsageRequest>,
    ) -> Result<Response<pb::ListUsageResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let answer = self.list(&caller, request.into_inner()).await;
        answer.or_status().map(Response::new)
    }

    async fn sum_usage(
        &self,
        request: Request<pb::SumUsageRequest>,
    ) -> Result<Response<pb::SumUsageResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let answer = self.sum(&caller, request.into_inner()).await;
        answer.or_status().map(Response::new)
    }

    async fn export_usage(
        &self,
        request: Request<pb::ExportUsageRequest>,
    ) -> Result<Response<pb::ExportUsageResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let export = self
            .export(&caller, request.into_inner())
            .await
            .or_status()?;
        Ok(Response::new(pb::ExportUsageResponse {
            content: export.content,
            media_type: export.media_type.to_owned(),
        }))
    }

    async fn get_books(
        &self,
        request: Request<pb::GetBooksRequest>,
    ) -> Result<Response<pb::GetBooksResponse>, Status> {
        let answer = self.books(request.into_inner()).await;
        answer.or_status().map(Response::new)
    }

    async fn settle_books(
        &self,
        request: Request<pb::SettleBooksRequest>,
    ) -> Result<Response<pb::SettleBooksResponse>, Status> {
        let answer = self.settle(request.into_inner()).await;
        answer.or_status().map(Response::new)
    }

    async fn correct_usage(
        &self,
        request: Request<pb::CorrectUsageRequest>,
    ) -> Result<Response<pb::CorrectUsageResponse>, Status> {
        let answer = self.correct(request.into_inner()).await;
        answer.or_status().map(Response::new)
    }
}
