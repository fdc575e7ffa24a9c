//! What a network tells those who watch it.

use bytes::Bytes;
use libp2p::Multiaddr;

use crate::PeerId;

/// Something happened in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkEvent {
    /// The node listens on one more address.
    Listening {
        /// The address.
        address: Multiaddr,
    },
    /// A peer introduced itself: first contact or a new connection after none.
    PeerJoined {
        /// The peer.
        peer: PeerId,
        /// Its software and version.
        agent: String,
    },
    /// The last connection with a peer is closed.
    PeerAway {
        /// The peer.
        peer: PeerId,
        /// Why.
        cause: String,
    },
    /// A peer was blocked here.
    PeerBlocked {
        /// The peer.
        peer: PeerId,
    },
    /// A peer is no longer blocked here.
    PeerUnblocked {
        /// The peer.
        peer: PeerId,
    },
}

/// An announcement; its author is proved, its content is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Who made it (not who passed it on).
    pub author: PeerId,
    /// At most [`crate::Limits::GOSSIP_BYTES`].
    pub data: Bytes,
}
