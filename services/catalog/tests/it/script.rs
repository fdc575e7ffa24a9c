//! A partner's catalogue that answers what it is told to.

use std::sync::{Arc, Mutex};

use oc_kernel::{Clock, OrgId};
use oc_proto::federation::v1::catalogue_service_server::{
    CatalogueService, CatalogueServiceServer,
};
use oc_proto::federation::v1::{
    GetHeadRequest, GetHeadResponse, ListDeltasRequest, ListDeltasResponse,
};
use oc_service::access::{Access, Role, StaticTokens};
use oc_service::telemetry::Metrics;
use oc_service::{App, Node};
use oc_trust::{Listing, ListingKind, LocalSigner, Sealed, Version, Visibility, seal};
use tonic::{Request, Response, Status};

use super::world::{NETWORK, World};

/// A catalogue that answers what it is told to.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) answers: Arc<Mutex<Vec<ListDeltasResponse>>>,
    pub(crate) head: Arc<Mutex<Vec<u8>>>,
    pub(crate) cursors: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl CatalogueService for Scripted {
    async fn get_head(
        &self,
        _: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let head = self.head.lock().unwrap().clone();
        Ok(Response::new(GetHeadResponse { head }))
    }

    /// The first answer that was not given yet, and the last one for ever.
    async fn list_deltas(
        &self,
        request: Request<ListDeltasRequest>,
    ) -> Result<Response<ListDeltasResponse>, Status> {
        self.cursors
            .lock()
            .unwrap()
            .push(request.into_inner().cursor);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Ok(Response::new(answer))
    }
}

/// Serves the script as `org`; the played discovery carries calls to it, whoever makes them.
pub(crate) fn serve(world: &World, org: OrgId, script: Scripted) {
    let methods = ["GetHead", "ListDeltas"];
    let app = App {
        grpc: tonic::service::Routes::new(CatalogueServiceServer::new(script)),
        descriptors: oc_proto::DESCRIPTORS,
        access: methods
            .map(|method| {
                Access::rpc(
                    format!("/oc.federation.v1.CatalogueService/{method}"),
                    Role::Public,
                )
            })
            .to_vec(),
        ..App::new("scripted")
    };
    let node = Node::build(
        vec![app],
        Arc::new(StaticTokens::default()),
        &Metrics::new(),
    )
    .unwrap();
    world.answer(org, node.router());
}

pub(crate) fn listing(world: &World, owner: OrgId, name: &str, seq: u64) -> Listing {
    let now_ms = world.clock.now_ms();
    Listing {
        id: format!("dataset.{name}").parse().unwrap(),
        owner,
        network: NETWORK.parse().unwrap(),
        kind: ListingKind::Dataset,
        name: name.to_owned(),
        title: String::new(),
        summary: String::new(),
        revision: Version { epoch: 0, seq },
        ttl: 60,
        visibility: Visibility::Members,
        facets: Default::default(),
        bbox: None,
        interval: None,
        price: None,
        terms: String::new(),
        body: serde_json::Value::Null,
        withdrawn: false,
        not_before: now_ms,
        not_after: now_ms + 3_600_000,
    }
}

pub(crate) async fn signed(signer: &LocalSigner, listing: Listing) -> Sealed<Listing> {
    seal(signer, listing).await.unwrap()
}

pub(crate) fn answer(
    listings: &[&Sealed<Listing>],
    cursor: &str,
    restart: bool,
) -> ListDeltasResponse {
    ListDeltasResponse {
        listings: listings
            .iter()
            .map(|sealed| sealed.bytes().to_vec())
            .collect(),
        cursor: cursor.to_owned(),
        restart,
        ..Default::default()
    }
}
