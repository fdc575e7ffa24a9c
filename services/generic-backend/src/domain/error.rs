//! What can go wrong.

use oc_kernel::{Classify, Kind, NameError, Revision};
use oc_store::StoreError;

/// Why a use case of this service failed.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A name that cannot be one.
    #[error("{what}: {source}")]
    Name {
        /// What was to be named.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// An organisation's id that is none.
    #[error("`{0}` names no organisation")]
    Owner(String),
    /// A role that does not exist or that no person can have.
    #[error("`{0}` is no role of a person: write user, operator or admin")]
    Role(String),
    /// No such user.
    #[error("there is no user `{0}`")]
    UnknownUser(String),
    /// The name is taken.
    #[error("there is a user `{0}` already")]
    UserExists(String),
    /// Removing the last administrator would lock everybody out.
    #[error("`{0}` is the last administrator and cannot be removed")]
    LastAdmin(String),
    /// A token that opens nothing.
    #[error("this token is not known here")]
    Token,
    /// A service asked for what belongs to a person.
    #[error("this belongs to a person: call it with a person's token")]
    NoPerson,
    /// No such draft.
    #[error("there is no draft `{0}`")]
    UnknownDraft(String),
    /// The draft was changed since it was read.
    #[error("the draft `{name}` was changed meanwhile: revision {seen} was seen, it is at {found}")]
    StaleDraft {
        /// Its name.
        name: String,
        /// The revision the caller saw.
        seen: Revision,
        /// The revision it has.
        found: Revision,
    },
    /// A draft that is too long.
    #[error("a draft may have {limit} bytes, this one has {length}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// What was given, in bytes.
        length: usize,
    },
    /// Too many of something.
    #[error("a user may keep {limit} {what}: delete one first")]
    TooMany {
        /// The limit.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// The store's.
    #[error("the store cannot do it")]
    Store(#[from] StoreError),
}

impl Classify for BackendError {
    fn kind(&self) -> Kind {
        match self {
            BackendError::Name { .. } | BackendError::Owner(_) | BackendError::Role(_) => {
                Kind::Invalid
            }
            BackendError::TooLong { .. } => Kind::Invalid,
            BackendError::UnknownUser(_) | BackendError::UnknownDraft(_) => Kind::NotFound,
            BackendError::UserExists(_) => Kind::AlreadyExists,
            BackendError::LastAdmin(_) => Kind::Precondition,
            BackendError::Token => Kind::Unauthenticated,
            BackendError::NoPerson => Kind::Forbidden,
            BackendError::StaleDraft { .. } => Kind::Stale,
            BackendError::TooMany { .. } => Kind::Exhausted,
            BackendError::Store(error) => error.kind(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            BackendError::StaleDraft { .. } => Some(
                "read the draft again, put your change in, and write it with the new revision"
                    .to_owned(),
            ),
            BackendError::LastAdmin(_) => Some("make another administrator first".to_owned()),
            BackendError::Store(error) => error.advice(),
            _ => None,
        }
    }
}
