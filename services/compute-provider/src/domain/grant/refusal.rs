//! Why a grant does not change, or does not allow a use.

use oc_kernel::{Classify, Code, GrantId, Kind, Name};

use super::GrantState;

/// Why a grant does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Nobody knows it here, or the caller may not.
    #[error("no grant {0} here")]
    Unknown(String),
    /// Its state does not allow it.
    #[error("grant {id} is {state}: {wanted} is not possible any more ({cause})")]
    State {
        /// The grant.
        id: GrantId,
        /// Where it stands.
        state: GrantState,
        /// What was wanted.
        wanted: &'static str,
        /// Why it stands there.
        cause: String,
    },
    /// More than was asked for.
    #[error("more is to be given than was asked for: {0}")]
    MoreThanAsked(oc_trust::OverLimit),
    /// The signed form is of something else.
    #[error("the signed grant is not the one that was {0}")]
    Other(&'static str),
    /// Not in force for this use.
    #[error("grant {id} {why}")]
    NotInForce {
        /// The grant.
        id: GrantId,
        /// Why.
        why: NotInForce,
    },
}

/// Why a grant is not in force for a use; its text follows the grant's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInForce {
    /// Not agreed on yet, or over.
    #[error("is {state}: {cause}")]
    State {
        /// Where it stands.
        state: GrantState,
        /// Why it stands there.
        cause: String,
    },
    /// Its time is over.
    #[error("is expired: its end was reached")]
    Past,
    /// Its time has not come.
    #[error("has not begun yet")]
    Ahead,
    /// It is for something else.
    #[error("does not cover listing `{0}`")]
    NotCovered(Name),
    /// It has another generation than the one that was shown.
    #[error("was changed")]
    Changed,
}

impl NotInForce {
    fn code(&self) -> Option<Code> {
        match self {
            NotInForce::State { state, .. } => match state {
                GrantState::Ended => Some(Code::GrantEnded),
                GrantState::Revoked => Some(Code::GrantRevoked),
                GrantState::Expired => Some(Code::GrantExpired),
                _ => None,
            },
            NotInForce::Past => Some(Code::GrantExpired),
            NotInForce::Ahead => Some(Code::NotYetValid),
            NotInForce::NotCovered(_) => Some(Code::GrantMissing),
            NotInForce::Changed => Some(Code::GrantChanged),
        }
    }
}

impl Classify for GrantError {
    fn kind(&self) -> Kind {
        match self {
            GrantError::Unknown(_) => Kind::NotFound,
            GrantError::State { .. } => Kind::Precondition,
            GrantError::MoreThanAsked(_) => Kind::Invalid,
            GrantError::Other(_) => Kind::Conflict,
            GrantError::NotInForce { .. } => Kind::Forbidden,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            GrantError::Unknown(_) => Some(Code::GrantUnknown),
            GrantError::NotInForce { why, .. } => why.code(),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            GrantError::NotInForce { why, .. } if *why != NotInForce::Changed => {
                Some("ask for a new grant with `opencloud grant request`".to_owned())
            }
            _ => None,
        }
    }
}
