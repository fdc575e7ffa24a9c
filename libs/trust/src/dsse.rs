//! DSSE v1 envelopes (github.com/secure-systems-lab/dsse, protocol.md and envelope.md): what is
//! signed, and its JSON form. It does not know what a payload means.

use crate::error::OpenError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use oc_kernel::Digest;
use serde::{Deserialize, Serialize};

/// Largest envelope that is read, in bytes of JSON.
pub const LIMIT: usize = 1 << 20;

/// Most signatures an envelope may carry: two sides, each while it changes a key.
const MOST_SIGNATURES: usize = 4;

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key's id, as the signer's KeySet lists it. Not signed: a hint where to look.
    pub key_id: String,
    /// The 64 bytes of an Ed25519 signature.
    pub bytes: Vec<u8>,
}

/// A payload with its type and signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The media type of the payload.
    pub payload_type: String,
    /// The payload, byte for byte as it was signed.
    pub payload: Vec<u8>,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

// Fields that are not listed are ignored, as envelope.md demands; strictness belongs to the payload,
// which is signed.
#[derive(Serialize, Deserialize)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs `payload` with one key.
    pub fn signed(payload_type: &str, payload: Vec<u8>, key_id: &str, key: &SigningKey) -> Self {
        let mut envelope = Self {
            payload_type: payload_type.to_owned(),
            payload,
            signatures: Vec::with_capacity(1),
        };
        let bytes = key.sign(&envelope.signed_bytes()).to_bytes().to_vec();
        envelope.signatures.push(Signature {
            key_id: key_id.to_owned(),
            bytes,
        });
        envelope
    }

    /// Reads the JSON form. No signature is checked.
    ///
    /// # Errors
    /// When the text is too long, is not the JSON of an envelope, or carries no or too many signatures.
    pub fn from_json(bytes: &[u8]) -> Result<Self, OpenError> {
        if bytes.len() > LIMIT {
            return Err(OpenError::TooLarge {
                most: LIMIT,
                length: bytes.len(),
            });
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(OpenError::malformed)?;
        if wire.signatures.is_empty() || wire.signatures.len() > MOST_SIGNATURES {
            return Err(OpenError::Malformed(format!(
                "an envelope carries 1 to {MOST_SIGNATURES} signatures, this one {}",
                wire.signatures.len()
            )));
        }
        let signatures = wire
            .signatures
            .into_iter()
            .map(|signature| {
                Ok(Signature {
                    key_id: signature.keyid,
                    bytes: decode(&signature.sig)?,
                })
            })
            .collect::<Result<_, OpenError>>()?;
        Ok(Self {
            payload_type: wire.payload_type,
            payload: decode(&wire.payload)?,
            signatures,
        })
    }

    /// The JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: self
                .signatures
                .iter()
                .map(|signature| WireSignature {
                    keyid: signature.key_id.clone(),
                    sig: STANDARD.encode(&signature.bytes),
                })
                .collect(),
        };
        // Strings and lists of strings always have a JSON form.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// What is signed: the pre-authentication encoding of type and payload.
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Names the statement whoever signed it: the digest of [`Envelope::signed_bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    /// Checks the signatures by the keys `find` knows; the ids of those that hold, each once.
    ///
    /// # Errors
    /// When a signature by a known key does not hold, or none is by a known key.
    pub fn verify<'k>(
        &self,
        find: impl Fn(&str) -> Option<&'k VerifyingKey>,
    ) -> Result<Vec<&str>, OpenError> {
        let message = self.signed_bytes();
        let mut held: Vec<&str> = Vec::new();
        for signature in &self.signatures {
            let key_id = signature.key_id.as_str();
            let Some(key) = find(key_id) else { continue };
            let bad = || OpenError::BadSignature {
                key_id: key_id.to_owned(),
            };
            let parsed =
                ed25519_dalek::Signature::from_slice(&signature.bytes).map_err(|_| bad())?;
            key.verify_strict(&message, &parsed).map_err(|_| bad())?;
            if !held.contains(&key_id) {
                held.push(key_id);
            }
        }
        if held.is_empty() {
            return Err(OpenError::NoKnownSigner);
        }
        Ok(held)
    }
}

/// The pre-authentication encoding, protocol.md: `DSSEv1 <length> <type> <length> <payload>`.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

// envelope.md allows both alphabets; both engines refuse stray bits and missing padding.
fn decode(text: &str) -> Result<Vec<u8>, OpenError> {
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text).map_err(OpenError::malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    // protocol.md, section "Test Vectors".
    const TYPE: &str = "http://example.com/HelloWorld";
    const JSON: &str = r#"{"payload": "aGVsbG8gd29ybGQ=",
        "payloadType": "http://example.com/HelloWorld",
        "signatures": [{"keyid": "", "sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;

    #[test]
    fn the_published_vector_is_encoded_as_published() {
        assert_eq!(
            pae(TYPE, b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        let envelope = Envelope::from_json(JSON.as_bytes()).unwrap();
        assert_eq!(envelope.payload_type, TYPE);
        assert_eq!(envelope.payload, b"hello world");
        assert_eq!(envelope.signatures[0].bytes.len(), 64);
    }

    #[test]
    fn lengths_count_bytes_not_characters() {
        assert_eq!(pae("é", b""), "DSSEv1 2 é 0 ".as_bytes());
    }

    #[test]
    fn both_base64_alphabets_and_unknown_envelope_fields_are_read() {
        let plain = Envelope::from_json(JSON.as_bytes()).unwrap();
        let url = JSON
            .replace('+', "-")
            .replace("\"payload\"", "\"x\": 1, \"payload\"");
        assert_eq!(Envelope::from_json(url.as_bytes()).unwrap(), plain);
    }

    #[test]
    fn an_envelope_made_by_another_implementation_verifies() {
        // Made with PyNaCl 1.6: key of the seed 00 01 .. 1f, signature over pae(type, payload).
        let json = include_str!("../tests/fixtures/dsse-ed25519.json");
        let envelope = Envelope::from_json(json.as_bytes()).unwrap();
        let seed: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let key = SigningKey::from_bytes(&seed).verifying_key();
        assert_eq!(envelope.verify(|_| Some(&key)).unwrap(), ["seed-00-1f"]);
    }

    #[test]
    fn loose_base64_and_wrong_numbers_of_signatures_are_refused() {
        for (from, to) in [
            ("aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGR="),
            ("aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGQ"),
            ("\"keyid\": \"\", ", ""),
            ("[{", "[], \"old\": [{"),
        ] {
            let json = JSON.replace(from, to);
            assert!(Envelope::from_json(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn more_than_a_mebibyte_is_not_even_parsed() {
        let json = vec![b' '; LIMIT + 1];
        let error = Envelope::from_json(&json).unwrap_err();
        assert!(matches!(error, OpenError::TooLarge { .. }), "{error}");
    }
}
