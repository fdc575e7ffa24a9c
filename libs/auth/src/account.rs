//! Tokens of local accounts. The token is shown once; only its digest is kept.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oc_kernel::{Classify, Kind};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "oc_";
/// 32 bytes in base64url without padding.
const LENGTH: usize = PREFIX.len() + 43;

/// A text that is not a token of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an account's token: it begins with `{PREFIX}` and has {LENGTH} characters")]
pub struct TokenError;

impl Classify for TokenError {
    fn kind(&self) -> Kind {
        Kind::Unauthenticated
    }
}

/// The secret of a local account: `oc_` and 32 random bytes in base64url. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AccountToken(String);

impl AccountToken {
    /// A new random token.
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(secret.as_mut());
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(secret.as_ref(), &mut text);
        Self(text)
    }

    /// The token, to be shown once or sent.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it. One round of SHA-256 is enough for a secret of 256 random bits.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl FromStr for AccountToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != LENGTH {
            return Err(TokenError);
        }
        let secret = text.strip_prefix(PREFIX).ok_or(TokenError)?;
        URL_SAFE_NO_PAD
            .decode(secret)
            .map(Zeroizing::new)
            .map_err(|_| TokenError)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for AccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oc_...")
    }
}

/// The SHA-256 digest of a token, in hex: what a store keeps and looks accounts up by.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// True when it is the digest of `token`; takes the same time whether or not.
    pub fn is_of(&self, token: &AccountToken) -> bool {
        *self == token.digest()
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for TokenDigest {}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest)?;
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_again_by_its_digest_alone() {
        let token = AccountToken::generate();
        let read: AccountToken = token.expose().parse().unwrap();
        let stored = serde_json::to_string(&token.digest()).unwrap();
        assert!(!stored.contains(token.expose()));
        let kept: TokenDigest = serde_json::from_str(&stored).unwrap();
        assert!(kept.is_of(&read));
        assert!(!kept.is_of(&AccountToken::generate()));
    }

    #[test]
    fn a_token_does_not_show_itself_in_a_log() {
        let token = AccountToken::generate();
        assert_eq!(format!("{token:?}"), "oc_...");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = AccountToken::generate();
        let good = good.expose();
        for text in [
            "",
            "oc_",
            &good[1..],
            &good.replace("oc_", "gh_"),
            &format!("{good}A"),
        ] {
            assert_eq!(
                text.parse::<AccountToken>().err(),
                Some(TokenError),
                "{text}"
            );
        }
        let bad_alphabet = format!("oc_{}", "+".repeat(43));
        assert!(bad_alphabet.parse::<AccountToken>().is_err());
    }

    #[test]
    fn two_tokens_are_never_alike() {
        let [a, b] = [(); 2].map(|()| AccountToken::generate());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), LENGTH);
    }
}
