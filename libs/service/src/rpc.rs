//! Calls between services: one [`Channel`] type, whether the other service lives in this process or across
//! the cluster's network.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::{Service, ServiceExt};

use crate::deadline::{self, Activity, Limits};
use crate::settings::Secret;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Put into the extensions of a call inside the process; nothing that comes over a network has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) &'static str);

/// Where another service is, in production.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteSettings {
    /// Its API, such as `http://catalog:8700`.
    pub address: String,
    /// The token by which it knows this service.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// Why a service cannot be called over the network.
#[derive(Debug, thiserror::Error)]
pub enum SwitchboardError {
    /// Not an address.
    #[error("`{address}` is no address of {target}: write for example http://{target}:8700")]
    Address {
        /// The service.
        target: String,
        /// What stands in the settings.
        address: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// A token that does not fit into a header.
    #[error("the token for {0} has characters that a header cannot carry")]
    Token(String),
}

type Slot = Arc<RwLock<Option<Router>>>;

/// Knows where each service is. Services are built with channels before the services they call exist, so a
/// channel finds its target at the time of a call.
#[derive(Debug, Clone, Default)]
pub struct Switchboard {
    slots: Arc<RwLock<HashMap<&'static str, Slot>>>,
    remotes: HashMap<String, Remote>,
    limits: CallLimits,
}

/// The time limits of calls that set none themselves.
#[derive(Debug, Clone, Copy)]
struct CallLimits {
    /// Until the answer begins, from the last byte sent.
    answer: Duration,
    /// Between two messages of a stream.
    idle: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            idle: Duration::from_secs(300),
        }
    }
}

#[derive(Debug, Clone)]
struct Remote {
    channel: tonic::transport::Channel,
    authorization: Option<HeaderValue>,
}

impl Switchboard {
    /// A switchboard of services in this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other time limits for calls that set none: until the answer begins, and between two messages of a
    /// stream. The defaults are 10 s and 5 min.
    #[must_use]
    pub fn with_limits(mut self, answer: Duration, idle: Duration) -> Self {
        self.limits = CallLimits { answer, idle };
        self
    }

    /// Says that a service is elsewhere. Connections are made at the first call, and again after a loss.
    ///
    /// # Errors
    /// When the address or the token is faulty.
    pub fn with_remote(
        mut self,
        target: &str,
        settings: &RemoteSettings,
    ) -> Result<Self, SwitchboardError> {
        let endpoint = Endpoint::from_shared(settings.address.clone());
        let endpoint = endpoint.map_err(|source| SwitchboardError::Address {
            target: target.to_owned(),
            address: settings.address.clone(),
            source,
        })?;
        let channel = endpoint
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_lazy();
        let authorization = match &settings.token {
            Some(token) => {
                let text = format!("Bearer {}", token.expose_secret());
                let mut value = HeaderValue::from_str(&text)
                    .map_err(|_| SwitchboardError::Token(target.to_owned()))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        self.remotes.insert(
            target.to_owned(),
            Remote {
                channel,
                authorization,
            },
        );
        Ok(self)
    }

    /// A channel by which `caller` calls `target`.
    pub fn channel(&self, caller: &'static str, target: &'static str) -> Channel {
        let route = match self.remotes.get(target) {
            Some(remote) => Route::Remote(remote.clone()),
            None => Route::Local(self.slot(target)),
        };
        Channel {
            caller,
            target,
            route,
            limits: self.limits,
        }
    }

    /// From now on calls of `target` in this process go to this router, with the edge around it.
    pub fn register(&self, target: &'static str, router: Router) {
        *self
            .slot(target)
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(router);
    }

    /// Forgets every service in this process. Services hold channels and channels hold services: without
    /// this, stopped services would never be dropped.
    pub fn clear(&self) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.values() {
            *slot.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn slot(&self, target: &'static str) -> Slot {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(target).or_default())
    }
}

/// The way to another service, for tonic's generated clients: `CatalogServiceClient::new(channel)`.
///
/// A call without `grpc-timeout` waits 10 s for its answer to begin, and 5 min between two messages of a
/// stream; a call with one (`Request::set_timeout`) ends by it, stream or not.
#[derive(Debug, Clone)]
pub struct Channel {
    caller: &'static str,
    target: &'static str,
    route: Route,
    limits: CallLimits,
}

#[derive(Debug, Clone)]
enum Route {
    Local(Slot),
    Remote(Remote),
}

impl Channel {
    /// The service at the other end.
    pub fn target(&self) -> &'static str {
        self.target
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let limit = deadline::grpc_timeout(request.headers());
        let deadline = limit.map(|limit| Instant::now() + limit);
        if let Some(id) = crate::request_id().and_then(|id| HeaderValue::from_str(&id).ok()) {
            request.headers_mut().entry("x-request-id").or_insert(id);
        }
        let activity = Activity::now();
        let moving = activity.clone();
        let request = request.map(|body| deadline::watched(axum::body::Body::new(body), moving));
        let (target, limits) = (self.target, self.limits);
        let answer = self.send(request);
        async move {
            let overdue = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => activity.silent_for(limits.answer).await,
                }
            };
            let response = tokio::select! {
                response = answer => response?,
                () = overdue => {
                    let text = format!("{target} did not answer within the deadline");
                    return Err(Status::deadline_exceeded(text));
                }
            };
            let idle = deadline.is_none().then_some(limits.idle);
            let body_limits = Limits {
                deadline,
                idle,
                stop: None,
            };
            Ok(response.map(|body| Body::new(deadline::limited(body, true, body_limits))))
        }
        .boxed()
    }
}

type Sent = BoxFuture<'static, Result<Response<axum::body::Body>, Status>>;

impl Channel {
    fn send(&self, mut request: Request<axum::body::Body>) -> Sent {
        let target = self.target;
        match &self.route {
            Route::Local(slot) => {
                let router = slot.read().unwrap_or_else(PoisonError::into_inner).clone();
                let Some(router) = router else {
                    let text = format!("{target} does not run here (yet): try again");
                    return ready(Err(Status::unavailable(text))).boxed();
                };
                request.headers_mut().remove(header::AUTHORIZATION);
                request.extensions_mut().insert(Caller(self.caller));
                let answered = router.oneshot(request);
                answered
                    .map(|answer: Result<_, Infallible>| answer.map_err(|never| match never {}))
                    .boxed()
            }
            Route::Remote(remote) => {
                if let Some(authorization) = &remote.authorization {
                    request
                        .headers_mut()
                        .insert(header::AUTHORIZATION, authorization.clone());
                }
                let sent = remote.channel.clone().oneshot(request.map(Body::new));
                async move {
                    let response = sent.await.map_err(|error| {
                        tracing::warn!(
                            target_service = target,
                            error = crate::problem::chain(&error),
                            "call failed"
                        );
                        Status::unavailable(format!("{target} cannot be reached"))
                    })?;
                    Ok(response.map(axum::body::Body::new))
                }
                .boxed()
            }
        }
    }
}
