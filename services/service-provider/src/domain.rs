//! Rules about processing services. Nothing here knows HTTP, gRPC or the catalogue's messages.

pub(crate) mod error;
pub(crate) mod registry;
pub(crate) mod service;
