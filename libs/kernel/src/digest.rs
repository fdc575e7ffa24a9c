//! SHA-256 digests, by which objects are named and statements are compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest: write 64 lower-case hex digits")]
pub struct ParseDigestError(String);

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// First bytes of a SHA-256 multihash: its code and its length (multiformats, "multihash").
    const MULTIHASH: [u8; 2] = [0x12, 0x20];

    /// The digest of `bytes`.
    pub fn of(bytes: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of `parts` one after the other, nothing between them.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// A digest that somebody else computed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As `file:checksum` of the STAC file extension writes it: a hex multihash.
    pub fn to_multihash(self) -> String {
        format!("{}{self}", hex::encode(Self::MULTIHASH))
    }

    /// Reads a hex multihash; none when it is of another kind of digest.
    pub fn from_multihash(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(&hex::encode(Self::MULTIHASH))?;
        digits.parse().ok()
    }

    /// Without an allocation: the books write millions of them.
    fn with_hex<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        let mut digits = [0; 64];
        let written = hex::encode_to_slice(self.0, &mut digits);
        debug_assert!(written.is_ok(), "64 digits hold 32 bytes");
        f(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|digits| f.write_str(digits))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut digest) {
            Ok(()) if lower => Ok(Self(digest)),
            _ => Err(ParseDigestError(text.chars().take(80).collect())),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|digits| serializer.serialize_str(digits))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_in_both_spellings() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::of("abc");
        assert_eq!(digest, Digest::of_parts(&[b"a", b"", b"bc"]));
        assert_eq!(digest.to_string(), abc);
        assert_eq!(abc.parse(), Ok(digest));
        assert_eq!(
            serde_json::to_string(&digest).unwrap(),
            format!("\"{abc}\"")
        );
        assert_eq!(digest.to_multihash(), format!("1220{abc}"));
        assert_eq!(Digest::from_multihash(&digest.to_multihash()), Some(digest));
    }

    #[test]
    fn other_spellings_and_other_hashes_are_refused() {
        let text = Digest::of("abc").to_string();
        for wrong in [
            text.to_uppercase(),
            text[1..].to_owned(),
            format!("{text}0"),
            format!("{text}00"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
            let json = format!("\"{wrong}\"");
            assert!(serde_json::from_str::<Digest>(&json).is_err(), "{wrong}");
        }
        assert_eq!(Digest::from_multihash(&format!("1114{text}")), None);
    }
}
