//! Calls to an organisation: to a partner through discovery, to our own straight to the service.

use std::fmt;
use std::future::ready;
use std::str::FromStr;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use oc_kernel::OrgId;
use oc_service::{Channel, Switchboard};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::role::service_of;

/// Header by which a service names the partner it calls.
pub const PARTNER: HeaderName = HeaderName::from_static("oc-partner");
/// Header by which a service says what a call is for; discovery checks it against the caller's duties.
pub const PURPOSE: HeaderName = HeaderName::from_static("oc-purpose");

/// Where discovery takes calls that shall leave: this, then the path of the federation method. A path of its
/// own, because embedded services share one router and the method's own path leads to our own service.
pub const OUTBOUND: &str = "/api/discovery/internal/door";

/// What a call to a partner is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To introduce ourselves.
    Hello,
    /// To keep the catalogue fresh.
    Catalogue,
    /// About a grant, by its id; empty while it is being asked for.
    Grant(String),
    /// For a run, by its id.
    Run(String),
    /// About the books of a grant, by its id.
    Books(String),
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Purpose::Hello => f.write_str("hello"),
            Purpose::Catalogue => f.write_str("catalogue"),
            Purpose::Grant(id) => write!(f, "grant/{id}"),
            Purpose::Run(id) => write!(f, "run/{id}"),
            Purpose::Books(id) => write!(f, "books/{id}"),
        }
    }
}

/// A text that names no purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no purpose of a call")]
pub struct ParsePurposeError(String);

impl FromStr for Purpose {
    type Err = ParsePurposeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None if text == "hello" => Ok(Purpose::Hello),
            None if text == "catalogue" => Ok(Purpose::Catalogue),
            Some(("grant", id)) => Ok(Purpose::Grant(id.to_owned())),
            Some(("run", id)) if !id.is_empty() => Ok(Purpose::Run(id.to_owned())),
            Some(("books", id)) if !id.is_empty() => Ok(Purpose::Books(id.to_owned())),
            _ => Err(ParsePurposeError(text.chars().take(80).collect())),
        }
    }
}

/// The way to an organisation's federation services, for tonic's generated clients:
/// `DataServiceClient::new(door.partner(org, purpose).await?)`.
#[derive(Debug, Clone)]
pub struct PartnerChannel(Way);

#[derive(Debug, Clone)]
enum Way {
    Own {
        switchboard: Switchboard,
        me: &'static str,
    },
    Partner {
        discovery: Channel,
        partner: HeaderValue,
        purpose: HeaderValue,
    },
    Nowhere(Status),
}

impl PartnerChannel {
    pub(crate) fn own(switchboard: Switchboard, me: &'static str) -> Self {
        Self(Way::Own { switchboard, me })
    }

    pub(crate) fn partner(discovery: Channel, partner: OrgId, purpose: &Purpose) -> Self {
        let headers = HeaderValue::from_str(&partner.to_string())
            .and_then(|partner| Ok((partner, HeaderValue::from_str(&purpose.to_string())?)));
        Self(match headers {
            Ok((partner, purpose)) => Way::Partner {
                discovery,
                partner,
                purpose,
            },
            Err(_) => Way::Nowhere(Status::invalid_argument(format!(
                "the id in `{purpose}` has characters that ids do not have"
            ))),
        })
    }
}

impl Service<Request<Body>> for PartnerChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match &mut self.0 {
            Way::Own { switchboard, me } => match service_of(request.uri().path()) {
                Some(target) => switchboard.channel(me, target).call(request),
                None => {
                    let text = format!("{} is not a federation method", request.uri().path());
                    ready(Err(Status::unimplemented(text))).boxed()
                }
            },
            Way::Partner {
                discovery,
                partner,
                purpose,
            } => {
                request.headers_mut().insert(PARTNER, partner.clone());
                request.headers_mut().insert(PURPOSE, purpose.clone());
                match Uri::try_from(format!("{OUTBOUND}{}", request.uri().path())) {
                    Ok(uri) => *request.uri_mut() = uri,
                    Err(error) => {
                        return ready(Err(Status::invalid_argument(error.to_string()))).boxed();
                    }
                }
                discovery.call(request)
            }
            Way::Nowhere(status) => ready(Err(status.clone())).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_read_back_as_written() {
        for purpose in [
            Purpose::Hello,
            Purpose::Catalogue,
            Purpose::Grant(String::new()),
            Purpose::Grant("grant-1".into()),
            Purpose::Run("run-1".into()),
            Purpose::Books("grant-1".into()),
        ] {
            assert_eq!(purpose.to_string().parse(), Ok(purpose));
        }
    }

    #[test]
    fn a_purpose_without_its_id_is_refused() {
        for text in ["", "run/", "books/", "run", "anything", "hello/x"] {
            assert!(text.parse::<Purpose>().is_err(), "{text}");
        }
    }
}
