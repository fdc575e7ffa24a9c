//! The key a node proves its PeerId with.

use std::fmt;

use libp2p::identity::{Keypair, ed25519};
use zeroize::Zeroizing;

use crate::PeerId;

/// An Ed25519 key pair. A node has one and shows the same PeerId in each of its networks.
#[derive(Clone)]
pub struct NodeKey(Keypair);

impl NodeKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(Keypair::generate_ed25519())
    }

    /// The key of a stored seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut seed = Zeroizing::new(*seed);
        let secret = ed25519::SecretKey::try_from_bytes(seed.as_mut_slice())
            .expect("every 32 bytes are an Ed25519 seed");
        Self(ed25519::Keypair::from(secret).into())
    }

    /// The seed to store.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        let pair = self.0.clone().try_into_ed25519();
        let secret = pair.expect("the key was made as Ed25519").secret();
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(secret.as_ref());
        seed
    }

    /// The name that other nodes know this one by.
    pub fn peer_id(&self) -> PeerId {
        self.0.public().to_peer_id()
    }

    pub(crate) const fn keypair(&self) -> &Keypair {
        &self.0
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.peer_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_seed_gives_the_same_peer_id() {
        let key = NodeKey::generate();
        assert_eq!(NodeKey::from_seed(&key.seed()).peer_id(), key.peer_id());
    }
}
