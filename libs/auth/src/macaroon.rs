//! Macaroons: minting, narrowing and checking. Whoever holds one can add caveats and cannot take any away
//! (Birgisson et al., NDSS 2014; the derivations are those of libmacaroons).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::caveat::{Ask, Caveat};
use crate::error::MacaroonError;
use crate::format;

/// The key that makes and checks macaroons; it never leaves the service that has it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// A new random key.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// A stored key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key, to be stored where only this service reads.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// A bearer token with restrictions. Its text is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Macaroon {
    location: Option<String>,
    identifier: Vec<u8>,
    caveats: Vec<String>,
    signature: [u8; 32],
}

impl Macaroon {
    /// A new macaroon without restrictions; `identifier` tells the maker what it was made for.
    pub fn mint(key: &RootKey, identifier: &str) -> Self {
        Self {
            location: None,
            identifier: identifier.as_bytes().to_vec(),
            caveats: Vec::new(),
            signature: first_signature(key, identifier.as_bytes()),
        }
    }

    /// The same macaroon with one restriction more.
    #[must_use]
    pub fn with(mut self, caveat: &Caveat) -> Self {
        self.add(caveat.to_string());
        self
    }

    fn add(&mut self, caveat: String) {
        self.signature = hmac(&self.signature, caveat.as_bytes());
        self.caveats.push(caveat);
    }

    /// What it was made for, as its maker wrote it. Not to be believed before [`Macaroon::verify`].
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// The restrictions, in the order they were added.
    pub fn caveats(&self) -> impl Iterator<Item = &str> {
        self.caveats.iter().map(String::as_str)
    }

    /// Checks that `key` made it and that it opens what is asked for.
    ///
    /// # Errors
    /// When it was changed or made with another key, when a caveat is unknown or does not hold, or when nothing
    /// restricts what must be restricted.
    pub fn verify(&self, key: &RootKey, ask: &Ask<'_>) -> Result<(), MacaroonError> {
        let first = first_signature(key, &self.identifier);
        let expected = self.caveats.iter().fold(first, |signature, caveat| {
            hmac(&signature, caveat.as_bytes())
        });
        if !bool::from(expected.ct_eq(&self.signature)) {
            return Err(MacaroonError::Forged);
        }
        Ok(ask.check(self.caveats())?)
    }

    /// The text that goes into an `Authorization` header: the binary form in base64url without padding.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(format::write(
            self.location.as_deref(),
            &self.identifier,
            &self.caveats,
            &self.signature,
        ))
    }

    /// Reads the text form. Nothing is verified.
    ///
    /// # Errors
    /// When it is not the text of a macaroon, or has a third-party caveat.
    pub fn from_text(text: &str) -> Result<Self, MacaroonError> {
        if text.len() > format::LIMIT * 4 / 3 + 4 {
            return Err(MacaroonError::Malformed("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| MacaroonError::Malformed("it is not base64url"))?;
        let parts = format::read(&bytes)?;
        Ok(Self {
            location: parts.location.map(str::to_owned),
            identifier: parts.identifier.to_vec(),
            caveats: parts.caveats.into_iter().map(str::to_owned).collect(),
            signature: parts.signature,
        })
    }
}

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Macaroon")
            .field("identifier", &String::from_utf8_lossy(&self.identifier))
            .field("caveats", &self.caveats)
            .finish_non_exhaustive()
    }
}

fn first_signature(key: &RootKey, identifier: &[u8]) -> [u8; 32] {
    let derived = hmac(b"macaroons-key-generator", &key.0);
    hmac(&derived, identifier)
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length (RFC 2104, section 2)"
    )]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        first_party: Vec<Vector>,
        third_party: String,
    }

    #[derive(Deserialize)]
    struct Vector {
        key: String,
        location: String,
        identifier: String,
        caveats: Vec<String>,
        signature: String,
        text: String,
    }

    /// Made by pymacaroons: see macaroons.py beside it.
    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../tests/fixtures/macaroons.json")).unwrap()
    }

    #[test]
    fn our_macaroons_are_those_of_pymacaroons_byte_for_byte() {
        for vector in vectors().first_party {
            let mut key = [0; 32];
            hex::decode_to_slice(&vector.key, &mut key).unwrap();
            let mut made = Macaroon::mint(&RootKey(key), &vector.identifier);
            made.location = Some(vector.location);
            for caveat in vector.caveats {
                made.add(caveat);
            }
            assert_eq!(hex::encode(made.signature), vector.signature);
            assert_eq!(made.to_text(), vector.text);
            assert_eq!(Macaroon::from_text(&vector.text), Ok(made));
        }
    }

    #[test]
    fn a_third_party_caveat_is_refused() {
        let error = Macaroon::from_text(&vectors().third_party).unwrap_err();
        assert_eq!(error, MacaroonError::ThirdParty);
    }

    #[test]
    fn a_macaroon_shows_no_signature_in_a_log() {
        let macaroon = Macaroon::mint(&RootKey::generate(), "step");
        let shown = format!("{macaroon:?}");
        assert!(!shown.contains("signature"), "{shown}");
    }
}
