//! Compute providers of two organisations, each with a real store, bus and edge. discovery, the catalogue and the
//! runtime are played: discovery signs with real keys and hands calls over in place of libp2p, and a test
//! says what the attempts do.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test as its body does"
)]

mod accounting;
mod attempts;
mod authority;
mod catalogue;
mod discovery;
mod ends;
mod faces;
mod grants;
mod keys;
mod leaving;
mod leftovers;
mod listed;
mod logs;
mod many;
mod node;
mod objects;
mod owners;
mod replay;
mod stage;
mod steps;
mod work;
mod world;
