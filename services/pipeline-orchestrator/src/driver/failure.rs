//! What a call that failed means for a run: in a word and a sentence, and whether trying again helps.

use oc_door::DoorError;
use oc_kernel::{Classify, Code, Kind};
use oc_service::CallError;
use oc_store::StoreError;
use oc_trust::SignError;
use oc_workflow::run::code;

use crate::values::ValueError;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallFailure {
    /// One of [`code`].
    pub(crate) code: &'static str,
    /// A sentence for a person.
    pub(crate) text: String,
    /// It would fail again.
    pub(crate) lasting: bool,
}

impl CallFailure {
    /// Something here is not as it must be.
    pub(crate) fn defect(text: impl ToString) -> Self {
        Self {
            code: code::INTERNAL,
            text: text.to_string(),
            lasting: true,
        }
    }

    /// A holder of data refuses them: what it was counted by and does not know any more is gone.
    pub(crate) fn of_data(error: CallError) -> Self {
        match (error.code(), error.kind()) {
            (None, Kind::NotFound) => Self {
                code: code::DATA_GONE,
                text: error.to_string(),
                lasting: true,
            },
            _ => error.into(),
        }
    }

    /// A grant is not in force.
    pub(crate) fn no_grant(text: String) -> Self {
        Self {
            code: code::GRANT_REVOKED,
            text,
            lasting: true,
        }
    }

    fn of<E: Classify>(error: &E) -> Self {
        let (code, lasting) = match error.code() {
            Some(code) => by_code(code),
            None => by_kind(error.kind()),
        };
        let text = match code {
            // We hold the grant, so there is one reason less.
            code::GRANT_GONE => {
                format!("it has left the network since, or removed the grant: {error}")
            }
            _ => error.to_string(),
        };
        Self {
            code,
            text,
            lasting,
        }
    }
}

/// What a partner's code means for a run, and whether the same would fail again.
fn by_code(code: Code) -> (&'static str, bool) {
    match code {
        Code::BooksDisputed => (code::DISPUTE, true),
        // What was signed under the earlier generation is of no use, as after a revocation.
        Code::GrantChanged | Code::GrantRevoked => (code::GRANT_REVOKED, true),
        Code::GrantEnded | Code::GrantExpired => (code::GRANT_EXPIRED, true),
        Code::GrantMissing => (code::NO_GRANT, true),
        Code::GrantUnknown => (code::GRANT_GONE, true),
        Code::HoldLapsed => (code::HOLD_LAPSED, true),
        Code::LeaseLost => (code::LEASE_LOST, true),
        // What was counted is no longer there.
        Code::NoImage => (code::DATA_GONE, true),
        // Something signed was too old or too new: clocks differ, or it was slow once.
        Code::NoLongerValid | Code::NotYetValid => (code::CLOCK_SKEW, false),
        Code::OfferWithdrawn => (code::OFFER_WITHDRAWN, true),
        Code::OverLimit => (code::OVER_LIMIT, true),
        Code::SandboxMissing => (code::NO_SANDBOX, true),
        Code::StorageFull => (code::STORAGE_FULL, true),
    }
}

/// The same where there is no code, or one of a newer version.
fn by_kind(kind: Kind) -> (&'static str, bool) {
    match kind {
        Kind::Unavailable | Kind::Timeout => (code::UNREACHABLE, false),
        Kind::Exhausted => (code::FULL, false),
        Kind::Internal | Kind::Stale => (code::INTERNAL, false),
        // A key may have changed; the other side asks for the newest KeySet and then knows it.
        Kind::Unauthenticated => (code::REFUSED, false),
        Kind::Unsupported => (code::UNSUPPORTED, true),
        Kind::Forbidden
        | Kind::Precondition
        | Kind::NotFound
        | Kind::Malformed
        | Kind::Invalid
        | Kind::AlreadyExists
        | Kind::Conflict => (code::REFUSED, true),
    }
}

impl From<CallError> for CallFailure {
    fn from(error: CallError) -> Self {
        Self::of(&error)
    }
}

