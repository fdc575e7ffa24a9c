//! What can go wrong between a program and a node.

use oc_kernel::{Classify, Code, Kind};
use serde::{Deserialize, Serialize};

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node answered that it will not, and why.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// Nobody answered at that address.
    #[error("no node answers at {url}")]
    Unreachable {
        /// The node's address.
        url: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not what the API promises.
    #[error("the answer of {url} cannot be read: {reason}")]
    Unreadable {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file to send cannot be read.
    #[error("the file to send cannot be read")]
    File(#[source] std::io::Error),
    /// Not an address of a node.
    #[error("`{0}` is not the address of a node: write for example http://127.0.0.1:8700")]
    Address(String),
}

impl ClientError {
    /// The problem, where the node gave one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

impl Classify for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::Refused(problem) => problem.kind(),
            ClientError::Unreachable { .. } => Kind::Unavailable,
            ClientError::Unreadable { .. } => Kind::Internal,
            ClientError::File(_) | ClientError::Address(_) => Kind::Invalid,
        }
    }

    fn code(&self) -> Option<Code> {
        self.problem()?.code
    }

    fn advice(&self) -> Option<String> {
        match self {
            ClientError::Refused(problem) => problem.advice.clone(),
            ClientError::Unreachable { .. } => {
                Some("start a node with `opencloud up`, or name another with --node".to_owned())
            }
            _ => None,
        }
    }
}

/// RFC 9457 problem details as nodes send them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// `https://open-cloud.dev/problems/` and the kind.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Which refusal of that kind, where there are several for a program to tell apart.
    #[serde(deserialize_with = "Code::known")]
    pub code: Option<Code>,
    /// What happened.
    pub detail: String,
    /// Request id, as in the node's log.
    pub instance: Option<String>,
    /// What to do next.
    pub advice: Option<String>,
    /// Each place that is wrong.
    pub errors: Vec<Place>,
}

/// One place in a document that is wrong.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// What is wrong there.
    pub message: String,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl Problem {
    /// The row of the error table.
    pub fn kind(&self) -> Kind {
        let name = self.type_uri.rsplit('/').next().unwrap_or_default();
        Kind::from_name(name).unwrap_or(match self.status {
            400 => Kind::Malformed,
            401 => Kind::Unauthenticated,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            412 => Kind::Stale,
            413 | 422 => Kind::Invalid,
            429 => Kind::Exhausted,
            503 => Kind::Unavailable,
            504 => Kind::Timeout,
            _ => Kind::Internal,
        })
    }
}
