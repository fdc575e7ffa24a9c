//! The name of a network, which stays when its key is rotated.

use std::fmt;
use std::str::FromStr;

use oc_kernel::{Classify, Kind};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};

/// A text that is not the id of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a network has 32 hexadecimal digits, all lowercase")]
pub struct NetworkIdError;

impl Classify for NetworkIdError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

/// Sixteen random bytes, written as 32 lowercase hexadecimal digits. Not derived from the swarm key,
/// so that a network may run two keys for a while and keep its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkId([u8; 16]);

impl NetworkId {
    /// A new random id.
    ///
    /// # Panics
    /// When the system has no source of random bytes.
    pub fn generate() -> Self {
        let mut bytes = [0; 16];
        OsRng
            .try_fill_bytes(&mut bytes)
            .expect("the system has a source of random bytes");
        Self(bytes)
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NetworkId {
    type Err = NetworkIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NetworkIdError);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NetworkIdError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for NetworkId {
    type Error = NetworkIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NetworkId> for String {
    fn from(id: NetworkId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = NetworkId::generate();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        let other = "ABCDEFabcdef00112233445566778899";
        for wrong in [other, "", "00", "zz112233445566778899aabbccddeeff"] {
            assert_eq!(wrong.parse::<NetworkId>(), Err(NetworkIdError), "{wrong}");
        }
    }
}
