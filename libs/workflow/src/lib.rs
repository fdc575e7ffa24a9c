//! Workflows without their transport: what a run reads and writes ([`data`]), where its steps go and
//! why ([`plan`]), the run itself as a state machine ([`run`]), and why it is where it is ([`explain`]).
//!
//! It does no I/O, knows no async runtime and no driver; time is a parameter. What it needs to know of
//! the world it is told, what it wants done it answers.

mod canonical;
pub mod data;
pub mod explain;
pub mod listed;
pub mod plan;
mod read;
pub mod run;
mod steps;
pub mod words;

pub use canonical::{canonical, work_digest};
pub use steps::{Needs, Resources, Step, Steps, StepsError};
