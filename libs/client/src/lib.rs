//! A typed client of a node's public REST API, for the command line, tests and other programs.
//!
//! Requests and answers are the messages of the protos in JSON. It knows no server code, keeps nothing on
//! disk and retries nothing: the caller knows what may be repeated.

mod accounting;
mod backend;
mod catalog;
mod compute;
mod data;
mod discovery;
mod error;
mod events;
mod pipeline;
mod request;
mod service;

pub use accounting::{Accounting, Export};
pub use backend::Backend;
pub use catalog::{Catalog, ListingFilter};
pub use compute::Compute;
pub use data::Data;
pub use discovery::Discovery;
pub use error::{ClientError, Place, Problem};
pub use pipeline::Pipeline;
pub use request::Client;
pub use service::Services;
