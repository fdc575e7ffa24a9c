//! Why a macaroon opens nothing.

use oc_kernel::{Classify, Kind};

use crate::caveat::Refusal;

/// Why a macaroon is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacaroonError {
    /// Not the binary form of a macaroon of version 2.
    #[error("the macaroon cannot be read: {0}")]
    Malformed(&'static str),
    /// It asks for somebody else's discharge.
    #[error("the macaroon has a third-party caveat, which nobody discharges here")]
    ThirdParty,
    /// Not made with this key, or changed.
    #[error("the macaroon was not made here or was changed")]
    Forged,
    /// It does not open what is asked for.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Classify for MacaroonError {
    fn kind(&self) -> Kind {
        match self {
            MacaroonError::Malformed(_) | MacaroonError::ThirdParty | MacaroonError::Forged => {
                Kind::Unauthenticated
            }
            MacaroonError::Refused(_) => Kind::Forbidden,
        }
    }
}
