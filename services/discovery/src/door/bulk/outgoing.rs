//! What our services fetch from partners and send to them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use oc_door::{BULK_TOKEN, BulkRole, LENGTH, SHA256};
use oc_federation::bulk::{self, BulkError, BulkOperation, BulkReader, BulkRequest, Tempo};
use oc_federation::{Network, PeerId};
use oc_kernel::OrgId;
use oc_service::access::Principal;
use oc_service::{Json, Path, Problem, Query};
use serde::Deserialize;
use tokio_util::io::StreamReader;

use super::Received;
use crate::discovery::Discovery;
use crate::domain::calls::OUT;
use crate::domain::error::DiscoveryError;
use crate::domain::policy;
use crate::door::Line;
use crate::door::outbound::service_name;

const CHUNK: usize = 256 * 1024;

#[derive(Deserialize)]
pub(crate) struct Offset {
    #[serde(default)]
    offset: u64,
}

/// What one of our services asks for.
struct Asked<'a> {
    caller: &'a Principal,
    org: OrgId,
    role: &'a str,
    offset: u64,
    headers: &'a HeaderMap,
    put: bool,
}

/// A transfer on its way to a partner.
struct Outgoing {
    network: Network,
    peer: PeerId,
    request: BulkRequest,
}

/// GET: an object of a partner.
pub(crate) async fn fetch(
    State(discovery): State<Arc<Discovery>>,
    caller: Principal,
    Path((org, role)): Path<(OrgId, String)>,
    Query(offset): Query<Offset>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut line = Line::new(&*discovery.clock, OUT, &format!("bulk get {role}"));
    let asked = Asked {
        caller: &caller,
        org,
        role: &role,
        offset: offset.offset,
        headers: &headers,
        put: false,
    };
    let outcome = async {
        let Outgoing {
            network,
            peer,
            request,
        } = prepare(&discovery, &asked, &mut line).await?;
        let (answer, reader) = bulk::get(&network, peer, &request, Tempo::default()).await?;
        let sha256 = answer.sha256.ok_or(DiscoveryError::NoChecksum)?;
        let mut response = axum::body::Body::from_stream(stream(reader)).into_response();
        let broken = |_| DiscoveryError::NoChecksum;
        let sha256 = HeaderValue::from_str(&sha256).map_err(broken)?;
        response.headers_mut().insert(LENGTH, answer.total.into());
        response.headers_mut().insert(SHA256, sha256);
        Ok(response)
    }
    .await;
    line.end(&discovery, &outcome);
    Ok(outcome?)
}

/// PUT: an object to a partner, announced before by `RequestUpload`.
pub(crate) async fn send(
    State(discovery): State<Arc<Discovery>>,
    caller: Principal,
    Path((org, role)): Path<(OrgId, String)>,
    Query(offset): Query<Offset>,
    request: Request,
) -> Result<Json<Received>, Problem> {
    let mut line = Line::new(&*discovery.clock, OUT, &format!("bulk put {role}"));
    let (parts, body) = request.into_parts();
    let asked = Asked {
        caller: &caller,
        org,
        role: &role,
        offset: offset.offset,
        headers: &parts.headers,
        put: true,
    };
    let body = futures::TryStreamExt::map_err(body.into_data_stream(), std::io::Error::other);
    let body = Box::pin(body);
    let outcome = async {
        let open = async |wanted: u64| match wanted == offset.offset {
            true => Ok(StreamReader::new(body)),
            false => Err(std::io::Error::other(format!(
                "the partner wants to go on at byte {wanted}"
            ))),
        };
        let Outgoing {
            network,
            peer,
            request,
        } = prepare(&discovery, &asked, &mut line).await?;
        let stored = bulk::put(&network, peer, &request, open, Tempo::default()).await?;
        Ok(Received {
            received: stored.total,
        })
    }
    .await;
    line.end(&discovery, &outcome);
    Ok(Json(outcome?))
}

async fn prepare(
    discovery: &Discovery,
    asked: &Asked<'_>,
    line: &mut Line,
) -> Result<Outgoing, DiscoveryError> {
    let Asked { org, role, put, .. } = *asked;
    let service = service_name(asked.caller)?;
    line.call.service = service.clone();
    line.call.org_id = org.to_string();
    let role = BulkRole::from_name(role)
        .ok_or_else(|| DiscoveryError::Header(format!("`{role}` is no role")))?;
    if !policy::may_transfer(&service, role, put) {
        let verb = if put {
            "put objects to"
        } else {
            "get objects from"
        };
        return Err(DiscoveryError::Transfer {
            service,
            what: format!("{verb} the role {}", role.as_str()),
        });
    }
    let token = asked.headers.get(BULK_TOKEN);
    let token = token.and_then(|value| value.to_str().ok());
    let token =
        token.ok_or_else(|| DiscoveryError::Header(format!("header {BULK_TOKEN} is missing")))?;
    let (network, peer) = discovery.choose_node(org).await?;
    line.call.peer_id = peer.to_string();
    let operation = if put {
        BulkOperation::Put
    } else {
        BulkOperation::Get
    };
    Ok(Outgoing {
        network,
        peer,
        request: BulkRequest {
            operation,
            key: role.as_str().to_owned(),
            authority: token.to_owned(),
            offset: asked.offset,
            length: None,
            sha256: None,
        },
    })
}

fn stream(
    mut reader: BulkReader,
) -> impl futures::Stream<Item = Result<Bytes, BulkError>> + Send + 'static {
    async_stream::try_stream! {
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = reader.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            yield Bytes::copy_from_slice(&buffer[..read]);
        }
    }
}
