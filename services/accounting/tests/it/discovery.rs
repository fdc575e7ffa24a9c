//! The part of discovery that accounting sees: identity, signatures, KeySets, and the door to the one partner.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request, StatusCode};
use oc_door::{OUTBOUND, PARTNER, PURPOSE, STATEMENT};
use oc_kernel::{Clock as _, OrgId, SystemClock};
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::{
    GetIdentityRequest, GetIdentityResponse, GetKeySetsRequest, GetKeySetsResponse, SignRequest,
    SignResponse,
};
use oc_trust::{Caller, KeyHistory, NodeKeys, OrgKeys, seal};
use tonic::{Request as RpcRequest, Response as RpcResponse, Status};
use tower::ServiceExt as _;

use crate::world::NETWORK;

/// An organisation's keys, and the way to its partner.
pub(crate) struct Discovery {
    pub(crate) org: OrgId,
    pub(crate) node: NodeKeys,
    history: KeyHistory,
    partner: Mutex<Option<Partner>>,
    /// Where set, calls to the partner fail: the network is cut.
    pub(crate) cut: Mutex<bool>,
    /// Where set, calls of this method reach the partner and their answers are lost.
    pub(crate) lost_answer: Mutex<Option<&'static str>>,
    /// Methods that the partner has answered.
    answered: Mutex<Vec<String>>,
}

#[derive(Clone)]
struct Partner {
    discovery: Arc<Discovery>,
    edge: Router,
}

impl Discovery {
    pub(crate) fn found() -> Arc<Self> {
        let keys = OrgKeys::generate();
        let history = KeyHistory::start(keys.found().unwrap()).unwrap();
        Arc::new(Self {
            org: history.org(),
            node: keys.node,
            history,
            partner: Mutex::default(),
            cut: Mutex::default(),
            lost_answer: Mutex::default(),
            answered: Mutex::default(),
        })
    }

    pub(crate) fn history(&self) -> &KeyHistory {
        &self.history
    }

    /// How many calls of this method the partner has answered.
    pub(crate) fn answers(&self, method: &str) -> usize {
        let answered = self.answered.lock().unwrap();
        answered.iter().filter(|one| one.ends_with(method)).count()
    }

    /// From now on the partner's services are reached at `edge`.
    pub(crate) fn meet(&self, discovery: Arc<Discovery>, edge: Router) {
        *self.partner.lock().unwrap() = Some(Partner { discovery, edge });
    }

    pub(crate) fn router(self: Arc<Self>) -> Router {
        let identity = IdentityServiceServer::from_arc(self.clone());
        let outbound = Router::new()
            .route(
                &format!("{OUTBOUND}/{{*method}}"),
                axum::routing::any(outbound),
            )
            .with_state(self);
        tonic::service::Routes::new(identity)
            .into_axum_router()
            .merge(outbound)
    }

    /// What the partner's discovery puts before a call it lets in.
    async fn statement_about(&self, caller: &Discovery, method: &str) -> HeaderValue {
        let now = SystemClock.now_ms();
        let statement = Caller {
            org: caller.org,
            peer: caller.node.peer_id(),
            network: NETWORK.parse().unwrap(),
            method: method.to_owned(),
            nonce: Caller::nonce(),
            not_before: now,
            not_after: now + 30_000,
        };
        let sealed = seal(&self.node.signer(), statement).await.unwrap();
        URL_SAFE_NO_PAD.encode(sealed.bytes()).parse().unwrap()
    }
}

async fn outbound(State(me): State<Arc<Discovery>>, request: Request<Body>) -> Response {
    let partner = me.partner.lock().unwrap().clone();
    let cut = *me.cut.lock().unwrap();
    let wanted = request
        .headers()
        .get(PARTNER)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let known = partner.filter(|partner| partner.discovery.org.to_string() == wanted && !cut);
    let Some(partner) = known else {
        let status = Status::unavailable("the partner cannot be reached");
        return status.into_http::<Body>().into_response();
    };
    let purpose = request.headers().get(PURPOSE).unwrap().to_str().unwrap();
    assert!(purpose.starts_with("books/grant-"), "{purpose}");

    let (parts, body) = request.into_parts();
    let method = parts.uri.path().strip_prefix(OUTBOUND).unwrap().to_owned();
    let statement = partner.discovery.statement_about(&me, &method).await;
    let mut inbound = Request::new(body);
    *inbound.method_mut() = parts.method;
    *inbound.version_mut() = parts.version;
    *inbound.uri_mut() = method.parse().unwrap();
    for name in ["content-type", "te"] {
        if let Some(value) = parts.headers.get(name) {
            inbound.headers_mut().insert(name, value.clone());
        }
    }
    inbound.headers_mut().insert(STATEMENT, statement);
    let lost = *me.lost_answer.lock().unwrap();
    let lost = lost.is_some_and(|name| method.ends_with(name));
    let answer = partner.edge.oneshot(inbound).await;
    me.answered.lock().unwrap().push(method);
    match answer {
        Ok(_) if lost => {
            let status = Status::unavailable("the partner's answer was lost");
            status.into_http::<Body>().into_response()
        }
        Ok(answer) => answer,
        Err(never) => (StatusCode::INTERNAL_SERVER_ERROR, never.to_string()).into_response(),
    }
}

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: RpcRequest<GetIdentityRequest>,
    ) -> Result<RpcResponse<GetIdentityResponse>, Status> {
        Ok(RpcResponse::new(GetIdentityResponse {
            org_id: self.org.to_string(),
            ..GetIdentityResponse::default()
        }))
    }

    async fn get_key_sets(
        &self,
        request: RpcRequest<GetKeySetsRequest>,
    ) -> Result<RpcResponse<GetKeySetsResponse>, Status> {
        let wanted = request.into_inner().org_id;
        let partner = self.partner.lock().unwrap().clone();
        let history = if wanted == self.org.to_string() {
            self.history.clone()
        } else {
            let partner = partner.filter(|p| p.discovery.org.to_string() == wanted);
            let partner = partner.ok_or_else(|| Status::not_found("no such organisation"))?;
            partner.discovery.history.clone()
        };
        let key_sets = history.versions().iter();
        Ok(RpcResponse::new(GetKeySetsResponse {
            key_sets: key_sets.map(|version| version.bytes().to_vec()).collect(),
        }))
    }

    async fn sign(
        &self,
        request: RpcRequest<SignRequest>,
    ) -> Result<RpcResponse<SignResponse>, Status> {
        let asked = request.into_inner();
        let duty = oc_trust::duty(&asked.payload_type).unwrap_or_default();
        if !duty.contains(&"accounting") {
            return Err(Status::permission_denied("not accounting's duty"));
        }
        let signed = self
            .node
            .signer()
            .sign_now(&asked.payload_type, &asked.payload);
        let signed = signed.map_err(|error| Status::internal(error.to_string()))?;
        Ok(RpcResponse::new(SignResponse {
            envelope: signed.to_json(),
        }))
    }
}
