//! What our services call at partners: checked against their duties, logged, and carried over libp2p.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method};
use oc_door::{OUTBOUND, PARTNER, PURPOSE, Purpose};
use oc_kernel::OrgId;
use oc_service::access::Principal;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::{Line, REQUEST_HEADERS, only, stripped};
use crate::discovery::Discovery;
use crate::domain::calls::OUT;
use crate::domain::error::DiscoveryError;
use crate::domain::policy;

/// Takes a gRPC call at [`OUTBOUND`], followed by the path of the partner's method.
pub(crate) async fn call(
    State(discovery): State<Arc<Discovery>>,
    caller: Principal,
    request: Request,
) -> Response {
    let path = request.uri().path();
    let method = path.strip_prefix(OUTBOUND).unwrap_or(path).to_owned();
    let mut line = Line::new(&*discovery.clock, OUT, &method);
    let outcome = pass(&discovery, &caller, &method, request, &mut line).await;
    line.end_rpc(&discovery, outcome).map(axum::body::Body::new)
}

async fn pass(
    discovery: &Discovery,
    caller: &Principal,
    method: &str,
    request: Request,
    line: &mut Line,
) -> Result<http::Response<Body>, DiscoveryError> {
    let service = service_name(caller)?;
    line.call.service = service.clone();
    let purpose: Purpose = header(request.headers(), &PURPOSE)?;
    line.call.purpose = purpose.to_string();
    let org: OrgId = header(request.headers(), &PARTNER)?;
    line.call.org_id = org.to_string();
    if !policy::may_call(&service, method, &purpose) {
        return Err(DiscoveryError::Outbound {
            service,
            method: line.call.method.clone(),
            purpose: line.call.purpose.clone(),
        });
    }
    let (network, peer) = discovery.choose_node(org).await?;
    line.call.peer_id = peer.to_string();
    let (parts, body) = request.into_parts();
    let mut outer = http::Request::new(Body::new(body));
    *outer.method_mut() = Method::POST;
    *outer.uri_mut() = method
        .parse()
        .map_err(|_| DiscoveryError::NotFederation(line.call.method.clone()))?;
    *outer.headers_mut() = only(&parts.headers, &REQUEST_HEADERS);
    let answered = network.channel(peer).oneshot(outer).await;
    Ok(stripped(answered.unwrap_or_else(|status| {
        line.call.cause = status.message().to_owned();
        status.into_http()
    })))
}

/// The name of the service that calls.
pub(super) fn service_name(caller: &Principal) -> Result<String, DiscoveryError> {
    match caller {
        Principal::Service(name) => Ok(name.clone()),
        Principal::Anonymous | Principal::User(_) | Principal::Partner(_) => {
            let text = "only our own services go through the door";
            Err(DiscoveryError::Header(text.to_owned()))
        }
    }
}

fn header<T: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Result<T, DiscoveryError>
where
    T::Err: std::fmt::Display,
{
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(|| DiscoveryError::Header(format!("header {name} is missing")))?;
    text.parse()
        .map_err(|error| DiscoveryError::Header(format!("header {name}: {error}")))
}
