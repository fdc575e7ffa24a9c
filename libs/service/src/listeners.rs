//! The two ports, bound before anything else is opened, and the loop that accepts connections.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use oc_kernel::{Classify, Kind};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take for its first byte and for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Pause after an accept fails for want of file descriptors; accepting at once again would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a process listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSettings {
    /// gRPC and REST.
    #[serde(deserialize_with = "address")]
    pub api: SocketAddr,
    /// Probes and metrics. Nothing secret, but nothing for the world either.
    #[serde(deserialize_with = "address")]
    pub admin: SocketAddr,
    /// Connections at once on each port; more wait.
    pub connections: usize,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is no address to listen on: write an IP address and a port, such as 127.0.0.1:8700"
        ))
    })
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            api: SocketAddr::from((Ipv4Addr::LOCALHOST, 8700)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8701)),
            connections: 4096,
        }
    }
}

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has it.
    #[error("port {} on {} is in use (listen.{setting})", at.port(), at.ip())]
    InUse {
        /// `api` or `admin`.
        setting: &'static str,
        /// The address.
        at: SocketAddr,
    },
    /// Ports below 1024 belong to root.
    #[error("port {} may not be opened by this user (listen.{setting})", at.port())]
    Denied {
        /// `api` or `admin`.
        setting: &'static str,
        /// The address.
        at: SocketAddr,
    },
    /// Anything else, such as an address that this machine does not have.
    #[error("cannot listen on {at} (listen.{setting})")]
    Other {
        /// `api` or `admin`.
        setting: &'static str,
        /// The address.
        at: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Classify for ListenError {
    fn kind(&self) -> Kind {
        Kind::Precondition
    }

    fn advice(&self) -> Option<String> {
        let (ListenError::InUse { setting, .. }
        | ListenError::Denied { setting, .. }
        | ListenError::Other { setting, .. }) = self;
        let variable = setting.to_uppercase();
        Some(format!(
            "set listen.{setting} (OC__LISTEN__{variable}) to another address: port 0 takes a free one"
        ))
    }
}

/// Both ports, bound.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) api: TcpListener,
    pub(crate) admin: TcpListener,
    pub(crate) connections: usize,
    api_addr: SocketAddr,
    admin_addr: SocketAddr,
}

impl Listeners {
    /// Binds both ports.
    ///
    /// # Errors
    /// When one cannot be had, naming it.
    pub async fn bind(settings: &ListenSettings) -> Result<Self, ListenError> {
        let (api, api_addr) = bind("api", settings.api).await?;
        let (admin, admin_addr) = bind("admin", settings.admin).await?;
        Ok(Self {
            api,
            admin,
            connections: settings.connections,
            api_addr,
            admin_addr,
        })
    }

    /// Two free ports on the loopback interface, for tests.
    ///
    /// # Errors
    /// When the machine has none left.
    pub async fn local() -> Result<Self, ListenError> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::bind(&ListenSettings {
            api: any,
            admin: any,
            ..ListenSettings::default()
        })
        .await
    }

    /// Where gRPC and REST are, with the port that was given for 0.
    pub fn api_addr(&self) -> SocketAddr {
        self.api_addr
    }

    /// Where probes and metrics are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

async fn bind(
    setting: &'static str,
    at: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let refused = |source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => ListenError::InUse { setting, at },
        ErrorKind::PermissionDenied => ListenError::Denied { setting, at },
        _ => ListenError::Other {
            setting,
            at,
            source,
        },
    };
    let listener = TcpListener::bind(at).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

/// Accepts until `stop`; then the open connections finish the requests they have, under `tracker`.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(connections));
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = connection(stream, router.clone(), stop.clone());
                tracker.spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
            Err(error) if is_about_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_the_client(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let spoke = tokio::select! {
        spoke = timeout(HEAD_LIMIT, stream.readable()) => matches!(spoke, Ok(Ok(()))),
        () = stop.cancelled() => false,
    };
    if !spoke || stream.set_nodelay(true).is_err() {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let service = TowerToHyperService::new(router);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &*error, "connection broke off");
    }
}
