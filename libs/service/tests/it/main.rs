//! The edge as a client sees it: real sockets, both faces on one port.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test as its body does"
)]

mod access;
mod edge;
mod openapi;
mod rpc;
mod stopping;
mod support;
