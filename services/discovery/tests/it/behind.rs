//! Services behind the door that tell what reaches them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::extract::{Query, State};
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::{HeaderMap, Method};
use oc_door::{BULK_TOKEN, Door, LENGTH, SHA256};
use oc_kernel::Kind;
use oc_proto::federation::v1::catalogue_service_server::{
    CatalogueService, CatalogueServiceServer,
};
use oc_proto::federation::v1::{
    GetHeadRequest, GetHeadResponse, ListDeltasRequest, ListDeltasResponse,
};
use oc_service::access::{Access, Role};
use oc_service::{App, CallError, Problem};
use tonic::{Request, Response, Status};

/// The catalogue: a head is the JSON of who asked and what metadata came along.
struct Catalogue(Door);

#[async_trait]
impl CatalogueService for Catalogue {
    async fn get_head(
        &self,
        request: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let caller = oc_door::caller(&self.0, &request).await?;
        let metadata: Vec<_> = request
            .metadata()
            .keys()
            .map(|key| match key {
                tonic::metadata::KeyRef::Ascii(key) => key.to_string(),
                tonic::metadata::KeyRef::Binary(key) => key.to_string(),
            })
            .collect();
        let head = serde_json::json!({
            "org": caller.org.to_string(), "own": caller.own, "network": caller.network,
            "metadata": metadata,
        });
        Ok(Response::new(GetHeadResponse {
            head: serde_json::to_vec(&head).unwrap(),
        }))
    }

    async fn list_deltas(
        &self,
        _: Request<ListDeltasRequest>,
    ) -> Result<Response<ListDeltasResponse>, Status> {
        let refusal = CallError::new(Kind::Precondition, "the cursor is of another epoch");
        Err(oc_service::problem::status(&CallError {
            code: Some(oc_kernel::Code::GrantChanged),
            ..refusal
        }))
    }
}

pub(crate) fn catalogue(door: Door) -> App {
    let rpc = |method: &str| {
        let path = format!("/oc.federation.v1.CatalogueService/{method}");
        Access::rpc(path, Role::Partner).or(Role::Service)
    };
    App {
        grpc: tonic::service::Routes::new(CatalogueServiceServer::new(Catalogue(door))),
        descriptors: oc_proto::DESCRIPTORS,
        access: vec![rpc("GetHead"), rpc("ListDeltas")],
        ..App::new("catalog")
    }
}

/// Objects by their token.
pub(crate) type Shelf = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

const BULK: &str = "/api/compute/internal/bulk";
/// An upload may have so many bytes.
pub(crate) const UPLOAD: usize = 2_000_000;

pub(crate) fn objects(shelf: Shelf) -> App {
    let rest = axum::Router::new()
        .route(BULK, get(fetch).put(store))
        .with_state(shelf);
    let bulk = |method| {
        Access::rest(method, BULK, Role::Service)
            .bulk()
            .undocumented()
    };
    App {
        rest,
        access: vec![bulk(Method::GET), bulk(Method::PUT)],
        ..App::new("compute-provider")
    }
}

fn token(headers: &HeaderMap) -> String {
    headers[BULK_TOKEN].to_str().unwrap().to_owned()
}

fn offset(query: &BTreeMap<String, String>) -> usize {
    query["offset"].parse().unwrap()
}

async fn fetch(
    State(shelf): State<Shelf>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<axum::response::Response, Problem> {
    let object = shelf.lock().unwrap().get(&token(&headers)).cloned();
    let object = object.ok_or_else(|| Problem::new(Kind::Forbidden, "this token opens nothing"))?;
    let total = object.len();
    let mut response = object[offset(&query)..].to_vec().into_response();
    response.headers_mut().insert(LENGTH, total.into());
    response
        .headers_mut()
        .insert(SHA256, "00".repeat(32).parse().unwrap());
    Ok(response)
}

async fn store(
    State(shelf): State<Shelf>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<axum::Json<serde_json::Value>, Problem> {
    use futures::StreamExt as _;
    let mut pieces = body.into_data_stream();
    let key = token(&headers);
    let here = shelf.lock().unwrap().get(&key).map_or(0, Vec::len);
    assert_eq!(offset(&query), here);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::new(Kind::Malformed, "the body broke off"))?;
        let mut shelf = shelf.lock().unwrap();
        let object = shelf.entry(key.clone()).or_default();
        if object.len() + piece.len() > UPLOAD {
            return Err(Problem::new(Kind::Exhausted, "more than was announced"));
        }
        object.extend_from_slice(&piece);
    }
    let received = shelf.lock().unwrap().get(&key).map_or(0, Vec::len);
    Ok(axum::Json(serde_json::json!({ "received": received })))
}
