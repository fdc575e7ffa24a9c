//! accounting as these tests play it: it knows objections.

use std::sync::{Arc, Mutex};

use oc_proto::accounting::v1::usage_service_server::{UsageService, UsageServiceServer};
use oc_proto::accounting::v1::*;
use oc_proto::types::v1::Cause;
use oc_service::App;
use oc_service::access::{Access, Role};
use tonic::{Request as Rpc, Response as Answer, Status};

/// What is objected to, of any grant.
#[derive(Clone, Default)]
pub(crate) struct Accounting(pub(crate) Arc<Mutex<Vec<Cause>>>);

fn not_played<T>() -> Result<Answer<T>, Status> {
    Err(Status::unimplemented("not played"))
}

#[tonic::async_trait]
impl UsageService for Accounting {
    async fn get_books(&self, _: Rpc<GetBooksRequest>) -> Result<Answer<GetBooksResponse>, Status> {
        let disputes = self.0.lock().unwrap().clone();
        Ok(Answer::new(GetBooksResponse {
            disputes,
            ..Default::default()
        }))
    }

    async fn list_usage(
        &self,
        _: Rpc<ListUsageRequest>,
    ) -> Result<Answer<ListUsageResponse>, Status> {
        not_played()
    }

    async fn sum_usage(&self, _: Rpc<SumUsageRequest>) -> Result<Answer<SumUsageResponse>, Status> {
        not_played()
    }

    async fn export_usage(
        &self,
        _: Rpc<ExportUsageRequest>,
    ) -> Result<Answer<ExportUsageResponse>, Status> {
        not_played()
    }

    async fn settle_books(
        &self,
        _: Rpc<SettleBooksRequest>,
    ) -> Result<Answer<SettleBooksResponse>, Status> {
        not_played()
    }

    async fn correct_usage(
        &self,
        _: Rpc<CorrectUsageRequest>,
    ) -> Result<Answer<CorrectUsageResponse>, Status> {
        not_played()
    }
}

pub(crate) fn app(accounting: Accounting) -> App {
    let methods = [
        "ListUsage",
        "SumUsage",
        "ExportUsage",
        "GetBooks",
        "SettleBooks",
        "CorrectUsage",
    ];
    App {
        grpc: tonic::service::Routes::new(UsageServiceServer::new(accounting)),
        descriptors: oc_proto::DESCRIPTORS,
        access: methods
            .map(|method| {
                let path = format!("/oc.accounting.v1.UsageService/{method}");
                Access::rpc(path, Role::Service)
            })
            .to_vec(),
        ..App::new("accounting")
    }
}
