//! The door to the JavaScript interpreter, so that a partner's scripts can run somewhere safer than
//! the process that loads the document.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One script to evaluate. It can be sent to another process as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Script<'s> {
    /// The body of a function; what it returns is the result.
    pub body: Cow<'s, str>,
    /// Scripts that run first, in the same global scope (`expressionLib`).
    pub library: Cow<'s, [String]>,
    /// The global `inputs`.
    pub inputs: Cow<'s, Value>,
    /// The global `self`.
    #[serde(rename = "self")]
    pub own: Cow<'s, Value>,
    /// The global `runtime`.
    pub runtime: Cow<'s, Value>,
}

/// A script without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationError {
    /// It is no JavaScript or threw something.
    #[error("{0}")]
    Script(String),
    /// It took too long, needed too much memory or nested too deep.
    #[error("{0}")]
    Limit(String),
    /// The interpreter cannot be had.
    #[error("no JavaScript interpreter: {0}")]
    Interpreter(String),
}

/// Evaluates scripts. Every evaluation starts from the same state: nothing that one script leaves behind
/// may be seen by the next (section 3.5: "isolated context").
pub trait Evaluator: Send + Sync {
    /// The result as JSON; `undefined` is null.
    ///
    /// # Errors
    /// When the script fails or goes over a limit.
    fn evaluate(&self, script: &Script<'_>) -> Result<Value, EvaluationError>;
}
