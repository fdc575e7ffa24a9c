//! What a call that failed means for a run: in a word and a sentence, and whether trying again helps.

use oc_door::DoorError;
use oc_kernel::{Classify, Kind};
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

    /// A grant is not in force.
    pub(crate) fn no_grant(text: String) -> Self {
        Self {
            code: code::GRANT_REVOKED,
            text,
            lasting: true,
        }
    }

    fn of(kind: Kind, text: String) -> Self {
        let (code, lasting) = match kind {
            Kind::Unavailable | Kind::Timeout => (code::UNREACHABLE, false),
            Kind::Exhausted => (code::FULL, false),
            Kind::Internal | Kind::Stale => (code::INTERNAL, false),
            // Something signed was too old or too new: clocks differ, or it was slow once.
            Kind::Unauthenticated | Kind::Forbidden if is_out_of_time(&text) => {
                (code::CLOCK_SKEW, false)
            }
            // A key may have changed; the other side asks for the newest KeySet and then knows it.
            Kind::Unauthenticated => (code::REFUSED, false),
            Kind::Unsupported if text.contains("isolate") => (code::NO_SANDBOX, true),
            Kind::Unsupported => (code::UNSUPPORTED, true),
            Kind::Forbidden | Kind::Precondition => (refusal(&text), true),
            // In the words of compute-provider. We hold the grant, so there is one less reason.
            Kind::NotFound if text.contains("no grant grant-") => {
                let text = format!("it has left the network since, or removed the grant: {text}");
                return Self {
                    code: code::GRANT_GONE,
                    text,
                    lasting: true,
                };
            }
            Kind::NotFound => (code::REFUSED, true),
            Kind::Malformed | Kind::Invalid | Kind::AlreadyExists | Kind::Conflict => {
                (code::REFUSED, true)
            }
        };
        Self {
            code,
            text,
            lasting,
        }
    }
}

/// Statements that are refused for their time say so in the words of [`oc_trust::OpenError`].
fn is_out_of_time(text: &str) -> bool {
    let begins = text.contains("it begins ") && text.contains(" ms from now");
    let ended = text.contains("it ended ") && text.contains(" ms ago");
    begins || ended
}

/// Partners say why in words; the few that decide whether another site may help are known.
fn refusal(text: &str) -> &'static str {
    let known = [
        ("revoked", code::GRANT_REVOKED),
        ("expired", code::GRANT_EXPIRED),
        ("has ended", code::GRANT_EXPIRED),
        ("needs a grant", code::NO_GRANT),
        ("withdrawn", code::GRANT_REVOKED),
        ("does not allow that", code::OVER_LIMIT),
        ("used or set aside", code::OVER_LIMIT),
        ("dispute", code::DISPUTE),
        ("lease was lost", code::LEASE_LOST),
    ];
    let found = known.iter().find(|(word, _)| text.contains(word));
    found.map_or(code::REFUSED, |(_, code)| code)
}

impl From<CallError> for CallFailure {
    fn from(error: CallError) -> Self {
        Self::of(error.kind(), error.message)
    }
}

impl From<DoorError> for CallFailure {
    fn from(error: DoorError) -> Self {
        Self::of(error.kind(), error.to_string())
    }
}

impl From<SignError> for CallFailure {
    fn from(error: SignError) -> Self {
        Self::of(error.kind(), error.to_string())
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
    use oc_trust::OpenError;

    use super::*;

    fn failure(kind: Kind, message: &str) -> CallFailure {
        let message = message.to_owned();
        CallError {
            kind,
            message,
            advice: None,
        }
        .into()
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_was_refused_is_not() {
        for (kind, code, lasting) in [
            (Kind::Unavailable, code::UNREACHABLE, false),
            (Kind::Timeout, code::UNREACHABLE, false),
            (Kind::Exhausted, code::FULL, false),
            (Kind::Invalid, code::REFUSED, true),
            (Kind::Unsupported, code::UNSUPPORTED, true),
        ] {
            let failure = failure(kind, "text");
            assert_eq!((failure.code, failure.lasting), (code, lasting), "{kind:?}");
        }
    }

    #[test]
    fn only_what_is_out_of_its_time_is_laid_to_the_clocks() {
        let not_yet = OpenError::NotYet { ahead_ms: 95_000 }.to_string();
        let expired = OpenError::Expired { ago_ms: 95_000 }.to_string();
        for text in [not_yet, expired] {
            let text = format!("the chain gives no authority: {text}");
            for kind in [Kind::Unauthenticated, Kind::Forbidden] {
                assert_eq!(failure(kind, &text).code, code::CLOCK_SKEW, "{text}");
            }
        }
        let changed_key = OpenError::NoKnownSigner.to_string();
        let failure = failure(Kind::Unauthenticated, &changed_key);
        assert_eq!(failure.code, code::REFUSED);
    }

    #[test]
    fn a_partner_that_knows_its_grant_no_more_has_left_or_removed_it() {
        let failure = failure(Kind::NotFound, "no grant grant-1 here");
        assert_eq!(failure.code, code::GRANT_GONE);
        assert!(failure.text.contains("has left the network"));
    }

    #[test]
    fn a_revoked_grant_and_a_limit_are_told_from_another_refusal() {
        let revoked = failure(
            Kind::Forbidden,
            "grant grant-1 is revoked: no more students",
        );
        assert_eq!(revoked.code, code::GRANT_REVOKED);
        assert_eq!(failure(Kind::Forbidden, "not you").code, code::REFUSED);
        let over = failure(
            Kind::Forbidden,
            "grant grant-1 does not allow that: 8 cores asked for, 2 allowed",
        );
        assert_eq!((over.code, over.lasting), (code::OVER_LIMIT, true));
    }
}
