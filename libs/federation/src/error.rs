//! What can go wrong between organisations, worded so that the person at the screen knows what to do.

use oc_kernel::{Classify, Kind};

use crate::PeerId;

/// Why a network could not be joined through an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The text is no multiaddress, or one that this node cannot dial.
    #[error("`{address}` is not an address of a peer: {reason}")]
    BadAddress {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address leads back to this node.
    #[error("`{address}` is this node itself: give the address of another member")]
    OwnAddress {
        /// The address as given.
        address: String,
    },
    /// No connection could be made.
    #[error(
        "nothing answers at `{address}` ({cause}): check the address, the port and the firewalls"
    )]
    Unreachable {
        /// The address as given.
        address: String,
        /// What the system said.
        cause: String,
    },
    /// Something answers, but not as a member of a private network does.
    #[error("what answers at `{address}` is not a node of a private network ({cause})")]
    NotAPeer {
        /// The address as given.
        address: String,
        /// What it did.
        cause: String,
    },
    /// The other side answers but what it says cannot be decrypted.
    #[error(
        "`{address}` answers but does not understand this node: the swarm key is likely wrong, \
         ask the network's administrator for a new invitation"
    )]
    LikelyWrongKey {
        /// The address as given.
        address: String,
    },
    /// Another node than the named one answers.
    #[error("`{address}` is answered by {found}: the invitation names a node that is gone")]
    WrongPeer {
        /// The address as given.
        address: String,
        /// Who answered.
        found: PeerId,
    },
    /// The key fits, the network's id does not.
    #[error("`{address}` belongs to the network {found}, not to this one")]
    OtherNetwork {
        /// The address as given.
        address: String,
        /// The id the other side announced.
        found: String,
    },
    /// The other side closed the connection at once.
    #[error("{peer} at `{address}` refused this node: it is full or has blocked it")]
    Refused {
        /// The address as given.
        address: String,
        /// Who refused.
        peer: PeerId,
    },
    /// This node has blocked that peer.
    #[error("{peer} is blocked here: unblock it first")]
    Blocked {
        /// The blocked peer.
        peer: PeerId,
    },
    /// No address was given.
    #[error("an invitation needs at least one address")]
    NoAddress,
    /// The deadline passed while the connection was being made.
    #[error("`{address}` did not finish its greeting in time")]
    Timeout {
        /// The address as given.
        address: String,
    },
    /// The network was left meanwhile.
    #[error("the network was left")]
    Closed,
}

impl JoinError {
    /// True where the same attempt may succeed a moment later.
    pub const fn transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. })
    }
}

impl Classify for JoinError {
    fn kind(&self) -> Kind {
        match self {
            Self::BadAddress { .. } | Self::NoAddress => Kind::Malformed,
            Self::OwnAddress { .. } | Self::OtherNetwork { .. } => Kind::Invalid,
            Self::LikelyWrongKey { .. } | Self::Refused { .. } => Kind::Forbidden,
            Self::WrongPeer { .. } | Self::Blocked { .. } | Self::NotAPeer { .. } => {
                Kind::Precondition
            }
            Self::Unreachable { .. } | Self::Closed => Kind::Unavailable,
            Self::Timeout { .. } => Kind::Timeout,
        }
    }
}

/// Why a network could not be started or told to do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The text is no address to listen on.
    #[error("`{address}` is not an address to listen on: {reason}")]
    BadAddress {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program listens there.
    #[error("`{address}` is in use by another program: choose another swarm port")]
    AddressInUse {
        /// The address as given.
        address: String,
    },
    /// The system refused to listen.
    #[error("cannot listen on `{address}`: {cause}")]
    Listen {
        /// The address as given.
        address: String,
        /// What the system said.
        cause: String,
    },
    /// A part of the peer-to-peer stack could not be set up.
    #[error("cannot set up the network: {cause}")]
    Setup {
        /// What the part said.
        cause: String,
    },
    /// A topic that may not be used.
    #[error("`{topic}` is not a topic: use up to 64 of a-z, 0-9, `-` and `.`")]
    Topic {
        /// The topic as given.
        topic: String,
    },
    /// Too many topics.
    #[error("a network carries at most {limit} topics")]
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// A message over the limit.
    #[error("an announcement may have {limit} bytes, this one has {size}")]
    TooLarge {
        /// The size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Someone takes the streams of this protocol already.
    #[error("the streams of {protocol} are taken already")]
    Taken {
        /// The protocol.
        protocol: &'static str,
    },
    /// The queues to the neighbours are full.
    #[error("the network is busy: announce again later")]
    Busy,
    /// The network's task did not answer in time.
    #[error("the network did not {what} in time")]
    Timeout {
        /// What was asked.
        what: &'static str,
    },
    /// The network was left.
    #[error("the network was left")]
    Closed,
}

impl Classify for NetworkError {
    fn kind(&self) -> Kind {
        match self {
            Self::BadAddress { .. } | Self::Topic { .. } => Kind::Malformed,
            Self::TooLarge { .. } => Kind::Invalid,
            Self::AddressInUse { .. } | Self::Listen { .. } | Self::Taken { .. } => {
                Kind::Precondition
            }
            Self::TooManyTopics { .. } | Self::Busy => Kind::Exhausted,
            Self::Setup { .. } => Kind::Internal,
            Self::Timeout { .. } => Kind::Timeout,
            Self::Closed => Kind::Unavailable,
        }
    }
}

/// Why no stream to a peer could be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer is not connected and no address of it is known here, as of one behind NAT while its line is cut: it
    /// has to connect by itself, so that trying again helps.
    #[error("the peer {peer} is not connected, and no address is known at which to reach it")]
    Unknown {
        /// The peer.
        peer: PeerId,
    },
    /// The peer is known but no connection could be made.
    #[error("the peer {peer} cannot be reached: {cause}")]
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// What the last attempt said.
        cause: String,
    },
    /// This node has blocked that peer.
    #[error("the peer {peer} is blocked here")]
    Blocked {
        /// The peer.
        peer: PeerId,
    },
    /// The peer does not speak the protocol.
    #[error("the peer {peer} does not speak {protocol}")]
    Unsupported {
        /// The peer.
        peer: PeerId,
        /// The protocol.
        protocol: &'static str,
    },
    /// Too many streams to this peer are being opened.
    #[error("too many streams to the peer {peer} are being opened")]
    Busy {
        /// The peer.
        peer: PeerId,
    },
    /// The deadline passed.
    #[error("the peer {peer} did not open a stream in time")]
    Timeout {
        /// The peer.
        peer: PeerId,
    },
    /// The network was left.
    #[error("the network was left")]
    Closed,
}

impl Classify for StreamError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } | Self::Unreachable { .. } | Self::Closed => Kind::Unavailable,
            Self::Blocked { .. } => Kind::Forbidden,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Busy { .. } => Kind::Exhausted,
            Self::Timeout { .. } => Kind::Timeout,
        }
    }
}