impl From<DoorError> for CallFailure {
    fn from(error: DoorError) -> Self {
        Self::of(&error)
    }
}

impl From<SignError> for CallFailure {
    fn from(error: SignError) -> Self {
        Self::of(&error)
    }
}

impl From<StoreError> for CallFailure {
    fn from(error: StoreError) -> Self {
        Self {
            code: code::INTERNAL,
            text: error.to_string(),
            lasting: false,
        }
    }
}

impl From<ValueError> for CallFailure {
    fn from(error: ValueError) -> Self {
        Self::defect(error)
    }
}

#[cfg(test)]
mod tests {
    use oc_workflow::run::Remedy;

    use super::*;

    fn failure(kind: Kind, code: Option<Code>) -> CallFailure {
        let error = CallError::new(kind, "text");
        CallError { code, ..error }.into()
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_was_refused_is_not() {
        for (kind, code, lasting) in [
            (Kind::Unavailable, code::UNREACHABLE, false),
            (Kind::Timeout, code::UNREACHABLE, false),
            (Kind::Exhausted, code::FULL, false),
            (Kind::Unauthenticated, code::REFUSED, false),
            (Kind::Invalid, code::REFUSED, true),
            (Kind::Unsupported, code::UNSUPPORTED, true),
        ] {
            let failure = failure(kind, None);
            assert_eq!((failure.code, failure.lasting), (code, lasting), "{kind:?}");
        }
    }

    #[test]
    fn a_code_decides_whatever_the_kind_and_the_words_are() {
        for word in Code::ALL {
            let first = failure(Kind::Forbidden, Some(word));
            let second = failure(Kind::Exhausted, Some(word));
            assert_eq!(first, second, "{word}");
        }
        let words = "grant grant-1 is revoked, expired and withdrawn: its books are in dispute";
        let plain = CallFailure::from(CallError::new(Kind::Forbidden, words));
        assert_eq!(plain.code, code::REFUSED);
    }

    #[test]
    fn each_code_is_a_cause_with_a_remedy_of_its_own() {
        for word in Code::ALL {
            let failure = failure(Kind::Forbidden, Some(word));
            assert_ne!(failure.code, code::REFUSED, "{word}");
        }
        let elsewhere = |word| {
            let code = failure(Kind::Forbidden, Some(word)).code;
            let me = oc_kernel::OrgId::from_digest([1; 32]);
            oc_workflow::run::Cause::new(code, "", me, jiff::Timestamp::UNIX_EPOCH).remedy()
        };
        assert_eq!(elsewhere(Code::OfferWithdrawn), Remedy::Elsewhere);
        assert_eq!(elsewhere(Code::HoldLapsed), Remedy::Again);
    }

    #[test]
    fn an_image_that_its_holder_does_not_know_any_more_is_gone() {
        let failure = CallFailure::of_data(CallError::new(Kind::NotFound, "no image `x`"));
        assert_eq!((failure.code, failure.lasting), (code::DATA_GONE, true));
        let away = CallFailure::of_data(CallError::new(Kind::Unavailable, "away"));
        assert_eq!((away.code, away.lasting), (code::UNREACHABLE, false));
    }

    #[test]
    fn only_what_is_out_of_its_time_is_laid_to_the_clocks() {
        use oc_trust::OpenError;
        let of = |error: &OpenError| CallFailure::from(CallError::of(error));
        for out_of_time in [
            OpenError::NotYet { ahead_ms: 95_000 },
            OpenError::Expired { ago_ms: 95_000 },
        ] {
            let failure = of(&out_of_time);
            assert_eq!((failure.code, failure.lasting), (code::CLOCK_SKEW, false));
        }
        assert_eq!(of(&OpenError::NoKnownSigner).code, code::REFUSED);
    }

    #[test]
    fn a_partner_that_knows_its_grant_no_more_has_left_or_removed_it() {
        let failure = failure(Kind::NotFound, Some(Code::GrantUnknown));
        assert_eq!(failure.code, code::GRANT_GONE);
        assert!(failure.text.contains("has left the network"));
    }
}
