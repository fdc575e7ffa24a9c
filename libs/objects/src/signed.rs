//! Short-lived URLs of a node: an HMAC over method, key and expiry.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use oc_kernel::{Classify, Kind, ObjectKey};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Separates these signatures from others made with the same key.
const CONTEXT: &[u8] = b"opencloud object url v1";

/// Why a signed URL does not open anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedUrlError {
    /// Not the query of a signed URL.
    #[error("the signed url is incomplete or malformed")]
    Malformed,
    /// Signed for another method, key or time, or by another node.
    #[error("the signature of the url is wrong")]
    Signature,
    /// Too late, or signed for longer than is allowed.
    #[error("the signed url has expired: ask for a new one")]
    Expired,
}

impl Classify for SignedUrlError {
    fn kind(&self) -> Kind {
        match self {
            Self::Malformed => Kind::Malformed,
            Self::Signature | Self::Expired => Kind::Forbidden,
        }
    }
}

/// Signs and verifies; holds no state but the key.
#[derive(Clone)]
pub struct UrlSigner {
    key: [u8; 32],
    longest: Duration,
}

impl std::fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UrlSigner")
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

impl UrlSigner {
    /// Longest life of a URL unless set otherwise (architecture, decision 13).
    pub const LONGEST: Duration = Duration::from_secs(10);

    /// A signer with a secret of its own.
    pub const fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            longest: Self::LONGEST,
        }
    }

    /// The same with another longest life.
    #[must_use]
    pub const fn with_longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// The query that lets `method` (upper case) pass for `key` until `life` from now, at most the
    /// longest life: `expires=<milliseconds since the epoch>&signature=<base64url>`.
    pub fn sign(&self, method: &str, key: &ObjectKey, now_ms: u64, life: Duration) -> String {
        let life = u64::try_from(life.min(self.longest).as_millis()).unwrap_or(u64::MAX);
        let expires = now_ms.saturating_add(life);
        let signature = URL_SAFE_NO_PAD.encode(self.mac(method, key, expires));
        format!("expires={expires}&signature={signature}")
    }

    /// Checks a query made by [`UrlSigner::sign`]; other parameters in it are ignored.
    ///
    /// # Errors
    /// When it does not let `method` pass for `key` now.
    pub fn verify(
        &self,
        method: &str,
        key: &ObjectKey,
        query: &str,
        now_ms: u64,
    ) -> Result<(), SignedUrlError> {
        let expires: u64 = parameter(query, "expires")
            .and_then(|text| text.parse().ok())
            .ok_or(SignedUrlError::Malformed)?;
        let signature = parameter(query, "signature")
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or(SignedUrlError::Malformed)?;
        let right = self.mac(method, key, expires).ct_eq(signature.as_slice());
        if !bool::from(right) {
            return Err(SignedUrlError::Signature);
        }
        let longest = u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX);
        if now_ms >= expires || expires - now_ms > longest {
            return Err(SignedUrlError::Expired);
        }
        Ok(())
    }

    fn mac(&self, method: &str, key: &ObjectKey, expires: u64) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.key_block());
        // A key holds no NUL, so no two requests share a text.
        for part in [
            CONTEXT,
            method.as_bytes(),
            key.as_str().as_bytes(),
            expires.to_string().as_bytes(),
        ] {
            mac.update(part);
            mac.update(&[0]);
        }
        mac.finalize().into_bytes().into()
    }

    /// The key, padded to the block of the hash (RFC 2104, section 2).
    fn key_block(&self) -> hmac::digest::Key<Hmac<Sha256>> {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..self.key.len()].copy_from_slice(&self.key);
        block
    }
}

/// The value of a parameter that is there exactly once.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(found, value)| (found == name).then_some(value));
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn signer() -> UrlSigner {
        UrlSigner::new([7; 32])
    }

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    fn five() -> Duration {
        Duration::from_secs(5)
    }

    #[test]
    fn a_signed_url_opens_its_object_until_it_expires() {
        let query = signer().sign("GET", &key("a/b"), NOW, five());
        let verify = |now| signer().verify("GET", &key("a/b"), &query, now);
        assert_eq!(verify(NOW), Ok(()));
        assert_eq!(verify(NOW + 4999), Ok(()));
        assert_eq!(verify(NOW + 5000), Err(SignedUrlError::Expired));
    }

    #[test]
    fn it_opens_nothing_else() {
        let query = signer().sign("GET", &key("a/b"), NOW, five());
        let wrong = Err(SignedUrlError::Signature);
        let verify = |method, text| signer().verify(method, &key(text), &query, NOW);
        assert_eq!(verify("PUT", "a/b"), wrong);
        assert_eq!(verify("GET", "a/c"), wrong);
        let other = UrlSigner::new([8; 32]);
        assert_eq!(other.verify("GET", &key("a/b"), &query, NOW), wrong);
        let later = query.replace(&(NOW + 5000).to_string(), &(NOW + 6000).to_string());
        assert_ne!(later, query);
        assert_eq!(signer().verify("GET", &key("a/b"), &later, NOW), wrong);
    }

    #[test]
    fn a_long_life_is_cut_and_one_signed_elsewhere_is_refused() {
        let week = Duration::from_secs(7 * 24 * 3600);
        let query = signer().sign("GET", &key("a"), NOW, week);
        assert!(query.contains(&format!("expires={}", NOW + 10_000)));
        let generous = signer().with_longest(week);
        let query = generous.sign("GET", &key("a"), NOW, week);
        assert_eq!(generous.verify("GET", &key("a"), &query, NOW), Ok(()));
        assert_eq!(
            signer().verify("GET", &key("a"), &query, NOW),
            Err(SignedUrlError::Expired)
        );
    }

    #[test]
    fn a_doubled_or_missing_parameter_is_malformed() {
        let query = signer().sign("GET", &key("a"), NOW, five());
        let (expires, signature) = query.split_once('&').unwrap();
        for text in [
            "",
            expires,
            signature,
            &format!("{query}&{expires}"),
            &format!("expires=soon&{signature}"),
            &format!("{expires}&signature=!"),
        ] {
            let verified = signer().verify("GET", &key("a"), text, NOW);
            assert_eq!(verified, Err(SignedUrlError::Malformed), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_character_never_passes(at in 0usize..80, by in 1u8..64) {
            let query = signer().sign("GET", &key("a/b"), NOW, five());
            let mut bytes = query.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = (bytes[at] ^ by) & 0x7f;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assume!(changed != query);
            prop_assert!(signer().verify("GET", &key("a/b"), &changed, NOW).is_err());
        }
    }
}
