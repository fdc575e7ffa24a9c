//! Why this service refuses or fails: one type for both faces, whose kind decides the status.

use oc_auth::MacaroonError;
use oc_door::DoorError;
use oc_kernel::{Classify, Kind, NameError, PageTokenError};
use oc_objects::ObjectError;
use oc_service::CallError;
use oc_store::StoreError;
use oc_trust::{ChainError, OpenError, SignError};

use crate::domain::admission::Refusal;
use crate::domain::egress::OverEgress;
use crate::domain::fragment::FragmentError;
use crate::domain::grant::{GrantError, RequestError, RuleError};
use crate::domain::lease::LeaseError;
use crate::domain::ledger::LedgerError;
use crate::domain::offer::OfferError;
use crate::domain::room::RoomError;
use crate::domain::runtime::RuntimeError;

macro_rules! causes {
    ($($variant:ident($cause:ty)),* $(,)?) => {
        /// Why this service refuses or fails.
        #[derive(Debug, thiserror::Error)]
        #[expect(missing_docs, reason = "each wraps the error it is named after")]
        pub enum Error {
            $(#[error(transparent)] $variant(#[from] $cause),)*
            /// A field of a request cannot be read.
            #[error("{field}: {reason}")]
            Malformed {
                /// The field.
                field: &'static str,
                /// Why.
                reason: String,
            },
            /// A field of a request is against a rule.
            #[error("{field}: {reason}")]
            Invalid {
                /// The field.
                field: &'static str,
                /// Why.
                reason: String,
            },
            /// There is no such thing, or the caller may not know that there is.
            #[error("no {what} `{name}` here")]
            Unknown {
                /// What kind of thing.
                what: &'static str,
                /// What was asked for.
                name: String,
            },
            /// The caller is known and may not do this.
            #[error("{0}")]
            Forbidden(String),
            /// Someone else was there first, or says something else.
            #[error("{0}")]
            Conflict(String),
            /// A limit is reached; the text has the number.
            #[error("{0}")]
            Limit(String),
            /// Not now.
            #[error("{0}")]
            Precondition(String),
            /// Somebody who is needed gives no answer; trying again may help.
            #[error("{0}")]
            Unavailable(String),
        }

        impl Classify for Error {
            fn kind(&self) -> Kind {
                match self {
                    $(Error::$variant(cause) => cause.kind(),)*
                    Error::Malformed { .. } => Kind::Malformed,
                    Error::Invalid { .. } => Kind::Invalid,
                    Error::Unknown { .. } => Kind::NotFound,
                    Error::Forbidden(_) => Kind::Forbidden,
                    Error::Conflict(_) => Kind::Conflict,
                    Error::Limit(_) => Kind::Exhausted,
                    Error::Precondition(_) => Kind::Precondition,
                    Error::Unavailable(_) => Kind::Unavailable,
                }
            }

            fn advice(&self) -> Option<String> {
                match self {
                    $(Error::$variant(cause) => cause.advice(),)*
                    _ => None,
                }
            }
        }
    };
}

/// A refusal whose cause has no kind of its own: what a person wrote is not the form of something.
macro_rules! malformed {
    ($($cause:ty => $field:literal),* $(,)?) => {$(
        impl From<$cause> for Error {
            fn from(cause: $cause) -> Self {
                Error::Malformed { field: $field, reason: cause.to_string() }
            }
        }
    )*};
}

causes! {
    Admission(Refusal),
    Call(CallError),
    Chain(ChainError),
    Door(DoorError),
    Egress(OverEgress),
    Fragment(FragmentError),
    Grant(GrantError),
    Lease(LeaseError),
    Ledger(LedgerError),
    Macaroon(MacaroonError),
    Object(ObjectError),
    Offer(OfferError),
    Open(OpenError),
    Request(RequestError),
    Room(RoomError),
    Rule(RuleError),
    Runtime(RuntimeError),
    Sign(SignError),
    Store(StoreError),
}

malformed! {
    NameError => "name",
    PageTokenError => "page_token",
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Error::Call(status.into())
    }
}

impl Error {
    /// A thing that is not here.
    pub(crate) fn unknown(what: &'static str, name: impl ToString) -> Self {
        let name: String = name.to_string().chars().take(200).collect();
        Error::Unknown { what, name }
    }
}
