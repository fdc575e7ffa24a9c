//! Errors at the edge: RFC 9457 problems for REST, `google.rpc.ErrorInfo` for gRPC, both made from the one
//! table of [`Kind`]s, and back again when the other side of a call answers with one.

use std::collections::HashMap;
use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use oc_kernel::{Classify, Code, Kind};
use serde::{Deserialize, Serialize};
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use utoipa::ToSchema;

/// The media type of RFC 9457.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The `domain` of every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "open-cloud.dev";
const TYPE_PREFIX: &str = "https://open-cloud.dev/problems/";
/// Seconds after which a caller may try a retryable error again.
const RETRY_AFTER_SECONDS: &str = "1";

/// One place in a document or a body that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What is wrong there.
    pub message: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// A JSON pointer (RFC 6901) to the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// The body of every REST error: an RFC 9457 problem with three members of our own, `code`, `advice` and `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `https://open-cloud.dev/problems/` and the kind of error.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind of error in words.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// Which refusal of that kind it is, in a stable word for programs, where that tells more than the kind.
    #[serde(
        default,
        deserialize_with = "Code::known",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub code: Option<Code>,
    /// What happened, naming the thing.
    pub detail: String,
    /// The request id, as in `x-request-id` and the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub instance: Option<Box<str>>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub advice: Option<Box<str>>,
    /// Each place that is wrong, where there are several or a position is known.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<Finding>)]
    pub errors: Box<[Finding]>,
}

impl Problem {
    /// The problem of a kind, with what happened.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self::other(kind.http_status(), kind.as_str(), detail)
    }

    /// A problem of HTTP itself, which the table of kinds does not know.
    pub(crate) fn other(status: u16, name: &str, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("{TYPE_PREFIX}{name}"),
            title: name.replace('-', " ").into(),
            status,
            code: None,
            detail: detail.into(),
            instance: None,
            advice: None,
            errors: Box::default(),
        }
    }

    /// The problem a domain error becomes. An internal error is logged here, once, and its text stays in the log.
    pub fn of<E: Classify>(error: &E) -> Self {
        Self {
            code: error.code(),
            advice: error.advice().map(Into::into),
            ..Self::new(error.kind(), public_text(error))
        }
    }

    /// The problem another service answered with.
    pub fn from_status(status: &Status) -> Self {
        let CallError {
            kind,
            code,
            message,
            advice,
        } = CallError::from(status.clone());
        let violations = status.get_error_details().bad_request().cloned();
        let errors = violations
            .map(|bad| bad.field_violations.iter().map(finding).collect())
            .unwrap_or_default();
        Self {
            code,
            advice: advice.map(Into::into),
            errors,
            ..Self::new(kind, message)
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into().into());
        self
    }

    /// Names each place that is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Finding>) -> Self {
        self.errors = errors.into();
        self
    }

    /// The kind of error; none for the few that HTTP itself defines.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_name(self.type_uri.strip_prefix(TYPE_PREFIX)?)
    }
}

impl<E: Classify> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        if self.instance.is_none() {
            self.instance = crate::request_id().map(Into::into);
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"open-cloud\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            let after = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            headers.insert(header::RETRY_AFTER, after);
        }
        response
    }
}

/// The gRPC status a domain error becomes: the number of its kind, with the kind as `reason`, its own code and the
/// advice in the metadata of `google.rpc.ErrorInfo`.
pub fn status<E: Classify>(error: &E) -> Status {
    status_with(error, &[])
}

/// As [`status`], with each place that is wrong in `google.rpc.BadRequest`.
pub fn status_with<E: Classify>(error: &E, errors: &[Finding]) -> Status {
    let message = public_text(error);
    build_status(error.kind(), error.code(), message, error.advice(), errors)
}

pub(crate) fn build_status(
    kind: Kind,
    code: Option<Code>,
    message: String,
    advice: Option<String>,
    errors: &[Finding],
) -> Status {
    let code = code.map(|code| ("code".to_owned(), code.to_string()));
    let advice = advice.map(|advice| ("advice".to_owned(), advice));
    let metadata: HashMap<String, String> = code.into_iter().chain(advice).collect();
    let mut details = ErrorDetails::with_error_info(kind.as_str(), DOMAIN, metadata);
    for error in errors {
        let place = match (&error.pointer, error.line) {
            (Some(pointer), _) => pointer.clone(),
            (None, Some(line)) => format!("{line}:{}", error.column.unwrap_or(1)),
            (None, None) => String::new(),
        };
        details.add_bad_request_violation(place, &error.message);
    }
    Status::with_error_details(tonic::Code::from_i32(kind.grpc_code()), message, details)
}

fn finding(violation: &FieldViolation) -> Finding {
    let place = violation.field.as_str();
    let position = place
        .split_once(':')
        .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    let pointer = position.is_none() && !place.is_empty();
    Finding {
        message: violation.description.clone(),
        line: position.map(|(line, _)| line),
        column: position.map(|(_, column)| column),
        pointer: pointer.then(|| place.to_owned()),
    }
}

