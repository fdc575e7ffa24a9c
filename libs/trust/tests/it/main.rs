//! What other crates rely on, through the public face of `oc-trust`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod books;
mod chain;
mod envelope;
mod export;
mod grant;
mod keyset;
mod world;
