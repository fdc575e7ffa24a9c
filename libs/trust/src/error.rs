//! Why something signed is refused.

use crate::limits::OverLimit;
use crate::purpose::Purpose;
use oc_kernel::{Classify, Code, Digest, Kind, OrgId};

/// Why an envelope is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// More bytes than are read.
    #[error("what is signed may have {most} bytes, this has {length}")]
    TooLarge {
        /// What is read, in bytes.
        most: usize,
        /// What came, in bytes.
        length: usize,
    },
    /// Not the JSON of an envelope or of the statement, or a field that this version does not know.
    #[error("the signed statement cannot be read: {0}")]
    Malformed(String),
    /// A statement of another type.
    #[error("a statement of type {expected} is needed, this is `{found}`")]
    Type {
        /// The type that was asked for.
        expected: &'static str,
        /// The type of the envelope.
        found: String,
    },
    /// A signature by a key that is listed does not fit the bytes.
    #[error("the signature by key {key_id} does not fit: the statement was changed on its way")]
    BadSignature {
        /// The key's id.
        key_id: String,
    },
    /// No signature is by a key that the organisation lists for this purpose.
    #[error("nobody who may sign this has signed it: fetch the signer's newest KeySet")]
    NoKnownSigner,
    /// One side's signature is missing.
    #[error("the signature of {missing} is missing")]
    Unsigned {
        /// Who has not signed.
        missing: OrgId,
    },
    /// The KeySet of a signer is not known here.
    #[error("the KeySet of {org} is not known here: join its network first")]
    UnknownOrganisation {
        /// The signer.
        org: OrgId,
    },
    /// From the future by more than the tolerated skew.
    #[error("it begins {ahead_ms} ms from now: compare both clocks")]
    NotYet {
        /// How far ahead, in ms.
        ahead_ms: u64,
    },
    /// Its end has passed.
    #[error("it ended {ago_ms} ms ago")]
    Expired {
        /// How long ago, in ms.
        ago_ms: u64,
    },
    /// Made for another network.
    #[error("it was signed for network `{found}`, not for `{expected}`")]
    Network {
        /// The network it came over.
        expected: String,
        /// The network inside the signature.
        found: String,
    },
    /// Well-formed and against a rule of its type.
    #[error("{0}")]
    Rule(String),
}

impl OpenError {
    pub(crate) fn malformed(error: impl std::fmt::Display) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Classify for OpenError {
    fn kind(&self) -> Kind {
        match self {
            OpenError::TooLarge { .. } | OpenError::Malformed(_) | OpenError::Type { .. } => {
                Kind::Malformed
            }
            OpenError::BadSignature { .. }
            | OpenError::NoKnownSigner
            | OpenError::Unsigned { .. }
            | OpenError::UnknownOrganisation { .. } => Kind::Unauthenticated,
            OpenError::NotYet { .. } | OpenError::Expired { .. } | OpenError::Network { .. } => {
                Kind::Forbidden
            }
            OpenError::Rule(_) => Kind::Invalid,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            OpenError::NotYet { .. } => Some(Code::NotYetValid),
            OpenError::Expired { .. } => Some(Code::NoLongerValid),
            _ => None,
        }
    }
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The type is in no row of [`crate::duty()`]'s table.
    #[error("statements of type `{0}` are not signed on request")]
    UnknownType(String),
    /// The signer has no key of the purpose.
    #[error("no key for the purpose `{0}` here")]
    NoKey(Purpose),
    /// The statement breaks a rule of its type.
    #[error("{0}")]
    Rule(String),
    /// The signer does not sign this for this caller.
    #[error("signing was refused: {0}")]
    Refused(String),
    /// The signer cannot be reached, or its answer is not what was asked for.
    #[error("the signer did not answer: {0}")]
    Unavailable(String),
}

impl Classify for SignError {
    fn kind(&self) -> Kind {
        match self {
            SignError::UnknownType(_) | SignError::Rule(_) => Kind::Invalid,
            SignError::NoKey(_) => Kind::Internal,
            SignError::Refused(_) => Kind::Forbidden,
            SignError::Unavailable(_) => Kind::Unavailable,
        }
    }
}

/// Why a chain of delegations gives no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No delegation, or more than are followed.
    #[error("a chain has 1 to {most} delegations, this one {found}")]
    Length {
        /// How many are followed.
        most: usize,
        /// How many came.
        found: usize,
    },
    /// An envelope of the chain does not open.
    #[error("{part} does not hold: {source}")]
    Open {
        /// `the grant` or `delegation 1`, ...
        part: String,
        /// Why.
        source: OpenError,
    },
    /// The chain begins with somebody who does not own what is asked for.
    #[error("the chain is rooted in {found}, this belongs to {expected}")]
    Root {
        /// The owner.
        expected: OrgId,
        /// The organisation the chain begins with.
        found: OrgId,
    },
    /// Signed by somebody its parent was not given to.
    #[error("delegation {link} is by {found}, but only {expected} may pass this on")]
    Issuer {
        /// Place in the chain, from 1.
        link: usize,
        /// The audience of the parent.
        expected: OrgId,
        /// The issuer.
        found: OrgId,
    },
    /// It names another parent.
    #[error("delegation {link} belongs to another parent, {found:?}")]
    Parent {
        /// Place in the chain, from 1.
        link: usize,
        /// The parent it names.
        found: Option<Digest>,
    },
    /// Shown by somebody it was not given to.
    #[error("the chain was given to {expected}, and {found} shows it")]
    Presenter {
        /// The audience of the last delegation.
        expected: OrgId,
        /// Who shows it.
        found: OrgId,
    },
    /// It gives more than its parent has.
    #[error("delegation {link} widens what it was given: {what}")]
    Wider {
        /// Place in the chain, from 1.
        link: usize,
        /// What does not fit.
        what: String,
    },
    /// It asks for more than the limit.
    #[error("delegation {link} is over the limit: {over}")]
    Limit {
        /// Place in the chain, from 1.
        link: usize,
        /// Which limit, with both numbers.
        over: OverLimit,
    },
}

impl Classify for ChainError {
    fn kind(&self) -> Kind {
        match self {
            ChainError::Length { .. } => Kind::Malformed,
            ChainError::Open { source, .. } => source.kind(),
            ChainError::Limit { .. } => Kind::Exhausted,
            ChainError::Root { .. }
            | ChainError::Issuer { .. }
            | ChainError::Parent { .. }
            | ChainError::Presenter { .. }
            | ChainError::Wider { .. } => Kind::Forbidden,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            ChainError::Open { source, .. } => source.code(),
            ChainError::Limit { .. } => Some(Code::OverLimit),
            _ => None,
        }
    }
}
