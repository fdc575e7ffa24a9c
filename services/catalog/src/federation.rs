//! `oc.federation.v1.CatalogueService` for partners: what we offer, as far as the caller may see it.

use oc_kernel::{Name, OrgId};
use oc_proto::federation::v1::catalogue_service_server::CatalogueService;
use oc_proto::federation::v1::{
    GetHeadRequest, GetHeadResponse, ListDeltasRequest, ListDeltasResponse,
};
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use crate::catalog::Catalog;

#[tonic::async_trait]
impl CatalogueService for Catalog {
    async fn get_head(
        &self,
        request: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let (_, network) = partner(&request)?;
        let none = || Status::not_found(format!("nothing is published on `{network}` yet"));
        let head = self.own.head(&network).await.ok_or_else(none)?;
        Ok(Response::new(GetHeadResponse { head }))
    }

    async fn list_deltas(
        &self,
        request: Request<ListDeltasRequest>,
    ) -> Result<Response<ListDeltasResponse>, Status> {
        let (reader, network) = partner(&request)?;
        let ListDeltasRequest { cursor, page_size } = request.into_inner();
        let size = usize::try_from(page_size).unwrap_or(usize::MAX);
        // An empty answer would say that nothing is listed.
        let early =
            || Status::unavailable(format!("what is listed on `{network}` is being signed"));
        let deltas = self.own.deltas(&reader, &network, &cursor, size);
        let deltas = deltas.ok_or_else(early)?;
        Ok(Response::new(ListDeltasResponse {
            listings: deltas
                .listings
                .iter()
                .map(|envelope| envelope.to_vec())
                .collect(),
            cursor: deltas.cursor,
            more: deltas.more,
            restart: deltas.restart,
            gone: deltas.gone.iter().map(ToString::to_string).collect(),
        }))
    }
}

/// The partner that calls, and the network it calls over.
fn partner<T>(request: &Request<T>) -> Result<(OrgId, Name), Status> {
    let caller = Principal::of_rpc(request);
    let stranger = || Status::unauthenticated("only partners call this, through the door");
    let partner = caller.partner().ok_or_else(stranger)?;
    let network = partner.network.parse();
    let network = network.map_err(|_| Status::invalid_argument("the network has no valid name"))?;
    Ok((partner.org, network))
}
