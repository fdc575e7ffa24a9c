//! What every service of Open Cloud shares at its edge: settings, logs and metrics, the listeners, who may
//! call what, errors as problem+json and gRPC status, calls between services, and an orderly stop.
//!
//! A service hands over an [`App`]; a [`Node`] merges one (production) or all of them (embedded) on one
//! port and serves them. This crate knows axum, tonic and tracing. It knows no domain, no protobuf of
//! ours, no store and no bus.

mod admin;
mod app;
mod deadline;
mod drain;
mod edge;
mod extract;
mod json_body;
mod listeners;
mod node;
mod rpc;
mod serve;

pub mod access;
pub mod openapi;
pub mod problem;
pub mod process;
pub mod settings;
pub mod shutdown;
pub mod sse;
pub mod telemetry;

pub use app::{App, Ready, Worker};
pub use edge::request_id;
pub use extract::{ETag, IfMatch, Json, Path, Query};
pub use json_body::read as read_json;
pub use listeners::{ListenError, ListenSettings, Listeners};
pub use node::{Node, NodeError};
pub use problem::{CallError, Finding, OrStatus, Problem, status};
pub use rpc::{Channel, RemoteSettings, Switchboard, SwitchboardError};
pub use serve::{ServeError, StopSettings, serve};

/// Lets rustls use ring, the only cryptography this workspace links. Call it first in `main` and in every
/// test that opens a TLS connection; a second call does nothing.
pub fn install_tls_provider() {
    // An error means that a provider is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
