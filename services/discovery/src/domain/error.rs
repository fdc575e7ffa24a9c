//! What can go wrong here.

use oc_bus::BusError;
use oc_federation::bulk::BulkError;
use oc_federation::{InvitationError, JoinError, NetworkError};
use oc_kernel::{Classify, Code, Kind, OrgId};
use oc_service::CallError;
use oc_store::StoreError;
use oc_trust::SignError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error("there is no network {0} here: `opencloud network list` names those there are")]
    UnknownNetwork(String),
    #[error("this node is in the network {0} already: leave it first to join anew")]
    AlreadyJoined(String),
    #[error("this node is in a network `{0}` already: choose another name")]
    NameTaken(String),
    #[error("the network {network} does not run now: {cause}")]
    NotRunning { network: String, cause: String },
    #[error(
        "a network's name has 1 to 64 characters, none of them `/`, a control character or a mark that turns the direction of writing"
    )]
    NetworkName,
    #[error("none of the ports {first} to {last} is free: choose another or leave a network")]
    NoFreePort { first: u16, last: u16 },
    #[error("{0} is not a port: give one up to 65535")]
    Port(u32),
    #[error("`{0}` is not an address: write for example /ip4/192.0.2.7/tcp/4001")]
    Address(String),
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("the organisation {0} is not known here: join a network that it is in")]
    UnknownPartner(OrgId),
    #[error("no node of the organisation {org} can be reached: {cause}")]
    Unreachable { org: OrgId, cause: String },
    #[error("`{0}` names neither an organisation nor a node: write org-... or 12D3KooW...")]
    Name(String),
    #[error("the organisation {0} is blocked here")]
    Blocked(OrgId),
    #[error("that is our own organisation")]
    Ourselves,
    #[error("the introduction of {peer} is refused: {cause}")]
    Introduction { peer: String, cause: String },
    #[error("{service} may not have `{payload_type}` signed: it is not its duty")]
    NotItsDuty {
        service: String,
        payload_type: String,
    },
    #[error("nothing of the type `{0}` is signed on request")]
    UnknownType(String),
    #[error("a payload to sign may have {limit} bytes, this one has {size}")]
    Payload { size: usize, limit: usize },
    #[error("the head is not ours for this network: {0}")]
    Head(String),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("{service} may not call {method} of a partner for `{purpose}`")]
    Outbound {
        service: String,
        method: String,
        purpose: String,
    },
    #[error("{0}")]
    Header(String),
    #[error("only oc.federation.v1 is open to partners, not `{0}`")]
    NotFederation(String),
    #[error("this node does not know yours yet: introduce it by Hello and try again")]
    Stranger,
    #[error("too many nodes that this one does not know call at once: try again later")]
    Strangers,
    #[error("{service} may not {what} of a partner")]
    Transfer { service: String, what: String },
    #[error("the partner gives no checksum of the object")]
    NoChecksum,
    #[error("{0}")]
    Answer(CallError),
    #[error(transparent)]
    Bulk(#[from] BulkError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the bus does not take the event: {0}")]
    Bus(#[from] BusError),
}

impl Classify for DiscoveryError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownNetwork(_) | Self::UnknownPartner(_) => Kind::NotFound,
            Self::AlreadyJoined(_) | Self::NameTaken(_) => Kind::AlreadyExists,
            Self::NotRunning { .. } | Self::Unreachable { .. } | Self::Stranger | Self::Bus(_) => {
                Kind::Unavailable
            }
            Self::NetworkName | Self::Head(_) => Kind::Invalid,
            Self::NoFreePort { .. } | Self::Ourselves => Kind::Precondition,
            Self::Port(_) | Self::Address(_) | Self::Name(_) | Self::Header(_) => Kind::Malformed,
            Self::UnknownType(_) | Self::Payload { .. } => Kind::Invalid,
            Self::Blocked(_)
            | Self::NotItsDuty { .. }
            | Self::Outbound { .. }
            | Self::NotFederation(_)
            | Self::Transfer { .. } => Kind::Forbidden,
            Self::NoChecksum => Kind::Unavailable,
            Self::Answer(error) => error.kind(),
            Self::Introduction { .. } => Kind::Unauthenticated,
            Self::Strangers => Kind::Exhausted,
            Self::Invitation(error) => error.kind(),
            Self::Join(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Sign(error) => error.kind(),
            Self::Bulk(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Answer(error) => error.code(),
            _ => None,
        }
    }
}
