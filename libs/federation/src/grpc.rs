//! gRPC between peers: HTTP/2 on one stream each way, called through a [`PeerChannel`], answered by [`serve`].

mod body;
mod channel;
mod deadline;
mod progress;
mod server;

pub(crate) use channel::Channels;
pub use channel::{CallLimits, PeerChannel};
pub use server::{ServeLimits, serve};

use crate::{NetworkId, PeerId};

/// Who calls; an extension of each request that [`serve`] passes on. Noise has proved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerInfo {
    /// The calling node.
    pub peer_id: PeerId,
    /// The network it calls through.
    pub network_id: NetworkId,
}

/// Flow control windows (RFC 9113, section 5.2) that let a stream fill a link of 1 Gbit/s at 30 ms.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
