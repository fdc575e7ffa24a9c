//! Networks of peers over libp2p: joining, being found, announcing, gRPC both ways and bulk data.
//!
//! The only crate that knows libp2p. It knows no domain rule: who may call what, what an announcement or an
//! authority means, and what a PeerId's organisation is are its users' business.

mod behaviour;
pub mod bulk;
mod dials;
mod driver;
mod error;
mod event;
mod gossip;
pub mod grpc;
mod half_open;
mod invitation;
mod network;
mod network_id;
mod node_key;
mod peers;
mod settings;
mod streams;
mod swarm_key;
mod transport;

pub use error::{JoinError, NetworkError, StreamError};
pub use event::{Announcement, NetworkEvent};
pub use grpc::{PeerChannel, PeerInfo};
pub use invitation::{Invitation, InvitationError};
pub use libp2p::multiaddr::Protocol as AddressPart;
pub use libp2p::{Multiaddr, PeerId};
pub use network::Network;
pub use network_id::{NetworkId, NetworkIdError};
pub use node_key::NodeKey;
pub use peers::{Peer, PeerState};
pub use settings::{Limits, NetworkSettings};
pub use streams::{InboundStream, PeerStream, Protocol};
pub use swarm_key::{SwarmKey, SwarmKeyError};
