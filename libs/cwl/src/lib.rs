//! An engine for the Common Workflow Language v1.2 (v1.0 and v1.1 are read too).
//!
//! Loads documents with the place of every value, checks them before they run, shows a workflow as a
//! graph and cuts fragments out of it, evaluates expressions, and runs tools and workflows through an
//! [`Executor`] it is given.
//!
//! It does not know services, networks, containers or clusters: whatever it reads comes through a
//! [`Resolver`], whatever it starts goes through the executor, and the only files it touches are those
//! of the job.

mod check;
mod decimal;
mod executor;
mod expression;
mod finding;
mod fragment;
mod gather;
mod graph;
mod limits;
mod load;
mod model;
mod resolve;
mod run;
mod run_error;
mod syntax;
mod typed;
mod write;

pub use decimal::to_decimal_json;
pub use executor::{
    Bind, Cancellation, End, Executor, ProcessExecutor, Reservation, ToolCommand, ToolOutcome,
    ToolUsage,
};
pub use expression::{EvaluationError, Evaluator, QuickJs, Script, ScriptLimits};
pub use finding::{Finding, LoadError, Severity};
pub use fragment::{Crossing, Fragment, FragmentError};
pub use graph::Graph;
pub use limits::Limits;
pub use load::{Document, uri_of_argument};
pub use model::*;
pub use resolve::{LocalFiles, ResolveError, Resolver, Sealed, path_of_uri, uri_of_path};
pub use run::{Engine, Event, Observer, Settings, Silent, parse_inputs, read_inputs};
pub use run_error::RunError;
pub use syntax::Mark;
