//! The books.

use bytes::Bytes;
use oc_proto::accounting::v1::*;
use reqwest::Method;

use crate::error::ClientError;
use crate::request::{Client, segment};

const PREFIX: &str = "/api/accounting/v1";

/// Calls of accounting.
#[derive(Debug, Clone, Copy)]
pub struct Accounting<'a>(&'a Client);

impl Client {
    /// The books.
    pub fn accounting(&self) -> Accounting<'_> {
        Accounting(self)
    }
}

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// The records as they stand in the log.
    Json,
    /// RFC 4180.
    Csv,
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Accounting<'_> {
    /// Records of one grant or of all, and of one month or of all.
    pub async fn records(
        &self,
        grant_id: &str,
        month: &str,
    ) -> Result<Vec<UsageRecord>, ClientError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let query = [
                ("grant_id", grant_id.to_owned()),
                ("month", month.to_owned()),
                ("page_token", token),
            ];
            let page: ListUsageResponse = self.0.get(&format!("{PREFIX}/records"), &query).await?;
            all.extend(page.records);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            token = page.next_page_token;
        }
    }

    /// Sums, kept apart by `by`: month, organisation, pseudonym, workflow.
    pub async fn sums(
        &self,
        month: &str,
        org_id: &str,
        by: &[&str],
    ) -> Result<Vec<UsageSum>, ClientError> {
        let mut query = vec![("month", month.to_owned()), ("org_id", org_id.to_owned())];
        query.extend(by.iter().map(|by| ("by", (*by).to_owned())));
        let answer: SumUsageResponse = self.0.get(&format!("{PREFIX}/sums"), &query).await?;
        Ok(answer.sums)
    }

    /// The records of a grant, or of all, exactly as both sides hold them.
    pub async fn export(
        &self,
        grant_id: &str,
        month: &str,
        format: Export,
    ) -> Result<Bytes, ClientError> {
        let format = match format {
            Export::Json => "json",
            Export::Csv => "csv",
        };
        let query = [("grant_id", grant_id), ("month", month), ("format", format)];
        let request = self
            .0
            .request(Method::GET, &format!("{PREFIX}/exports"))
            .query(&query);
        let response = self.0.send(request).await?;
        let url = response.url().to_string();
        response.bytes().await.map_err(|e| ClientError::Unreadable {
            url,
            reason: e.to_string(),
        })
    }

    /// Where the books of a grant stand.
    pub async fn books(&self, grant_id: &str) -> Result<GetBooksResponse, ClientError> {
        self.0
            .get(&format!("{PREFIX}/books/{}", segment(grant_id)), &[])
            .await
    }

    /// Puts another record in place of a wrong one of ours.
    pub async fn correct(
        &self,
        request: &CorrectUsageRequest,
    ) -> Result<CorrectUsageResponse, ClientError> {
        let record = segment(&request.record_id);
        self.0
            .post(&format!("{PREFIX}/records/{record}/corrections"), request)
            .await
    }

    /// Fetches, audits and countersigns now.
    pub async fn settle(&self, grant_id: &str) -> Result<SettleBooksResponse, ClientError> {
        let request = SettleBooksRequest {
            grant_id: grant_id.to_owned(),
            ..SettleBooksRequest::default()
        };
        self.0
            .post(
                &format!("{PREFIX}/books/{}/settle", segment(grant_id)),
                &request,
            )
            .await
    }
}
