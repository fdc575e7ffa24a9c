//! Names of nodes, as libp2p spells them. Nothing here opens a connection.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A text that is not a libp2p peer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a peer id: it looks like 12D3KooW..., as `opencloud peers` prints it")]
pub struct ParsePeerIdError(String);

/// A libp2p PeerId in its base58 form (libp2p specs, peer-ids: base58btc of a multihash).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PeerId(String);

/// What stands before the 32 bytes of an Ed25519 key in its protobuf `PublicKey` message.
const ED25519_HEAD: [u8; 4] = [0x08, 0x01, 0x12, 0x20];
const MULTIHASH_IDENTITY: u8 = 0x00;
const MULTIHASH_SHA2_256: u8 = 0x12;

impl PeerId {
    /// The peer id of the node that holds this Ed25519 key.
    pub fn of_ed25519(public: &[u8; 32]) -> Self {
        let mut bytes = vec![MULTIHASH_IDENTITY, 36];
        bytes.extend_from_slice(&ED25519_HEAD);
        bytes.extend_from_slice(public);
        Self(bs58::encode(bytes).into_string())
    }

    /// The text, for `libp2p::PeerId::from_str`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParsePeerIdError(text.chars().take(80).collect());
        if text.len() > 128 {
            return Err(wrong());
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| wrong())?;
        match bytes.as_slice() {
            [MULTIHASH_SHA2_256, 32, digest @ ..] if digest.len() == 32 => {}
            [MULTIHASH_IDENTITY, length, key @ ..]
                if key.len() == usize::from(*length) && (1..=42).contains(length) => {}
            _ => return Err(wrong()),
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_id_of_a_key_is_the_one_libp2p_gives_it() {
        // libp2p specs, peer-ids, test vectors: the Ed25519 public key there.
        let key = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
        let mut public = [0; 32];
        hex::decode_to_slice(key, &mut public).unwrap();
        let peer = PeerId::of_ed25519(&public);
        assert_eq!(
            peer.as_str(),
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
        );
        assert_eq!(peer.as_str().parse(), Ok(peer));
    }

    #[test]
    fn peer_ids_of_both_kinds_of_multihash_are_read() {
        for text in [
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
        ] {
            assert_eq!(text.parse::<PeerId>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_multihash_is_refused() {
        for text in [
            "",
            "12D3KooW",
            "0OIl",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
        ] {
            assert!(text.parse::<PeerId>().is_err(), "{text}");
        }
    }
}
