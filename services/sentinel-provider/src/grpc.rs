//! The gRPC face: [`datasets`] for our own people, [`federation`] for other organisations.

pub(crate) mod datasets;
pub(crate) mod federation;
