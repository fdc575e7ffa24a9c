//! Why this service refuses or fails: one type for both faces, whose kind decides the status.

use oc_auth::MacaroonError;
use oc_door::DoorError;
use oc_kernel::{Classify, Code, GrantId, Kind, NameError, PageTokenError};
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
            /// A limit is reached, and waiting gives nothing back; the text has the number.
            #[error("{0}")]
            Limit(String),
            /// Not now.
            #[error("{0}")]
            Precondition(String),
            /// An objection to the books of a grant waits for an answer.
            #[error("nothing begins under grant {grant} while its books are disputed: {objection}")]
            Disputed {
                /// The grant.
                grant: GrantId,
                /// The objection.
                objection: String,
            },
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
                    Error::Precondition(_) | Error::Disputed { .. } => Kind::Precondition,
                    Error::Unavailable(_) => Kind::Unavailable,
                }
            }

            fn code(&self) -> Option<Code> {
                match self {
                    $(Error::$variant(cause) => cause.code(),)*
                    Error::Disputed { .. } => Some(Code::BooksDisputed),
                    Error::Limit(_) => Some(Code::OverLimit),
                    _ => None,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oc_kernel::{LeaseId, ReservationId};
    use oc_trust::{Limits, OverLimit};

    use super::*;
    use crate::domain::grant::{GrantState, NotInForce};
    use crate::domain::resources::Amount;

    fn not_in_force(why: NotInForce) -> Error {
        let id = GrantId::new();
        GrantError::NotInForce { id, why }.into()
    }

    fn in_state(state: GrantState) -> Error {
        let cause = "maintenance".to_owned();
        not_in_force(NotInForce::State { state, cause })
    }

    fn over() -> OverLimit {
        let one = Limits {
            cores: 1,
            ..Limits::default()
        };
        one.within(&Limits::default()).unwrap_err()
    }

    fn over_the_grant(spent: u64) -> Error {
        let over = LedgerError::OverLimit {
            grant: GrantId::new(),
            amount: Amount::CoreMs,
            asked: 1,
            used: 10,
            spent,
            limit: 10,
        };
        over.into()
    }

    #[test]
    fn each_refusal_that_a_program_acts_on_has_its_code() {
        let generation = Refusal::OldGeneration {
            presented: 1,
            current: 2,
        };
        let over_grant = Refusal::OverGrant {
            grant: "grant-1".to_owned(),
            over: over(),
        };
        let disputed = Error::Disputed {
            grant: GrantId::new(),
            objection: "charge".to_owned(),
        };
        let withdrawn = LedgerError::Withdrawn {
            offer: "cpu".parse().unwrap(),
        };
        let reservation = LedgerError::NoReservation {
            reservation: ReservationId::new(),
        };
        let lease = LedgerError::NoLease {
            lease: LeaseId::new(),
        };
        let chain = ChainError::Open {
            part: "delegation 1".to_owned(),
            source: OpenError::Expired { ago_ms: 1 },
        };
        let full = RoomError::Full {
            offer: "tiny".parse().unwrap(),
            asked: 3,
            used: 3,
            limit: 5,
        };
        let table: [(Error, Option<Code>); 25] = [
            (disputed, Some(Code::BooksDisputed)),
            (generation.into(), Some(Code::GrantChanged)),
            (not_in_force(NotInForce::Changed), Some(Code::GrantChanged)),
            (in_state(GrantState::Ended), Some(Code::GrantEnded)),
            (in_state(GrantState::Expired), Some(Code::GrantExpired)),
            (not_in_force(NotInForce::Past), Some(Code::GrantExpired)),
            (in_state(GrantState::Revoked), Some(Code::GrantRevoked)),
            (in_state(GrantState::Pending), None),
            (Refusal::NoGrant.into(), Some(Code::GrantMissing)),
            (
                not_in_force(NotInForce::NotCovered("dataset.x".parse().unwrap())),
                Some(Code::GrantMissing),
            ),
            (
                GrantError::Unknown("grant-1".to_owned()).into(),
                Some(Code::GrantUnknown),
            ),
            (reservation.into(), Some(Code::HoldLapsed)),
            (lease.into(), Some(Code::LeaseLost)),
            (
                LeaseError::Lost(Duration::from_secs(15)).into(),
                Some(Code::LeaseLost),
            ),
            (chain.into(), Some(Code::NoLongerValid)),
            (not_in_force(NotInForce::Ahead), Some(Code::NotYetValid)),
            (withdrawn.into(), Some(Code::OfferWithdrawn)),
            (over_grant.into(), Some(Code::OverLimit)),
            (over_the_grant(10), Some(Code::OverLimit)),
            // What is set aside comes back: the kind says to wait.
            (over_the_grant(0), None),
            (
                Refusal::NoSandbox("no bwrap".to_owned()).into(),
                Some(Code::SandboxMissing),
            ),
            (full.into(), Some(Code::StorageFull)),
            (RoomError::TooManyOpen { limit: 1 }.into(), None),
            (Error::Limit("5 bytes".to_owned()), Some(Code::OverLimit)),
            (Error::Forbidden("not you".to_owned()), None),
        ];
        for (error, code) in table {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn what_another_service_answered_keeps_its_code() {
        let answer = CallError {
            code: Some(Code::NoImage),
            ..CallError::new(Kind::Precondition, "no image")
        };
        assert_eq!(Error::from(answer).code(), Some(Code::NoImage));
    }
}
