//! The typed form of a document after loading: references resolved, shorthands expanded, `run` embedded.

mod parameter;
mod process;
mod requirement;
mod types;
mod version;
mod workflow;

pub use parameter::{
    Binding, Dynamic, Input, LoadListing, Output, OutputBinding, Required, SecondaryFile, Text,
};
pub use process::{Argument, Body, CommandLineTool, Process};
pub use requirement::{
    Docker, EnvVar, Listing, ListingItem, Requirement, RequirementKind, Resources, SoftwarePackage,
};
pub use types::{ArrayType, EnumType, Field, RecordType, Type};
pub use version::Version;
pub use workflow::{
    LinkMerge, Links, PickValue, Reference, ScatterMethod, Source, Step, StepInput, StepOutput,
    Workflow,
};
