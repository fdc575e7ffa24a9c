//! What partners call. Only `oc.federation.v1`; the caller's metadata ends here, and the service behind the
//! role gets a short signed statement of who calls instead.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response};
use oc_door::{STATEMENT, service_of};
use oc_federation::{NetworkId, PeerInfo};
use oc_kernel::{Name, OrgId};
use oc_proto::federation::v1::identity_service_server::IdentityServiceServer;
use oc_trust::{Caller, Statement as _};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::hello::HelloFace;
use super::{Line, REQUEST_HEADERS, only, stripped};
use crate::directory::Partner;
use crate::discovery::Discovery;
use crate::domain::budget::Budget;
use crate::domain::error::DiscoveryError;

const HELLO: &str = "/oc.federation.v1.IdentityService/Hello";
/// How long a statement lives: only the way from here to the service.
const STATEMENT_MS: u64 = 30_000;

/// The door of one network.
#[derive(Clone)]
pub(crate) struct InboundDoor {
    discovery: Arc<Discovery>,
    network: NetworkId,
    strangers: Arc<Budget>,
}

impl InboundDoor {
    pub(crate) fn new(discovery: Arc<Discovery>, network: NetworkId, now: Instant) -> Self {
        Self {
            discovery,
            network,
            strangers: Arc::new(Budget::new(now)),
        }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let mut line = Line::new(&*self.discovery.clock, "in", &path);
        let outcome = self.pass(&path, request, &mut line).await;
        line.end_rpc(&self.discovery, outcome)
    }

    async fn pass(
        &self,
        path: &str,
        request: Request<Body>,
        line: &mut Line,
    ) -> Result<Response<Body>, DiscoveryError> {
        let no_peer = || DiscoveryError::Header("a call without a peer".to_owned());
        let info = request.extensions().get::<PeerInfo>().copied();
        let info = info.ok_or_else(no_peer)?;
        line.call.peer_id = info.peer_id.to_string();
        let partner = self.discovery.directory.partner_of(info.peer_id);
        if let Some(partner) = &partner {
            line.call.org_id = partner.record.org_id.to_string();
        }
        let spent = partner.is_none() && !self.strangers.take(Instant::now());
        line.counted_only = spent;
        if request.method() != Method::POST || request.uri().query().is_some() {
            return Err(DiscoveryError::NotFederation(path.to_owned()));
        }
        let target = service_of(path);
        let target = target.ok_or_else(|| DiscoveryError::NotFederation(path.to_owned()))?;
        target.clone_into(&mut line.call.service);
        if self.discovery.directory.block_of(info.peer_id).is_some() {
            let org = partner.map(|p| p.record.org_id);
            return Err(org.map_or(DiscoveryError::Stranger, DiscoveryError::Blocked));
        }
        if spent {
            return Err(DiscoveryError::Strangers);
        }
        if path == HELLO {
            let face = IdentityServiceServer::new(HelloFace(self.discovery.clone()));
            let Ok(response) = face.oneshot(request).await;
            return Ok(response);
        }
        let partner = partner.ok_or(DiscoveryError::Stranger)?;
        self.forward(path, target, info, &partner, request).await
    }

    async fn forward(
        &self,
        path: &str,
        target: &'static str,
        info: PeerInfo,
        partner: &Partner,
        request: Request<Body>,
    ) -> Result<Response<Body>, DiscoveryError> {
        let statement = self.statement(partner.record.org_id, info, path)?;
        let (parts, body) = request.into_parts();
        let mut inner = Request::new(body);
        *inner.method_mut() = Method::POST;
        *inner.uri_mut() = path
            .parse()
            .map_err(|_| DiscoveryError::NotFederation(path.to_owned()))?;
        *inner.headers_mut() = only(&parts.headers, &REQUEST_HEADERS);
        inner.headers_mut().insert(STATEMENT, statement);
        let channel = self.discovery.switchboard.channel("discovery", target);
        let answered = channel.oneshot(inner).await;
        Ok(stripped(
            answered.unwrap_or_else(|status| status.into_http()),
        ))
    }

    /// Who calls, signed for the service behind the role.
    fn statement(
        &self,
        org: OrgId,
        info: PeerInfo,
        path: &str,
    ) -> Result<HeaderValue, DiscoveryError> {
        let broken = |error: &dyn std::fmt::Display| DiscoveryError::Header(error.to_string());
        let now_ms = self.discovery.clock.now_ms();
        let network: Name = self.network.to_string().parse().map_err(|e| broken(&e))?;
        let peer: oc_trust::PeerId = info.peer_id.to_string().parse().map_err(|e| broken(&e))?;
        let caller = Caller {
            org,
            peer,
            network,
            method: path.to_owned(),
            nonce: Caller::nonce(),
            not_before: now_ms,
            not_after: now_ms + STATEMENT_MS,
        };
        let payload = serde_json::to_vec(&caller).map_err(|e| broken(&e))?;
        let envelope = self.discovery.identity.sign(Caller::TYPE, &payload)?;
        let text = URL_SAFE_NO_PAD.encode(envelope.to_json());
        HeaderValue::from_str(&text).map_err(|e| broken(&e))
    }
}

impl Service<Request<Body>> for InboundDoor {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.clone().answer(request).map(Ok).boxed()
    }
}
