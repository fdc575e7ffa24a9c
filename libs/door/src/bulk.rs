//! Bytes from and to a partner, through discovery's bulk protocol.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderName, Method, Request, Response};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use oc_kernel::OrgId;
use oc_service::Problem;
use serde::Deserialize;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::door::{Door, DoorError};

/// Header with the token that opens a transfer.
pub const BULK_TOKEN: HeaderName = HeaderName::from_static("oc-bulk-token");
/// Header with the length of the whole object in bytes.
pub const LENGTH: HeaderName = HeaderName::from_static("oc-length");
/// Header with the SHA-256 of the whole object, 64 hexadecimal digits.
pub const SHA256: HeaderName = HeaderName::from_static("oc-sha256");

/// Longest body of an answer that is not bytes of an object.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Which of the partner's roles serves the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkRole {
    /// A dataset's file.
    Data,
    /// An object of a storage offer.
    Objects,
}

impl BulkRole {
    /// Its name in paths and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            BulkRole::Data => "data",
            BulkRole::Objects => "objects",
        }
    }

    /// The inverse of [`BulkRole::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        [BulkRole::Data, BulkRole::Objects]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// An object on its way.
pub struct BulkBody {
    /// Length of the whole object in bytes.
    pub length: u64,
    /// SHA-256 of the whole object, 64 hexadecimal digits.
    pub sha256: String,
    /// Its bytes from the offset on.
    pub bytes: BoxStream<'static, std::io::Result<Bytes>>,
}

#[derive(Deserialize)]
struct Received {
    received: u64,
}

impl Door {
    /// Fetches an object of `partner` from `offset` on. The caller checks length and digest.
    ///
    /// # Errors
    /// When the partner cannot be reached or refuses the token.
    pub async fn bulk_get(
        &self,
        partner: OrgId,
        role: BulkRole,
        token: &str,
        offset: u64,
    ) -> Result<BulkBody, DoorError> {
        let request =
            self.bulk_request(Method::GET, partner, role, token, offset, Body::empty())?;
        let response = self.send_bulk(request).await?;
        let headers = response.headers();
        let length = text(headers, &LENGTH)?
            .parse()
            .map_err(|_| DoorError::Answer("its length is no number".to_owned()))?;
        let sha256 = text(headers, &SHA256)?.to_owned();
        let bytes = response
            .into_body()
            .into_data_stream()
            .map_err(std::io::Error::other)
            .boxed();
        Ok(BulkBody {
            length,
            sha256,
            bytes,
        })
    }

    /// Sends the bytes of an announced upload from `offset` on; answers how many the partner has now.
    ///
    /// # Errors
    /// When the partner cannot be reached, refuses the token, or finds another checksum.
    pub async fn bulk_put(
        &self,
        partner: OrgId,
        role: BulkRole,
        token: &str,
        offset: u64,
        bytes: BoxStream<'static, std::io::Result<Bytes>>,
    ) -> Result<u64, DoorError> {
        let frames = bytes.map_ok(http_body::Frame::data).map_err(|error| {
            Status::internal(format!("the bytes to send cannot be read: {error}"))
        });
        let body = Body::new(StreamBody::new(frames));
        let request = self.bulk_request(Method::PUT, partner, role, token, offset, body)?;
        let response = self.send_bulk(request).await?;
        let answer = collect(response).await?;
        let answer: Received = serde_json::from_slice(&answer)
            .map_err(|error| DoorError::Answer(error.to_string()))?;
        Ok(answer.received)
    }

    fn bulk_request(
        &self,
        method: Method,
        partner: OrgId,
        role: BulkRole,
        token: &str,
        offset: u64,
        body: Body,
    ) -> Result<Request<Body>, DoorError> {
        let path = format!(
            "/api/discovery/internal/bulk/{partner}/{}?offset={offset}",
            role.as_str()
        );
        Request::builder()
            .method(method)
            .uri(path)
            .header(BULK_TOKEN, token)
            .body(body)
            .map_err(|error| DoorError::Answer(format!("the token is not one: {error}")))
    }

    async fn send_bulk(&self, request: Request<Body>) -> Result<Response<Body>, DoorError> {
        let response = self
            .discovery()
            .oneshot(request)
            .await
            .map_err(DoorError::from)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = collect(response).await?;
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => DoorError::Refused(Box::new(problem)),
            Err(_) => DoorError::Answer(format!("status {status}")),
        })
    }
}

async fn collect(response: Response<Body>) -> Result<Bytes, DoorError> {
    let body = Limited::new(response.into_body(), ANSWER_LIMIT)
        .collect()
        .await;
    let body = body.map_err(|error| DoorError::Answer(error.to_string()))?;
    Ok(body.to_bytes())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, DoorError> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| DoorError::Answer(format!("header {name} is missing")))
}
