//! The gRPC face, and the messages both faces speak.

use oc_kernel::{Name, PageRequest, PageToken, Revision};
use oc_proto::service::v1::service_registry_service_server::{
    ServiceRegistryService, ServiceRegistryServiceServer,
};
use oc_proto::service::v1::*;
use oc_service::problem::status_with;
use oc_service::{Finding, OrStatus as _};
use oc_store::Versioned;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::domain::error::RegistryError;
use crate::domain::registry::Registry;
use crate::domain::service::{Draft, Service};

pub(crate) fn routes(registry: Registry) -> Routes {
    Routes::new(ServiceRegistryServiceServer::new(Face(registry)))
}

struct Face(Registry);

#[tonic::async_trait]
impl ServiceRegistryService for Face {
    async fn create_service(
        &self,
        request: Request<CreateServiceRequest>,
    ) -> Result<Response<CreateServiceResponse>, Status> {
        let given = request.into_inner().service.unwrap_or_default();
        let created = self
            .0
            .create(draft(given).or_status()?)
            .await
            .map_err(|e| refusal(&e))?;
        Ok(Response::new(CreateServiceResponse {
            service: Some(message(created)),
        }))
    }

    async fn get_service(
        &self,
        request: Request<GetServiceRequest>,
    ) -> Result<Response<GetServiceResponse>, Status> {
        let GetServiceRequest { name, version } = request.into_inner();
        let (name, version) = identity(&name, &version).or_status()?;
        let service = self.0.get(&name, &version).await.or_status()?;
        Ok(Response::new(GetServiceResponse {
            service: Some(message(service)),
        }))
    }

    async fn list_services(
        &self,
        request: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesResponse>, Status> {
        let ListServicesRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let answer = list(&self.0, page_size, &page_token).await.or_status()?;
        Ok(Response::new(answer))
    }

    async fn update_service(
        &self,
        request: Request<UpdateServiceRequest>,
    ) -> Result<Response<UpdateServiceResponse>, Status> {
        let given = request.into_inner().service.unwrap_or_default();
        let seen = Revision(given.revision);
        let draft = draft(given).or_status()?;
        let updated = self.0.update(draft, seen).await.map_err(|e| refusal(&e))?;
        Ok(Response::new(UpdateServiceResponse {
            service: Some(message(updated)),
        }))
    }

    async fn delete_service(
        &self,
        request: Request<DeleteServiceRequest>,
    ) -> Result<Response<DeleteServiceResponse>, Status> {
        let DeleteServiceRequest { name, version } = request.into_inner();
        let (name, version) = identity(&name, &version).or_status()?;
        self.0.delete(&name, &version).await.or_status()?;
        Ok(Response::new(DeleteServiceResponse {}))
    }
}

/// One page of services.
pub(crate) async fn list(
    registry: &Registry,
    size: u32,
    token: &str,
) -> Result<ListServicesResponse, RegistryError> {
    let page = PageRequest {
        size,
        token: PageToken::parse(token)?,
    };
    let page = registry.list(&page).await?;
    Ok(ListServicesResponse {
        next_page_token: page
            .next
            .map(|token| token.as_str().to_owned())
            .unwrap_or_default(),
        services: page.items.into_iter().map(message).collect(),
    })
}

/// The pair that names a service.
pub(crate) fn identity(name: &str, version: &str) -> Result<(Name, Name), RegistryError> {
    let parse = |what, text: &str| {
        text.parse::<Name>()
            .map_err(|source| RegistryError::Name { what, source })
    };
    Ok((parse("name", name)?, parse("version", version)?))
}

/// What a person gave.
pub(crate) fn draft(given: ProcessingService) -> Result<Draft, RegistryError> {
    let (name, version) = identity(&given.name, &given.version)?;
    let visible_to = given.visible_to.iter();
    let visible_to = visible_to.map(|org| org.parse().map_err(RegistryError::organisation(org)));
    Ok(Draft {
        name,
        version,
        description: given.description,
        visible_to: visible_to.collect::<Result<_, _>>()?,
        cwl: given.cwl,
        images: given.images,
    })
}

/// A service as a message.
pub(crate) fn message(found: Versioned<Service>) -> ProcessingService {
    let revision = found.revision.0;
    let service = found.value;
    ProcessingService {
        listing_id: service.listing_id(),
        name: service.name.to_string(),
        version: service.version.to_string(),
        description: service.description,
        cwl: service.cwl,
        images: service.images,
        created_at_ms: service.created_at_ms,
        updated_at_ms: service.updated_at_ms,
        registered_at_ms: service.registered_at_ms,
        revision,
        visible_to: service.visible_to.iter().map(ToString::to_string).collect(),
    }
}

/// The faults of a document as both faces report them.
pub(crate) fn findings(error: &RegistryError) -> Vec<Finding> {
    let RegistryError::Faulty { findings, .. } = error else {
        return Vec::new();
    };
    let findings = findings.iter().map(|finding| Finding {
        message: finding.message.clone(),
        line: Some(finding.line),
        column: Some(finding.column),
        pointer: None,
    });
    findings.collect()
}

fn refusal(error: &RegistryError) -> Status {
    status_with(error, &findings(error))
}
