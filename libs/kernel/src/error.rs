//! The one table of error kinds. Every domain error maps to a [`Kind`]; only the edges turn a kind into
//! a gRPC or an HTTP status, so both faces of a service always agree.

use crate::code::Code;

/// What went wrong, in the terms a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The request cannot be read: malformed JSON, a bad id, an unknown field.
    Malformed,
    /// The request is well-formed but breaks a rule of the domain.
    Invalid,
    /// No valid proof of who is calling.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// The thing does not exist, or the caller may not know that it does.
    NotFound,
    /// A thing of that name exists already.
    AlreadyExists,
    /// Someone else changed the thing, or the same operation came with another body.
    Conflict,
    /// The revision the caller saw is no longer the current one.
    Stale,
    /// The state of the thing does not allow this now.
    Precondition,
    /// A limit, quota or queue is full.
    Exhausted,
    /// The peer or a part of this node cannot be reached; trying again may help.
    Unavailable,
    /// The deadline passed before an answer came.
    Timeout,
    /// This build or this machine cannot do it.
    Unsupported,
    /// A defect or a broken disk; the text stays in the log.
    Internal,
}

impl Kind {
    /// Every kind, for tests that walk the table.
    pub const ALL: [Kind; 14] = [
        Kind::Malformed,
        Kind::Invalid,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::AlreadyExists,
        Kind::Conflict,
        Kind::Stale,
        Kind::Precondition,
        Kind::Exhausted,
        Kind::Unavailable,
        Kind::Timeout,
        Kind::Unsupported,
        Kind::Internal,
    ];

    /// HTTP status code (RFC 9110).
    pub const fn http_status(self) -> u16 {
        match self {
            Kind::Malformed => 400,
            Kind::Invalid => 422,
            Kind::Unauthenticated => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::AlreadyExists | Kind::Conflict | Kind::Precondition => 409,
            Kind::Stale => 412,
            Kind::Exhausted => 429,
            Kind::Unavailable => 503,
            Kind::Timeout => 504,
            Kind::Unsupported => 501,
            Kind::Internal => 500,
        }
    }

    /// gRPC status code (the numbers of `google.rpc.Code`).
    pub const fn grpc_code(self) -> i32 {
        match self {
            Kind::Malformed | Kind::Invalid => 3,
            Kind::Timeout => 4,
            Kind::NotFound => 5,
            Kind::AlreadyExists => 6,
            Kind::Forbidden => 7,
            Kind::Exhausted => 8,
            Kind::Precondition => 9,
            Kind::Conflict | Kind::Stale => 10,
            Kind::Unsupported => 12,
            Kind::Internal => 13,
            Kind::Unavailable => 14,
            Kind::Unauthenticated => 16,
        }
    }

    /// Stable name: the `reason` of gRPC `ErrorInfo` and the last part of a problem's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Malformed => "malformed",
            Kind::Invalid => "invalid",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not-found",
            Kind::AlreadyExists => "already-exists",
            Kind::Conflict => "conflict",
            Kind::Stale => "stale",
            Kind::Precondition => "precondition",
            Kind::Exhausted => "exhausted",
            Kind::Unavailable => "unavailable",
            Kind::Timeout => "timeout",
            Kind::Unsupported => "unsupported",
            Kind::Internal => "internal",
        }
    }

    /// The inverse of [`Kind::as_str`].
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The nearest kind for a gRPC code whose details are missing.
    pub const fn from_grpc_code(code: i32) -> Kind {
        match code {
            3 | 11 => Kind::Invalid,
            4 => Kind::Timeout,
            5 => Kind::NotFound,
            6 => Kind::AlreadyExists,
            7 => Kind::Forbidden,
            8 => Kind::Exhausted,
            9 => Kind::Precondition,
            10 => Kind::Conflict,
            12 => Kind::Unsupported,
            1 | 14 => Kind::Unavailable,
            16 => Kind::Unauthenticated,
            _ => Kind::Internal,
        }
    }

    /// True where the same request may succeed later without any change.
    pub const fn retryable(self) -> bool {
        matches!(self, Kind::Unavailable | Kind::Timeout | Kind::Exhausted)
    }
}

/// Implemented by every domain error: the kind decides both statuses, `Display` is what a person reads.
pub trait Classify: std::error::Error + Send + Sync + 'static {
    /// The row of the table this error belongs to.
    fn kind(&self) -> Kind;

    /// Which refusal of that kind this is, where a program that calls would do something else for it.
    fn code(&self) -> Option<Code> {
        None
    }

    /// What the person can do next, in one sentence, where the message alone does not say it.
    fn advice(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn every_kind_is_found_again_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn the_page_of_problems_has_each_row_of_the_table_and_no_other() {
        let page = include_str!("../../../docs/problems.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut rows = rows.map(|row| row.split(" | ").take(3).collect::<Vec<_>>());
        for kind in Kind::ALL {
            let row = rows.next().unwrap();
            assert_eq!(row[0].trim_end_matches('`'), kind.as_str());
            assert_eq!(row[1], kind.http_status().to_string());
            assert_eq!(grpc_code(row[2]), kind.grpc_code());
        }
        assert_eq!(rows.next().unwrap()[0], "detail`");
    }

    /// The number of a name in `google.rpc.Code`.
    fn grpc_code(name: &str) -> i32 {
        match name {
            "INVALID_ARGUMENT" => 3,
            "DEADLINE_EXCEEDED" => 4,
            "NOT_FOUND" => 5,
            "ALREADY_EXISTS" => 6,
            "PERMISSION_DENIED" => 7,
            "RESOURCE_EXHAUSTED" => 8,
            "FAILED_PRECONDITION" => 9,
            "ABORTED" => 10,
            "UNIMPLEMENTED" => 12,
            "INTERNAL" => 13,
            "UNAVAILABLE" => 14,
            "UNAUTHENTICATED" => 16,
            other => panic!("{other} is no code"),
        }
    }

    #[test]
    fn only_what_may_pass_later_is_retryable() {
        let retryable: Vec<_> = Kind::ALL.into_iter().filter(|k| k.retryable()).collect();
        assert_eq!(
            retryable,
            [Kind::Exhausted, Kind::Unavailable, Kind::Timeout]
        );
    }

    #[test]
    fn client_errors_stay_below_500_and_ours_above() {
        for kind in Kind::ALL {
            let ours = matches!(
                kind,
                Kind::Unavailable | Kind::Timeout | Kind::Unsupported | Kind::Internal
            );
            assert_eq!(kind.http_status() >= 500, ours, "{kind:?}");
        }
    }
}
