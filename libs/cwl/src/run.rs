//! Running documents: tools through an executor, workflows step by step, scatter and conditions.

mod accept;
mod command;
mod engine;
mod events;
mod files;
mod format;
mod frames;
mod globs;
mod inputs;
mod job;
mod outputs;
mod relocate;
mod resources;
mod scatter;
mod schedule;
mod scope;
mod secondary;
mod shared;
mod stage;
mod steps;
mod streams;
mod tool;
mod workdir;

pub use engine::{Engine, Settings};
pub use events::{Event, Observer, Silent};
pub use job::{parse_inputs, read_inputs};
