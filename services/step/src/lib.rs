//! The runner of one attempt at one fragment: fetches its inputs from the node, runs its tools and its
//! JavaScript in sandboxes, stores its outputs through the node, and tells what happens.
//!
//! It moves data only between its own folder and three routes of its node, which an attempt's macaroon
//! opens. It knows no grant, no partner, no storage and no credential besides that macaroon, and it
//! ends when its node does.

mod attempt;
mod error;
mod evaluate;
mod evaluator;
mod executor;
mod folders;
mod node;
mod publish;
mod report;
mod share;
mod stage;
mod stop;
mod usage;

pub use attempt::Attempt;
pub use error::StepError;
pub use evaluate::evaluate_all;
pub use evaluator::SandboxedEvaluator;
pub use folders::Folders;
pub use node::{Announcement, Node, Upload, UploadState};
pub use publish::Outputs;
pub use report::{LogLines, Reporter, Writer};
pub use stage::{fetch_inputs, locate_inputs};
pub use stop::Stop;
pub use usage::UsageSum;
