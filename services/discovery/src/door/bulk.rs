//! Bytes through the door: between libp2p's bulk protocol outside and HTTP inside. What a token opens is
//! decided by the service that minted it.

mod incoming;
mod outgoing;

use serde::{Deserialize, Serialize};

pub(crate) use incoming::BulkDoor;
pub(crate) use outgoing::{fetch, send};

/// The answer to a put inside the organisation.
#[derive(Serialize, Deserialize)]
pub(crate) struct Received {
    received: u64,
}