/// The text a caller may read; what only the operator may read goes to the log.
fn public_text<E: Classify>(error: &E) -> String {
    match error.kind() {
        Kind::Internal => {
            tracing::error!(error = chain(error), "internal error");
            "internal error: the log of this node tells more under the request id".to_owned()
        }
        Kind::Unavailable => {
            tracing::warn!(error = chain(error), "a part cannot be reached");
            error.to_string()
        }
        _ => error.to_string(),
    }
}

/// An error and its sources, joined by colons.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// What another service or a partner answered instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The row of the table; from `google.rpc.ErrorInfo`, or the nearest one for the bare code.
    pub kind: Kind,
    /// Which refusal of that kind it is, where the other side says so in a word that is known here.
    pub code: Option<Code>,
    /// The answer's text.
    pub message: String,
    /// What to do next, as the other side sees it.
    pub advice: Option<String>,
}

impl CallError {
    /// An error of a kind, with what happened.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            advice: None,
        }
    }

    /// The same refusal, to be passed on.
    pub fn of<E: Classify>(error: &E) -> Self {
        Self {
            kind: error.kind(),
            code: error.code(),
            message: error.to_string(),
            advice: error.advice(),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let ours = info.filter(|info| info.domain == DOMAIN);
        let named = ours.and_then(|info| Kind::from_name(&info.reason));
        let code = ours.and_then(|info| Code::from_name(info.metadata.get("code")?));
        Self {
            kind: named.unwrap_or_else(|| Kind::from_grpc_code(status.code() as i32)),
            code,
            message: status.message().to_owned(),
            advice: info.and_then(|info| info.metadata.get("advice").cloned()),
        }
    }
}

impl Classify for CallError {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn code(&self) -> Option<Code> {
        self.code
    }

    fn advice(&self) -> Option<String> {
        self.advice.clone()
    }
}

/// Turns the error of a use case into a gRPC status: `catalog.get(id).await.or_status()?`.
pub trait OrStatus<T> {
    /// The same result with the error as [`status`] makes it.
    ///
    /// # Errors
    /// The error there was.
    fn or_status(self) -> Result<T, Status>;
}

impl<T, E: Classify> OrStatus<T> for Result<T, E> {
    fn or_status(self) -> Result<T, Status> {
        self.map_err(|error| status(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the limit is 4")]
    struct Sample(Kind);

    impl Classify for Sample {
        fn kind(&self) -> Kind {
            self.0
        }

        fn advice(&self) -> Option<String> {
            Some("ask for less".to_owned())
        }
    }

    #[test]
    fn every_kind_survives_a_call() {
        for kind in Kind::ALL {
            let error = CallError::from(status(&Sample(kind)));
            assert_eq!(error.kind, kind);
            assert_eq!(error.advice.as_deref(), Some("ask for less"));
            assert_eq!(Problem::of(&error).status, kind.http_status());
        }
    }

    #[test]
    fn every_code_survives_a_call_and_a_problem() {
        for code in Code::ALL {
            let sent = CallError {
                code: Some(code),
                ..CallError::new(Kind::Forbidden, "no")
            };
            let error = CallError::from(status(&sent));
            assert_eq!(error, sent);
            let problem = serde_json::to_value(Problem::of(&error)).unwrap();
            assert_eq!(problem["code"], code.as_str());
            let problem: Problem = serde_json::from_value(problem).unwrap();
            assert_eq!(problem.code, Some(code));
        }
        let problem = serde_json::to_value(Problem::new(Kind::Invalid, "no")).unwrap();
        assert!(problem.get("code").is_none(), "{problem}");
    }

    #[test]
    fn a_code_that_is_not_known_here_leaves_the_kind() {
        let metadata = [("code".to_owned(), "solar-flare".to_owned())];
        let details = ErrorDetails::with_error_info("stale", DOMAIN, metadata);
        let newer = Status::with_error_details(tonic::Code::Aborted, "old", details);
        let error = CallError::from(newer);
        assert_eq!((error.kind, error.code), (Kind::Stale, None));
    }

    #[test]
    fn findings_survive_a_call() {
        let at = |line, column, pointer: Option<&str>| Finding {
            message: "wrong".to_owned(),
            line,
            column,
            pointer: pointer.map(str::to_owned),
        };
        let findings = [
            at(Some(3), Some(7), None),
            at(None, None, Some("/a/b")),
            at(None, None, None),
        ];
        let status = status_with(&Sample(Kind::Invalid), &findings);
        assert_eq!(*Problem::from_status(&status).errors, findings);
    }

    #[test]
    fn a_status_of_someone_else_gets_the_nearest_kind() {
        let error = CallError::from(Status::deadline_exceeded("late"));
        assert_eq!(error.kind, Kind::Timeout);
        let foreign = ErrorDetails::with_error_info("conflict", "example.org", []);
        let foreign = Status::with_error_details(tonic::Code::NotFound, "gone", foreign);
        assert_eq!(CallError::from(foreign).kind, Kind::NotFound);
    }
}
