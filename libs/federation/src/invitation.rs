//! One string with all that is needed to join a network, safe to paste into a mail.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libp2p::Multiaddr;
use oc_kernel::{Classify, Kind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{NetworkId, SwarmKey};

const PREFIX: &str = "opencloud-join:v1:";
const CHECK_BYTES: usize = 4;

/// Why a text is not an invitation. It never repeats the text, which holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// Another kind of text.
    #[error("an invitation begins with `{PREFIX}`")]
    Prefix,
    /// Larger than any invitation.
    #[error("an invitation has at most {limit} characters", limit = Invitation::MAX_CHARACTERS)]
    TooLong,
    /// The check digits do not fit.
    #[error("the invitation is cut short or damaged: copy the whole of it")]
    Damaged,
    /// A field that breaks a rule.
    #[error("the invitation's {field} is wrong: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Classify for InvitationError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

/// An invitation into a private network: its id, its name, where to find members, and its key.
///
/// Written `opencloud-join:v1:` and, in base64url without padding, the JSON document followed by the
/// first four bytes of its SHA-256. Whoever reads it may join.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Which network.
    pub network_id: NetworkId,
    /// Its name for people, as [`Invitation::is_name`] allows.
    pub name: String,
    /// Where members listen, 1 to 16, each at most 256 bytes.
    pub addresses: Vec<Multiaddr>,
    /// The key.
    pub key: SwarmKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    network_id: NetworkId,
    name: String,
    addresses: Vec<String>,
    key: String,
}

impl Invitation {
    /// Longest accepted text.
    pub const MAX_CHARACTERS: usize = 8192;
    /// Most addresses.
    pub const MAX_ADDRESSES: usize = 16;
    /// Longest address in bytes.
    pub const MAX_ADDRESS_BYTES: usize = 256;
    /// Longest name in bytes.
    pub const MAX_NAME_BYTES: usize = 64;

    /// Whether a network may have this name: 1 to 64 bytes that show and not blanks alone. No `/` is among them, so
    /// that it looks like no path, though it stands in none.
    pub fn is_name(text: &str) -> bool {
        let fits = !text.trim().is_empty() && text.len() <= Self::MAX_NAME_BYTES;
        fits && !text.chars().any(|c| c == '/' || oc_kernel::is_hidden(c))
    }

    fn from_document(document: Document) -> Result<Self, InvitationError> {
        let wrong = |field, reason: &str| InvitationError::Field {
            field,
            reason: reason.to_owned(),
        };
        let name = document.name;
        if !Self::is_name(&name) {
            return Err(wrong(
                "name",
                "it must have 1 to 64 bytes that show, and no `/`",
            ));
        }
        if document.addresses.is_empty() || document.addresses.len() > Self::MAX_ADDRESSES {
            return Err(wrong("list of addresses", "it must have 1 to 16 entries"));
        }
        let addresses = document
            .addresses
            .iter()
            .map(|text| parse_address(text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut key = [0; 32];
        hex::decode_to_slice(&document.key, &mut key)
            .map_err(|_| wrong("key", "it must have 64 hexadecimal digits"))?;
        Ok(Self {
            network_id: document.network_id,
            name,
            addresses,
            key: SwarmKey::from_bytes(key),
        })
    }
}

fn parse_address(text: &str) -> Result<Multiaddr, InvitationError> {
    let wrong = |reason: String| InvitationError::Field {
        field: "address",
        reason,
    };
    if text.len() > Invitation::MAX_ADDRESS_BYTES {
        return Err(wrong("it is longer than 256 bytes".to_owned()));
    }
    text.parse()
        .map_err(|error: libp2p::multiaddr::Error| wrong(error.to_string()))
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = Document {
            network_id: self.network_id,
            name: self.name.clone(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            key: hex::encode(self.key.as_bytes()),
        };
        let mut bytes = serde_json::to_vec(&document).map_err(|_| fmt::Error)?;
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest[..CHECK_BYTES]);
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_CHARACTERS {
            return Err(InvitationError::TooLong);
        }
        let encoded = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(InvitationError::Prefix)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| InvitationError::Damaged)?;
        let (json, check) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(InvitationError::Damaged)?;
        if Sha256::digest(json)[..CHECK_BYTES] != check[..] {
            return Err(InvitationError::Damaged);
        }
        let document = serde_json::from_slice(json).map_err(|error| InvitationError::Field {
            field: "document",
            reason: error.to_string(),
        })?;
        Self::from_document(document)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("network_id", &self.network_id)
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            network_id: NetworkId::generate(),
            name: "Réseau de l'Est".to_owned(),
            addresses: vec!["/ip4/192.0.2.7/tcp/4001".parse().unwrap()],
            key: SwarmKey::generate(),
        }
    }

    fn sealed(json: &str) -> String {
        let mut bytes = json.as_bytes().to_vec();
        bytes.extend_from_slice(&Sha256::digest(json)[..CHECK_BYTES]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    #[test]
    fn an_invitation_is_read_back_as_written() {
        let invitation = invitation();
        let text = format!("  {invitation}\n");
        assert_eq!(text.parse(), Ok(invitation));
    }

    #[test]
    fn a_paste_that_lost_its_end_is_reported_as_such() {
        let text = invitation().to_string();
        for end in PREFIX.len()..text.len() {
            assert_eq!(
                text[..end].parse::<Invitation>(),
                Err(InvitationError::Damaged),
                "{end}"
            );
        }
        assert_eq!("".parse::<Invitation>(), Err(InvitationError::Prefix));
    }

    #[test]
    fn a_field_out_of_its_limits_is_named() {
        let id = "00112233445566778899aabbccddeeff";
        let key = "0".repeat(64);
        let address = "/ip4/192.0.2.7/tcp/4001";
        let document = |name: &str, addresses: &str, key: &str| {
            sealed(&format!(
                r#"{{"network_id":"{id}","name":"{name}","addresses":[{addresses}],"key":"{key}"}}"#
            ))
        };
        let one = format!("\"{address}\"");
        let many = vec![one.as_str(); 17].join(",");
        let long = format!("\"/dns4/{}/tcp/1\"", "a".repeat(300));
        let cases = [
            (document("", &one, &key), "name"),
            (document("a\\u0000b", &one, &key), "name"),
            (document("../a", &one, &key), "name"),
            (document("a", "", &key), "list of addresses"),
            (document("a", &many, &key), "list of addresses"),
            (document("a", "\"over there\"", &key), "address"),
            (document("a", &long, &key), "address"),
            (document("a", &one, "00"), "key"),
            (sealed("{}"), "document"),
        ];
        for (text, expected) in cases {
            match text.parse::<Invitation>() {
                Err(InvitationError::Field { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        assert!(document("a", &one, &key).parse::<Invitation>().is_ok());
    }

    #[test]
    fn ten_megabytes_are_refused_unread() {
        let text = format!("{PREFIX}{}", "A".repeat(10_000_000));
        assert_eq!(text.parse::<Invitation>(), Err(InvitationError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_document_makes_the_parser_panic(json in "\\PC{0,200}") {
            let _ = sealed(&json).parse::<Invitation>();
        }

        #[test]
        fn one_changed_character_is_noticed(at in 0..400usize, digit in "[A-Za-z0-9_-]") {
            let text = invitation().to_string();
            let at = PREFIX.len() + at % (text.len() - PREFIX.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &digit);
            prop_assume!(changed != text);
            prop_assert!(changed.parse::<Invitation>().is_err());
        }
    }
}
