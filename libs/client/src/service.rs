//! Processing services.

use oc_proto::service::v1::*;

use crate::error::ClientError;
use crate::request::{Client, segment};

const PREFIX: &str = "/api/services/v1";

/// Calls of service-provider.
#[derive(Debug, Clone, Copy)]
pub struct Services<'a>(&'a Client);

impl Client {
    /// Processing services.
    pub fn services(&self) -> Services<'_> {
        Services(self)
    }
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Services<'_> {
    /// All services.
    pub async fn list(&self) -> Result<Vec<ProcessingService>, ClientError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let query = [("page_token", token)];
            let page: ListServicesResponse =
                self.0.get(&format!("{PREFIX}/services"), &query).await?;
            all.extend(page.services);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            token = page.next_page_token;
        }
    }

    /// One service.
    pub async fn get(&self, name: &str, version: &str) -> Result<ProcessingService, ClientError> {
        let answer: GetServiceResponse = self.0.get(&path(name, version), &[]).await?;
        Ok(answer.service.unwrap_or_default())
    }

    /// Registers a service.
    pub async fn create(
        &self,
        service: &ProcessingService,
    ) -> Result<ProcessingService, ClientError> {
        let request = CreateServiceRequest {
            service: Some(service.clone()),
        };
        let answer: CreateServiceResponse =
            self.0.post(&format!("{PREFIX}/services"), &request).await?;
        Ok(answer.service.unwrap_or_default())
    }

    /// Changes a service if it still has the revision in it.
    pub async fn update(
        &self,
        service: &ProcessingService,
    ) -> Result<ProcessingService, ClientError> {
        let request = UpdateServiceRequest {
            service: Some(service.clone()),
        };
        let path = path(&service.name, &service.version);
        let answer: UpdateServiceResponse = self
            .0
            .put_if_match(&path, service.revision, &request)
            .await?;
        Ok(answer.service.unwrap_or_default())
    }

    /// Removes a service.
    pub async fn delete(&self, name: &str, version: &str) -> Result<(), ClientError> {
        let _: DeleteServiceResponse = self.0.delete(&path(name, version)).await?;
        Ok(())
    }
}

fn path(name: &str, version: &str) -> String {
    format!("{PREFIX}/services/{}/{}", segment(name), segment(version))
}
