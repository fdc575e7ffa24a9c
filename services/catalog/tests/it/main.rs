//! Catalogues of several organisations, each with a real store, bus, edge and index. Only discovery is played:
//! it signs with real keys and hands calls over in place of libp2p.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test as its body does"
)]

mod discovery;
mod faces;
mod flooding;
mod lasting;
mod node;
mod script;
mod sharing;
mod strangers;
mod world;
