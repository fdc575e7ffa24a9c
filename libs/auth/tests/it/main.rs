//! What a macaroon opens, through the public face of `oc-auth`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod step;
